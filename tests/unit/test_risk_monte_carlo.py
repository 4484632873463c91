"""Closed-form risks against Monte Carlo over the prompt inputs alone, by z-test.

Given the prompt inputs, hence H = (1/M) sum x x^T, the error b^T A x_q - w^T x_q with
b = H w + mean(eps x) is linear in w, x_q and eps, so its square is averaged over these by hand:

    r(H) = tr(A Lq A^T [H Psi H + (s^2/M) H]) - 2 tr(A Lq Psi H) + tr(Psi Lq).

Only H is sampled. E H = Lambda is known, so the entries of H serve as control variates; that and
enough samples make 4 standard errors at most 0.3 % of the value, which every test asserts.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose
from theory_oracles import batched_trace_product, random_covariance

from icl_lib.theory import optimum, shifts

BATCH = 50_000
MAX_BATCHES = 80
PRECISION = 0.003 / 4  # the standard error relative to the value


class Setting(NamedTuple):
    """One experiment: what was trained on, what is tested on, and which formula is judged."""

    kind: str
    seed: int
    d: int
    n_train: int
    n_test: int
    noise_var: float


SETTINGS = [
    Setting("risk", 1, 1, 3, 4, 0.0),
    Setting("risk", 2, 2, 5, 3, 0.0),
    Setting("risk", 3, 3, 10, 10, 0.0),
    Setting("risk", 4, 5, 20, 40, 0.25),
    Setting("risk", 5, 5, 20, 20, 1.0),
    Setting("risk", 6, 4, 8, 30, 0.5),
    Setting("risk", 7, 3, 40, 6, 2.0),
    Setting("task", 8, 3, 7, 12, 0.0),
    Setting("task", 9, 5, 20, 40, 0.3),
    Setting("task", 10, 2, 4, 5, 1.5),
    Setting("query", 11, 2, 6, 8, 0.0),
    Setting("query", 12, 3, 12, 9, 0.4),
    Setting("query", 13, 5, 20, 40, 0.0),
    Setting("query", 14, 4, 10, 25, 1.0),
    Setting("covariate", 15, 2, 5, 6, 0.0),
    Setting("covariate", 16, 3, 15, 10, 0.5),
    Setting("covariate", 17, 4, 30, 12, 0.0),
    Setting("covariate", 18, 5, 20, 40, 0.25),
    Setting("covariate", 19, 3, 6, 50, 0.0),
    Setting("prior", 20, 2, 5, 7, 0.3),
    Setting("prior", 21, 3, 10, 10, 0.0),
    Setting("prior", 22, 4, 20, 15, 1.0),
    Setting("any", 23, 2, 5, 9, 0.2),
    Setting("any", 24, 3, 5, 20, 0.0),
    Setting("any", 25, 4, 5, 12, 0.7),
]


class Problem(NamedTuple):
    """The matrices of a setting; ``preconditioner`` is what the trained model multiplies with."""

    preconditioner: np.ndarray
    train: np.ndarray
    test: np.ndarray
    query: np.ndarray
    prior: np.ndarray
    w: np.ndarray | None


def _trained(covariance, n, prior, noise_var):
    """Minimise the risk at length n: solve E[b b^T] A = Lambda Psi, the normal equations."""
    second = covariance @ prior @ covariance * (1 + 1 / n)
    second = second + (np.trace(prior @ covariance) + noise_var) / n * covariance
    return np.linalg.solve(second, covariance @ prior)


def _problem(setting: Setting) -> Problem:
    rng = np.random.default_rng(setting.seed)
    d = setting.d
    train, other, third, w = (
        random_covariance(rng, d, 0.8),
        random_covariance(rng, d, 0.8),
        random_covariance(rng, d, 0.8),
        rng.standard_normal(d),
    )
    eye = np.eye(d)
    clean = _trained(train, setting.n_train, eye, 0.0)
    if setting.kind == "task":
        return Problem(clean, train, train, train, np.outer(w, w), w)
    if setting.kind == "query":
        return Problem(clean, train, train, other, eye, None)
    if setting.kind == "covariate":
        return Problem(clean, train, other, other, eye, None)
    if setting.kind == "prior":
        fitted = _trained(train, setting.n_train, other, setting.noise_var)
        return Problem(fitted, train, train, train, other, None)
    if setting.kind == "any":
        a = clean + 0.3 * rng.standard_normal((d, d))
        return Problem(a, train, train, other, third, None)
    return Problem(clean, train, train, train, eye, None)


def _closed_form(setting: Setting, p: Problem) -> float:
    """Return the library's value for a setting."""
    lengths, s2 = (setting.n_train, setting.n_test), setting.noise_var
    match setting.kind:
        case "risk":
            return optimum.risk(p.train, *lengths, noise_var=s2).total
        case "task":
            return shifts.task_shift_risk(p.train, p.w, *lengths, noise_var=s2)
        case "query":
            return shifts.query_shift_risk(p.train, p.query, *lengths, noise_var=s2)
        case "covariate":
            return shifts.covariate_shift_risk(p.train, p.test, *lengths, noise_var=s2)
        case "prior":
            a = optimum.optimal_preconditioner(
                p.train, setting.n_train, prior=p.prior, noise_var=s2
            )
        case _:
            a = p.preconditioner
    return optimum.preconditioner_risk(
        a, p.test, setting.n_test, prior=p.prior, noise_var=s2, query_covariance=p.query
    )


