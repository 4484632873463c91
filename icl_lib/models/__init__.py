"""What is learned, and what is written by hand: whole networks and how to look inside them.

A model computes in the precision of its weights, float32 or float64 (``model.double()``), and its
inputs must have it; integers are promoted to it. Half precision, complex numbers, booleans and
arrays that are no tensors are refused with a ``ValueError`` that names the argument. Sizes, scales
and given weights are checked when a model is built: sizes are positive integers, weights finite. A
NaN in the input is a NaN in the output.
"""
