"""Bad input to `icl_lib.theory`, case by case: a ValueError that names the argument.

Every function has one valid call; each case replaces one argument of it.
"""

from __future__ import annotations

import numpy as np
import pytest

from icl_lib.theory import gradient_flow, landscape, optimum, shifts, solvers
from icl_lib.theory import random_covariance as rc

EYE = np.eye(2)
ONES = np.ones(2)
THETA = EYE / 2**0.25
XS, YS, QUERY = np.ones((4, 3)), np.ones(4), np.ones(3)

NOT_SYMMETRIC = np.array([[1.0, 0.5], [0.0, 1.0]])
NOT_PSD = np.diag([1.0, -1.0])
SINGULAR = np.diag([1.0, 0.0])
NOT_SQUARE = np.ones((2, 3))
NAN = np.full((2, 2), np.nan)
BAD_COVARIANCES = [NOT_SYMMETRIC, NOT_PSD, SINGULAR, NOT_SQUARE, NAN, ONES, "covariance"]
BAD_PRIORS = [NOT_SYMMETRIC, NOT_PSD, NOT_SQUARE, NAN, np.eye(3)]
BAD_LENGTHS = [0, -3, 2.5, True, None, "20"]
BAD_NONNEGATIVE = [-0.1, np.nan, np.inf, "a"]
BAD_POSITIVE = [0.0, -1.0, np.nan, np.inf]
BAD_VECTORS = [np.ones(3), np.array([1.0, np.nan]), np.ones((2, 2))]
BAD_MATRICES = [np.eye(3), NAN, ONES]

LENGTH = {"n_train": 4}
LENGTHS = {"n_train": 4, "n_test": 6}
LAW = {"m1": ONES, "m2": 2 * ONES, "m3": 6 * ONES, "n_train": 4}
PROMPT = {"xs": XS, "ys": YS, "x_query": QUERY}
POINT = {"u11": EYE, "u": 1.0, "covariance": EYE, "n_train": 4}
START = {"covariance": EYE, "n_train": 4, "theta": THETA, "sigma": 0.1}
ALL_BLOCKS = {"u11": EYE, "u12": ONES, "u21": ONES, "u": 1.0, "covariance": EYE, "n_train": 4}
LABELS = {"cross_moment": ONES, "sigma": EYE, "best_linear_error": 0.5}

# function -> (valid arguments, {argument: bad values})
TRAINED = {"covariance": BAD_COVARIANCES, "n_train": BAD_LENGTHS}
TESTED = {**TRAINED, "n_test": BAD_LENGTHS}
NOISY = {"noise_var": BAD_NONNEGATIVE}
FLOWED = {**TRAINED, "theta": [2 * THETA, NAN, np.eye(3)], "sigma": BAD_POSITIVE}
BAD_MOMENTS = [np.ones(3), np.array([1.0, np.nan]), np.array([1.0, -1.0]), EYE]
BAD_PROMPT = {
    "xs": [np.ones(3), np.full((4, 3), np.nan)],
    "ys": [np.ones(5), np.full(4, np.inf)],
    "x_query": [np.ones(2), np.full(3, np.nan)],
}

