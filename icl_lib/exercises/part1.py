"""Exercises of Part 1: Chapters 1 and 2."""

from __future__ import annotations

from icl_lib.exercises import _chapter01, _chapter02
from icl_lib.exercises.checker import Exercises

EXERCISES = Exercises(_chapter01.EXERCISES | _chapter02.EXERCISES)
check = EXERCISES.check
case = EXERCISES.case