def _sample_covariances(rng, covariance, n_test: int, count: int) -> np.ndarray:
    """Draw H (count, d, d): by Bartlett's triangular factor when M >= d, else from inputs."""
    d = len(covariance)
    if n_test < d:
        factor = rng.standard_normal((count, d, n_test))
    else:
        factor = np.zeros((count, d, d))
        rows, columns = np.tril_indices(d, -1)
        factor[:, rows, columns] = rng.standard_normal((count, len(rows)))
        factor[:, range(d), range(d)] = np.sqrt(rng.chisquare(n_test - np.arange(d), (count, d)))
    factor = np.linalg.cholesky(covariance) @ factor
    return factor @ factor.transpose(0, 2, 1) / n_test


def _conditional_risks(h: np.ndarray, p: Problem, setting: Setting) -> np.ndarray:
    """Return r(H) for every H, exact over w, x_query and the label noise."""
    weighted_query = p.preconditioner @ p.query
    outer = weighted_query @ p.preconditioner.T
    quadratic = batched_trace_product(outer @ h, p.prior @ h)
    linear_weights = setting.noise_var / setting.n_test * outer - 2 * weighted_query @ p.prior
    return quadratic + np.einsum("ab,nba->n", linear_weights, h) + np.trace(p.prior @ p.query)


def _estimate(setting: Setting, p: Problem) -> tuple[float, float]:
    """Return (mean, standard error), stopping at the first batch that is precise enough."""
    rng = np.random.default_rng(1000 + setting.seed)
    upper = np.triu_indices(setting.d)
    gram, cross, square, count = 0.0, 0.0, 0.0, 0
    for _ in range(MAX_BATCHES):
        h = _sample_covariances(rng, p.test, setting.n_test, BATCH)
        risks = _conditional_risks(h, p, setting)
        controls = (h - p.test)[:, *upper]  # mean zero exactly
        design = np.column_stack([np.ones(BATCH), controls])
        gram, cross = gram + design.T @ design, cross + design.T @ risks
        square, count = square + risks @ risks, count + BATCH
        fit = np.linalg.solve(gram, cross)
        se = np.sqrt((square - cross @ fit) / (count - len(fit)) * np.linalg.inv(gram)[0, 0])
        if se <= 0.95 * PRECISION * fit[0]:
            break
    return float(fit[0]), float(se)


@functools.cache
def _experiment(setting: Setting) -> tuple[Problem, float, float]:
    problem = _problem(setting)
    mean, se = _estimate(setting, problem)
    assert 4 * se <= 0.003 * mean, (setting, se / mean)
    return problem, mean, se


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: f"{s.kind}-{s.seed}")
def test_closed_form_against_simulation(setting):
    """Derived: each closed-form risk within 4 standard errors of simulation."""
    problem, mean, se = _experiment(setting)
    value = _closed_form(setting, problem)
    assert abs(mean - value) < 4 * se, (value, mean, se, (mean - value) / se)


def test_the_settings_are_as_asked():
    """At least 20 settings; the shifted ones do not commute with the training covariance."""
    assert len(SETTINGS) >= 20
    for setting in SETTINGS:
        p = _problem(setting)
        for kind, matrix in (("covariate", p.test), ("query", p.query), ("prior", p.prior)):
            if setting.kind == kind:
                assert np.abs(p.train @ matrix - matrix @ p.train).max() > 0.01


