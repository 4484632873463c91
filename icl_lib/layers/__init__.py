"""What computes: attention as pure functions, with thin modules on top.

Every layer computes in the precision of its arguments, float32 or float64, the same for all of
them, and returns it. Integers are promoted to it, or to torch's default dtype; half precision,
complex numbers, booleans and arrays that are no tensors are refused with a ``ValueError`` that
names the argument. The mesa-layers keep the states of their recursions in at least float32. A NaN
in the input is a NaN in the output.
"""
