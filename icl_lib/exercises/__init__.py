"""Checkers for the code exercises: they name the first property that fails and give a hint.

``from icl_lib.exercises.part2 import check``, then ``check("03-noisy-preconditioner", answer)``
prints one message. It never shows the answer. A module a part: a chapter depends on its own only.
"""
