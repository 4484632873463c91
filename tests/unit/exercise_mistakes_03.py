"""Right and wrong answers to the exercises of Chapter 3, written as students write them.

name -> (right answers, [(wrong answer, words that its hint must contain)]).
"""

from __future__ import annotations

import numpy as np


def gamma(cov, n, *, own=1.0, others=1.0, spread=None):
    """Gamma from Isserlis: N terms 2 Lambda^2 + tr(Lambda) Lambda, N(N-1) terms Lambda^2."""
    spread = np.trace(cov) if spread is None else spread
    squares = (n * (n - 1) + 2 * n * own) / n**2 if others else own * 2 / n
    return squares * cov + np.identity(len(cov)) * spread / n


def gamma_by_eigenvalues(cov, n):
    lam, axes = np.linalg.eigh(cov)
    return axes @ np.diag((1 + 1 / n) * lam + lam.sum() / n) @ axes.T


def gamma_forgotten_pairing(cov, n):
    return cov + np.trace(cov) / n * np.eye(len(cov))


GAMMA = (
    [gamma, gamma_by_eigenvalues],
    [
        (gamma_forgotten_pairing, "pairings give Lambda^2"),
        (lambda c, n: gamma(c, n) + c / n, "not N^2"),
        (lambda c, n: gamma(c, n, own=0.0), "2 Lambda^2 each"),
        (lambda c, n: gamma(c, n, spread=0.0), "trace is missing"),
        (lambda c, n: gamma(c, n, spread=n * np.trace(c)), "not divided by N"),
        (lambda c, n: gamma(c, n, spread=np.linalg.eigvalsh(c).mean()), "mean eigenvalue"),
        (lambda c, n: gamma(c, n, spread=c.shape[0]), "only for Lambda = I"),
        (lambda c, n: (1 + 1 / n) * c + np.trace(c) / n, "every entry"),
        (lambda c, n: gamma(c * np.eye(len(c)), n), "beside the diagonal"),
        (lambda c, n: c @ gamma(c, n), "take Lambda out"),
        (lambda c, n: np.linalg.inv(gamma(c, n)), "Gamma is its inverse"),
        (lambda c, n: np.diagonal(gamma(c, n)), "diagonal only"),
        (lambda c, n: (1 + 1 / n) * c @ c + np.trace(c) / n * np.eye(len(c)), "not of the first"),
    ],
)


def noisy(cov, n, s2, *, noise=None, own=None):
    noise = s2 / n if noise is None else noise
    d = len(cov)
    ridge = (np.trace(cov) / n + noise) * np.eye(d)
    return np.linalg.inv((1 + 1 / n if own is None else own) * cov + ridge)


def noisy_by_moments(cov, n, s2):
    """From E[b w'] and E[b b']: A solves E[b b'] A = Lambda."""
    bb = cov @ cov + (cov @ cov + np.trace(cov) * cov) / n + s2 / n * cov
    return np.linalg.solve(bb, cov)


def noisy_entries(cov, n, s2):
    return 1 / np.linalg.inv(noisy(cov, n, s2))


def noisy_diagonal_inverse(cov, n, s2):
    return np.diag(1 / np.diag(np.linalg.inv(noisy(cov, n, s2))))


def noise_in_every_entry(cov, n, s2):
    return np.linalg.inv((1 + 1 / n) * cov + (np.trace(cov) + s2) / n)


def noise_in_front_of_lambda(cov, n, s2):
    return np.linalg.inv(gamma(cov, n) + s2 / n * cov)


