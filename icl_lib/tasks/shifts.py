"""The shift suite of Garg et al. 2022: a model trained on N(0, I) prompts meets other prompts."""

from __future__ import annotations

import numpy as np

from icl_lib._tensor_checks import size
from icl_lib.tasks.inputs import (
    GaussianInputs,
    OrthantInputs,
    OrthogonalQuery,
    RepeatedQuery,
    ScaledInputs,
    SkewedInputs,
    SubspaceInputs,
)
from icl_lib.tasks.regression import LinearRegression


def garg_suite(d: int) -> dict[str, LinearRegression]:
    """Return the shifted tasks by name, "standard" (no shift) first.

    Source: Garg et al. 2022, Section 4 and Appendix B.2; Zhang et al. 2024, Section 4.2.
    Convention: inputs keep E|x|^2 = d except under "inputs x c"; the target is clean.

    Parameters
    ----------
    d : input dimension, at least 2; the subspace has dimension d // 2

    Raises
    ------
    ValueError
        If d is below 2.

    Examples
    --------
    >>> list(garg_suite(8))[:4]
    ['standard', 'skewed covariance', 'half subspace', 'label noise']
    """
    size("d", d, minimum=2)
    plain = _standard(d)
    suite = {
        "standard": LinearRegression(plain),
        "skewed covariance": LinearRegression(SkewedInputs(d)),
        "half subspace": LinearRegression(SubspaceInputs(d, d // 2)),
        "label noise": LinearRegression(plain, noise_std=1.0),
        "random orthant": LinearRegression(OrthantInputs(d)),
        "orthogonal query": LinearRegression(OrthogonalQuery(d)),
        "query = example": LinearRegression(RepeatedQuery(d)),
    }
    for factor, text in ((1 / 3, "1/3"), (1 / 2, "1/2"), (2, "2"), (3, "3")):
        suite[f"weights x {text}"] = LinearRegression(plain, weight_scale=factor)
    for factor, text in ((1 / 3, "1/3"), (1 / 2, "1/2"), (2, "2"), (3, "3")):
        suite[f"inputs x {text}"] = LinearRegression(ScaledInputs(plain, factor))
    return suite


def _standard(d: int) -> GaussianInputs:
    return GaussianInputs(np.eye(d))
