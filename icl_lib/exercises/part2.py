"""Exercises of Part 2: Chapters 3 to 8."""

from __future__ import annotations

from icl_lib.exercises import _chapter03, _chapter04, _chapter05, _chapter06, _chapter07, _chapter08
from icl_lib.exercises.checker import Exercises

EXERCISES = Exercises(
    _chapter03.EXERCISES
    | _chapter04.EXERCISES
    | _chapter05.EXERCISES
    | _chapter06.EXERCISES
    | _chapter07.EXERCISES
    | _chapter08.EXERCISES
)
check = EXERCISES.check
case = EXERCISES.case