NOISY = (
    [noisy, noisy_by_moments],
    [
        (lambda c, n, s2: noisy(c, n, 0), "ignores the noise"),
        (lambda c, n, s2: noisy(c, n, s2, noise=s2), "whole prompt"),
        (lambda c, n, s2: noisy(c, n, s2**2), "noise is squared"),
        (lambda c, n, s2: noisy(c, n, np.sqrt(s2)), "root of the noise"),
        (lambda c, n, s2: noisy(c, n, s2, noise=s2 / n**2), "twice"),
        (noise_in_front_of_lambda, "What does Gamma grow by"),
        (lambda c, n, s2: noisy(c, n, s2, noise=-s2 / n), "wrong sign"),
        (lambda c, n, s2: np.linalg.inv(noisy(c, n, s2)), "its inverse"),
        (noisy_entries, "invert the entries"),
        (noisy_diagonal_inverse, "your matrix is diagonal"),
        (lambda c, n, s2: np.diag(noisy(c, n, s2)), "diagonal only"),
        (noise_in_every_entry, "every entry"),
        (lambda c, n, s2: np.linalg.inv(c + s2 / n * np.eye(len(c))), "finite prompt adds"),
        (lambda c, n, s2: noisy(c, n, s2, own=1.0), "is lost"),
        (lambda c, n, s2: noisy(c, n, 0) / (1 + s2 / n), "no common factor"),
    ],
)


def one_dim(variance, n):
    return 1 / (variance * (1 + 2 / n))


def one_dim_by_moments(variance, n):
    """E[lambda-hat] / E[lambda-hat^2] with the fourth moment 3 variance^2."""
    fourth = 3 * variance**2
    return variance / ((n * fourth + n * (n - 1) * variance**2) / n**2)


ONE_DIM = (
    [one_dim, one_dim_by_moments],
    [
        (lambda v, n: 1 / (1 + 2 / n), "variance 1"),
        (lambda v, n: v**-1, "infinitely long"),
        (lambda v, n: v / (1 + 2 / n), "must be smaller"),
        (lambda v, n: 1 / (np.sqrt(v) * (1 + 2 / n)), "standard deviation"),
        (lambda v, n: 1 / (v**2 * (1 + 2 / n)), "variance twice"),
        (lambda v, n: 1 / (v + 2 / n), "your second term"),
        (lambda v, n: 1 / (v + v / n), "not 1"),
        (lambda v, n: 1 / (v + 3 * v / n), "3 - 1"),
        (lambda v, n: v + 2 * v / n, "this is Gamma"),
        (lambda v, n: (1 + 2 / n) / v, "larger than 1/lambda"),
        (lambda v, n: 2 / (n + 2), "error that is left"),
    ],
)


def kurtosis_scalar(d, n, kurtosis):
    return n / (n + d + kurtosis - 2)


def kurtosis_by_terms(d, n, kurtosis):
    """Average x_1^2 |x|^2 over coordinates, then over the pairs (i, j) of examples."""
    same = kurtosis + sum(1 for _ in range(1, d))
    return 1 / ((n * same + n * (n - 1)) / n**2)


KURTOSIS = (
    [kurtosis_scalar, kurtosis_by_terms],
    [
        (lambda d, n, k: kurtosis_scalar(d, n, 3), "Gaussian inputs"),
        (lambda d, n, k: kurtosis_scalar(d, n, 1), "signs"),
        (lambda d, n, k: 1 / (1 + (k + d - 1) / n), "N(N-1)"),
        (lambda d, n, k: kurtosis_scalar(d, n, k + 3), "as the excess"),
        (lambda d, n, k: 1 / (1 - 1 / n + d * k / n), "only one of the d terms"),
        (lambda d, n, k: kurtosis_scalar(1, n, k), "does not depend on d"),
        (lambda d, n, k: 1 / (1 - 1 / n + d * (k + d - 1) / n), "takes the trace"),
        (lambda d, n, k: 1 / kurtosis_scalar(d, n, k), "a is its inverse"),
        (lambda d, n, k: n / (n + k - d), "larger, not smaller"),
    ],
)

TABLE = {
    "03-noisy-preconditioner": NOISY,
    "03-one-dim": ONE_DIM,
    "03-kurtosis": KURTOSIS,
    "03-gamma": GAMMA,
}
