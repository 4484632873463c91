"""Exercises of Part 2: Chapters 3 to 8."""

from __future__ import annotations

from icl_lib.exercises import chapter03, chapter04, chapter05, chapter06, chapter07, chapter08
from icl_lib.exercises.checker import Exercises

EXERCISES = Exercises(
    chapter03.EXERCISES
    | chapter04.EXERCISES
    | chapter05.EXERCISES
    | chapter06.EXERCISES
    | chapter07.EXERCISES
    | chapter08.EXERCISES
)
check = EXERCISES.check
case = EXERCISES.case
