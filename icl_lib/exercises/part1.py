"""Exercises of Part 1: Chapters 1 and 2."""

from __future__ import annotations

from icl_lib.exercises.checker import Property

EXERCISES: dict[str, list[Property]] = {}
