"""Checkers for the code exercises: they name the first property that fails and give a hint.

``check("03-noisy-preconditioner", my_function)`` prints one message. It never shows the answer.
"""

from icl_lib.exercises.checker import check, names, run

__all__ = ["check", "names", "run"]