FUNCTIONS = [
    (optimum.gamma, {"covariance": EYE, **LENGTH}, {**TRAINED, **NOISY}),
    (
        optimum.optimal_preconditioner,
        {"covariance": EYE, **LENGTH, "prior": EYE},
        {**TRAINED, **NOISY, "prior": BAD_PRIORS},
    ),
    (optimum.optimal_weights, {"covariance": EYE, **LENGTH}, TRAINED),
    (optimum.minimum_loss, {"covariance": EYE, **LENGTH}, TRAINED),
    (optimum.zero_predictor_loss, {"covariance": EYE}, {"covariance": BAD_COVARIANCES}),
    (
        optimum.risk,
        {"covariance": EYE, **LENGTHS, "w": ONES},
        {**TESTED, **NOISY, "w": BAD_VECTORS},
    ),
    (
        optimum.preconditioner_risk,
        {"preconditioner": EYE, "covariance": EYE, "n_test": 4},
        {
            "preconditioner": BAD_MATRICES,
            "covariance": BAD_COVARIANCES,
            "n_test": BAD_LENGTHS,
            "prior": BAD_PRIORS,
            "query_covariance": BAD_PRIORS,
            **NOISY,
        },
    ),
    (
        optimum.best_linear_predictor,
        {"covariance": EYE, "cross_moment": ONES},
        {"covariance": BAD_COVARIANCES, "cross_moment": BAD_VECTORS},
    ),
    (
        optimum.arbitrary_label_risk,
        {"covariance": EYE, **LENGTHS, **LABELS},
        {
            **TESTED,
            "cross_moment": BAD_VECTORS,
            "sigma": BAD_PRIORS,
            "best_linear_error": BAD_NONNEGATIVE,
        },
    ),
    (
        optimum.linear_label_sigma,
        {"covariance": EYE, "w": ONES},
        {"covariance": BAD_COVARIANCES, "w": BAD_VECTORS, **NOISY},
    ),
    (
        optimum.risk_bound,
        {"covariance": EYE, **LENGTHS},
        {**TESTED, "form": ["loose", "", None]},
    ),
    (optimum.irreducible_error, {"covariance": EYE, **LENGTH}, TRAINED),
    (
        optimum.sufficient_length,
        {"covariance": EYE, "epsilon": 0.1},
        {"covariance": BAD_COVARIANCES, "epsilon": BAD_POSITIVE},
    ),
    (
        shifts.query_shift_risk,
        {"covariance": EYE, "query_covariance": EYE, **LENGTHS},
        {**TESTED, **NOISY, "query_covariance": BAD_PRIORS},
    ),
    (
        shifts.covariate_shift_risk,
        {"train_covariance": EYE, "test_covariance": EYE, **LENGTHS},
        {
            "train_covariance": BAD_COVARIANCES,
            "test_covariance": [NOT_SYMMETRIC, NOT_PSD, NOT_SQUARE, NAN, np.eye(3)],
            "n_train": BAD_LENGTHS,
            "n_test": BAD_LENGTHS,
            **NOISY,
        },
    ),
    (
        shifts.task_shift_risk,
        {"covariance": EYE, "w": ONES, **LENGTHS},
        {**TESTED, **NOISY, "w": BAD_VECTORS},
    ),
    (shifts.scaling_limit, {"scale": 2.0}, {"scale": [np.nan, np.inf, "a"]}),
    (shifts.orthant_limit, {"d": 3}, {"d": BAD_LENGTHS}),
    (
        shifts.skewed_limit,
        {"eigenvalues": ONES},
        {"eigenvalues": [EYE, np.array([1.0, np.nan]), np.array([1.0, -1.0])]},
    ),
    *(
        (function, LAW, {k: BAD_MOMENTS for k in ("m1", "m2")} | {"n_train": BAD_LENGTHS})
        for function in (rc.moments, rc.optimal_preconditioner, rc.optimal_weights)
    ),
    (rc.moments, LAW, {"m3": BAD_MOMENTS}),
    *(
        (function, {"d": 3, "n_train": 4}, {"d": BAD_LENGTHS, "n_train": [0, -1, 2.5, np.nan]})
        for function in (rc.exponential_alpha, rc.exponential_minimum_loss)
    ),
    (
        rc.exponential_risk,
        {"alpha": 0.3, "d": 3, "n_test": 4, "scale": 1.0},
        {
            "alpha": [np.nan, np.inf, "a"],
            "d": BAD_LENGTHS,
            "n_test": [0, -1, 2.5, np.nan],
            "scale": [-1.0, np.nan, np.inf],
        },
    ),
    (shifts.subspace_limit, {"d": 4, "k": 2}, {"d": BAD_LENGTHS, "k": [*BAD_LENGTHS, 5]}),
    (rc.limit_error, {"scale": 1.0}, {"scale": [-1.0, np.nan]}),
    (rc.fixed_model_limit_error, {"scale": 1.0}, {"scale": [-1.0, np.nan]}),
    (
        gradient_flow.shifted_loss,
        POINT,
        {**TRAINED, "u11": BAD_MATRICES, "u": [np.nan, np.inf, "a"]},
    ),
    (
        gradient_flow.gradient,
        POINT,
        {**TRAINED, "u11": BAD_MATRICES, "u": [np.nan, np.inf, "a"]},
    ),
    (gradient_flow.minimum_shifted_loss, {"covariance": EYE, **LENGTH}, TRAINED),
    (
        gradient_flow.simulate,
        {**START, "t_max": 1.0, "n_times": 3},
        {**FLOWED, "t_max": BAD_POSITIVE, "n_times": [0, 1, 2.5]},
    ),
    (
        gradient_flow.simulate_random,
        {**LAW, "theta": THETA, "sigma": 0.1, "t_max": 1.0},
        {
            "m1": BAD_MOMENTS,
            "n_train": BAD_LENGTHS,
            "theta": [2 * THETA, NAN, np.eye(3)],
            "sigma": BAD_POSITIVE,
            "t_max": BAD_POSITIVE,
        },
    ),
    (gradient_flow.max_scale, {"covariance": EYE, **LENGTH}, TRAINED),
    (gradient_flow.asymptotic_rate, {"covariance": EYE, **LENGTH}, TRAINED),
    *(
        (function, START, FLOWED)
        for function in (
            gradient_flow.initial_loss_bound,
            gradient_flow.u_lower_bound,
            gradient_flow.pl_constant,
        )
    ),
    (
        gradient_flow.normalise_theta,
        {"matrix": EYE},
        {"matrix": [np.zeros((2, 2)), NAN, ONES, NOT_SQUARE]},
    ),
    (
        gradient_flow.logistic_s,
        {"t": 1.0, "d": 3, "n_train": 4, "sigma": 0.1},
        {
            "t": [np.nan, "a"],
            "d": BAD_LENGTHS,
            "n_train": BAD_LENGTHS,
            "sigma": BAD_POSITIVE,
        },
    ),
    (
        gradient_flow.logistic_half_time,
        {"d": 3, "n_train": 4, "sigma": 0.1},
        {"d": BAD_LENGTHS, "n_train": BAD_LENGTHS, "sigma": [*BAD_POSITIVE, 100.0]},
    ),
    (
        landscape.population_loss,
        ALL_BLOCKS,
        {
            **TRAINED,
            "u11": [np.eye(3), ONES],
            "u12": [np.ones(3)],
            "u21": [np.ones(3), np.ones((2, 3))],
        },
    ),
    (solvers.least_squares, PROMPT, BAD_PROMPT),
    (solvers.ridge, {**PROMPT, "ridge": 0.1}, {**BAD_PROMPT, "ridge": BAD_NONNEGATIVE}),
    (solvers.averaging, PROMPT, BAD_PROMPT),
    (
        solvers.gradient_descent,
        {**PROMPT, "step_size": 0.1},
        {
            **BAD_PROMPT,
            "step_size": BAD_NONNEGATIVE,
            "steps": [-1, 1.5],
            "w0": [np.ones(2), np.full(3, np.nan)],
        },
    ),
    (
        solvers.bayes_linear,
        {**PROMPT, "noise_var": 0.1},
        {**BAD_PROMPT, "noise_var": BAD_NONNEGATIVE, "prior": [np.eye(2), -np.eye(3)]},
    ),
    (solvers.nearest_neighbours, PROMPT, {**BAD_PROMPT, "k": BAD_LENGTHS}),
]