def test_bartlett_sampling_has_the_right_moments():
    """The sampler: E H = Lambda and E H^2 = Lambda Gamma (claim row 4), and M < d works."""
    covariance = random_covariance(np.random.default_rng(0), 3, 0.8)
    for m in (2, 3, 8):
        h = _sample_covariances(np.random.default_rng(m), covariance, m, 200_000)
        second = (1 + 1 / m) * covariance @ covariance + np.trace(covariance) / m * covariance
        for samples, expected in ((h, covariance), (h @ h, second)):
            se = samples.std(0) / np.sqrt(len(samples))
            assert (np.abs(samples.mean(0) - expected) < 4.5 * se).all()


def test_the_conditional_risk_is_the_average_over_tasks_queries_and_noise():
    """The averaging by hand above, against drawing w, x_query and noise for two fixed prompts."""
    setting, rng, count = SETTINGS[-3], np.random.default_rng(0), 400_000
    p = _problem(setting)
    m, d = setting.n_test, setting.d
    for _ in range(2):
        xs = rng.standard_normal((m, d)) @ np.linalg.cholesky(p.test).T
        w = rng.standard_normal((count, d)) @ np.linalg.cholesky(p.prior).T
        x_query = rng.standard_normal((count, d)) @ np.linalg.cholesky(p.query).T
        ys = w @ xs.T + np.sqrt(setting.noise_var) * rng.standard_normal((count, m))
        y_hat = np.einsum("nd,de,ne->n", ys @ xs / m, p.preconditioner, x_query)
        errors = (y_hat - (w * x_query).sum(1)) ** 2
        expected = _conditional_risks((xs.T @ xs / m)[None], p, setting)[0]
        assert abs(errors.mean() - expected) < 4 * errors.std() / np.sqrt(count)


def _risk_from(lam, gamma, t, n, m, s2):
    """R(N, M, Lambda) in eigenvalues, its pieces as arguments, so that one can be got wrong."""
    variance = (t * (lam**2 / gamma**2).sum() + (lam**3 / gamma**2).sum()) / m
    bias = (lam * (1 - lam / gamma) ** 2).sum()
    return variance + bias + s2 * (lam**2 / gamma**2).sum() / m


def _correct(lam, n, m, s2):
    return _risk_from(lam, (1 + 1 / n) * lam + lam.sum() / n, lam.sum(), n, m, s2)


def _dropped_inverse_length(lam, n, m, s2):
    return _risk_from(lam, lam + lam.sum() / n, lam.sum(), n, m, s2)


def _training_length_for_test_length(lam, n, m, s2):
    return _correct(lam, n, n, s2)


def _covariance_for_gamma(lam, n, m, s2):
    return _risk_from(lam, lam, lam.sum(), n, m, s2)


def _no_noise_term(lam, n, m, s2):
    return _correct(lam, n, m, 0.0)


def _missing_trace(lam, n, m, s2):
    return _risk_from(lam, (1 + 1 / n) * lam + lam.sum() / n, 0.0, n, m, s2)


WRONG = [
    _dropped_inverse_length,
    _training_length_for_test_length,
    _covariance_for_gamma,
    _no_noise_term,
    _missing_trace,
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda f: f.__name__.strip("_"))
@pytest.mark.parametrize("index", [3, 5, 6])
def test_wrong_formulas_are_rejected(wrong, index):
    """The test has power: five plausible errors in R(N, M, Lambda) are seen at |z| > 6."""
    setting = SETTINGS[index]
    problem, mean, se = _experiment(setting)
    lam = np.linalg.eigvalsh(problem.train)
    lengths = (setting.n_train, setting.n_test, setting.noise_var)
    assert abs(mean - _correct(lam, *lengths)) < 4 * se
    assert abs(mean - wrong(lam, *lengths)) > 6 * se


def test_the_formula_that_is_made_wrong_is_the_librarys():
    """The base of the five wrong formulas equals `optimum.risk`, so they are its neighbours."""
    lam = np.array([2.0, 1.0, 0.5])
    value = optimum.risk(np.diag(lam), 7, 11, noise_var=0.3).total
    assert_allclose(_correct(lam, 7, 11, 0.3), value, rtol=1e-12)
