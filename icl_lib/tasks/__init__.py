"""What goes in: prompts, the laws they are drawn from, and the matrix E they are packed into.

Draws are made in float32 or float64, the argument ``dtype``. Functions that take tensors compute in
the precision of their arguments: float32 or float64, the same for all of them. Integers are
promoted to it, or to torch's default dtype; half precision, complex numbers, booleans and arrays
that are no tensors are refused with a ``ValueError`` that names the argument.
"""