def _cases():
    for function, valid, bad in FUNCTIONS:
        module = function.__module__.rsplit(".", 1)[-1]
        for argument, values in bad.items():
            for i, value in enumerate(values):
                name = f"{module}.{function.__name__}-{argument}-{i}"
                yield pytest.param(function, {**valid, argument: value}, argument, id=name)


@pytest.mark.parametrize(
    ("function", "valid"),
    [(f, v) for f, v, _ in FUNCTIONS],
    ids=[f.__name__ for f, _, _ in FUNCTIONS],
)
def test_the_valid_call_is_valid(function, valid):
    """Without its bad argument every call of this file works, so the cases test what they say."""
    assert function(**valid) is not None


@pytest.mark.parametrize(("function", "arguments", "name"), list(_cases()))
def test_bad_argument_is_named(function, arguments, name):
    """Design conventions: bad input gets a ValueError that names the argument."""
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        function(**arguments)


@pytest.mark.parametrize("n", [0, 1])
def test_prefix_predictions_checks_its_arguments(n):
    """`prefix_predictions` names xs or ys when their shapes do not fit."""
    with pytest.raises(ValueError, match=r"\b(xs|ys)\b"):
        solvers.prefix_predictions(solvers.averaging, np.ones((4, 3)), np.ones(n))


@pytest.mark.parametrize(
    ("samples", "theta", "n_train", "name"),
    [
        (ONES, THETA, 4, None),
        (-np.ones((3, 2)), THETA, 4, None),
        (np.ones((3, 2)), 2 * THETA, 4, "theta"),
        (np.ones((3, 2)), THETA, 0, "n_train"),
    ],
)
def test_init_scale_bound_checks_its_arguments(samples, theta, n_train, name):
    """Eq. (4.11): diagonals (S, d) positive, Theta normalised, N at least 1."""
    with pytest.raises(ValueError, match=name):
        rc.init_scale_bound(samples, theta, n_train)
