"""Sweeps: many runs over seeds and settings, on one laptop or on somebody's cluster.

``python -m icl_lib.experiments sweep FAMILY --seeds 0-9 --set training.lr=1e-3,3e-3``. The modules
need the extra packages of ``pip install '.[scale]'``; nothing else in the library does.
"""
