"""Claims: the book states a number, and a cell checks it each time the book runs.

``claim("closed-form-minimum-loss", measured, se=...)`` is what a chapter calls. ``files`` reads
what is expected, ``verdicts`` judges, ``words`` says it in a line.
"""

from icl_lib.claims.cells import claim, run_report

__all__ = ["claim", "run_report"]
