"""The named runs behind every checkpoint: ``python -m icl_lib.experiments list``."""
