"""Checkers for the code exercises: they say what is wrong with an answer and give a hint.

``from icl_lib.exercises.part2 import check``, then ``check("03-noisy-preconditioner", answer)``
prints one message. It never shows the answer. A module a part: a chapter depends on its own only.
In Parts 1 and 2 an answer is compared, on random inputs, with the right one and with known
mistakes, each of which has its own hint; ``case`` from the same module returns an input by number.
"""
