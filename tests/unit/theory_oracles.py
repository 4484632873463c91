"""Independent references for the tests of `icl_lib.theory`; nothing here imports the library.

The exact risk is computed from the fourth-moment tensor of a Gaussian sample covariance (Isserlis),
index by index, instead of the library's matrix formulas.
"""

from __future__ import annotations

import numpy as np

# The digest's verified example: d = 5, N = 20.
EXAMPLE_EIGENVALUES = np.array([2.0, 1.0, 0.5, 0.25, 0.125])
EXAMPLE = np.diag(EXAMPLE_EIGENVALUES)
EXAMPLE_N = 20
EXAMPLE_GAMMA_INVERSE = np.diag([0.43597, 0.80402, 1.39130, 2.19178, 3.07692])


def random_rotation(rng: np.random.Generator, d: int) -> np.ndarray:
    """Return a random (d, d) orthogonal matrix."""
    q, r = np.linalg.qr(rng.standard_normal((d, d)))
    return q * np.sign(np.diag(r))


def random_covariance(rng: np.random.Generator, d: int, spread: float = 1.0) -> np.ndarray:
    """Return a random (d, d) positive definite matrix with eigenvalues exp(spread * U(-1, 1))."""
    q = random_rotation(rng, d)
    covariance = (q * np.exp(spread * rng.uniform(-1, 1, d))) @ q.T
    return (covariance + covariance.T) / 2


def gamma_by_isserlis(covariance: np.ndarray, n: int) -> np.ndarray:
    """Return Gamma = Lambda^{-1} E[Lambda-hat^2], from the fourth-moment tensor."""
    second = np.einsum("abbc->ac", sample_covariance_moments(covariance, n))
    return np.linalg.solve(covariance, second)


def sample_covariance_moments(covariance: np.ndarray, n: float) -> np.ndarray:
    """Return the tensor E[H_ab H_cd] for H = (1/n) sum x x^T, x ~ N(0, covariance)."""
    c = covariance
    product = np.einsum("ab,cd->abcd", c, c)
    crossed = np.einsum("ac,bd->abcd", c, c) + np.einsum("ad,bc->abcd", c, c)
    return product + crossed / n


def exact_risk(
    preconditioner, covariance, n_test, *, prior=None, noise_var=0.0, query_covariance=None
) -> float:
    """Return E (b^T A x_q - w^T x_q)^2 with b = H w + mean(eps x), w ~ (0, prior), by moments.

    ``n_test`` may be infinite; nothing needs to commute.
    """
    a = np.asarray(preconditioner, dtype=float)
    c = np.asarray(covariance, dtype=float)
    d = len(c)
    psi = np.eye(d) if prior is None else np.asarray(prior, dtype=float)
    query = c if query_covariance is None else np.asarray(query_covariance, dtype=float)
    h2 = sample_covariance_moments(c, n_test)
    bb = np.einsum("abcd,bc->ad", h2, psi)  # E[H w w^T H]
    bb = bb + noise_var / n_test * c
    quadratic = np.einsum("ai,ij,bj,ab->", a, query, a, bb)
    cross = np.einsum("ai,ij,jk,ka->", a, query, psi, c)
    return float(quadratic - 2 * cross + np.einsum("ij,ij->", psi, query))


def fixed_task_risk(preconditioner, covariance, w, n_test, noise_var=0.0) -> float:
    """Return the clean-target risk of one fixed task w, by moments (prior = w w^T)."""
    w = np.asarray(w, dtype=float)
    return exact_risk(preconditioner, covariance, n_test, prior=np.outer(w, w), noise_var=noise_var)


def batched_trace_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return tr(a b) over the leading axis."""
    return np.einsum("nij,nji->n", a, b)


def z_score(samples: np.ndarray, expected: float) -> tuple[float, float, float]:
    """Return (z, mean, standard error) of the mean of ``samples`` against ``expected``."""
    mean = float(samples.mean())
    se = float(samples.std(ddof=1) / np.sqrt(len(samples)))
    return (mean - expected) / se, mean, se
