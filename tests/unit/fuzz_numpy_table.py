"""Valid arguments by name, and every public NumPy callable with what is special about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np

from icl_lib.analysis.probing import Probe
from icl_lib.theory import gradient_flow, linear_systems, random_covariance, solvers

T, B = 4, 3  # length of a sequence, rows of a batch
LENGTHS = dict.fromkeys(("n_train", "n_test"), ("inf",))  # math.inf is a length
MATRICES = "covariance query_covariance train_covariance test_covariance prior A"
SQUARES = "preconditioner matrix w_star u11 phi_0"
VECTORS = "w cross_moment u12 u21 b x0 w0 x_query"
SEQUENCES = "states predictions keys queries"


@dataclasses.dataclass(frozen=True)
class Entry:
    """``own``: arguments that differ from `arguments`, as functions of the others.

    ``allow``: labels of replacements that are accepted although they must be refused as a rule, by
    argument. ``fits``: arguments that may be blamed for a shape instead, as shapes must fit each
    other. ``skip``: arguments that are not fuzzed, with the reason.
    """

    own: dict[str, Callable] = dataclasses.field(default_factory=dict)
    allow: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    fits: tuple[str, ...] = ()
    skip: dict[str, str] = dataclasses.field(default_factory=dict)


def eighths(rng, *shape) -> np.ndarray:
    """Return random multiples of 1/8 other than 0, which float16 holds exactly."""
    return rng.choice([-1.25, -0.5, 0.125, 0.75, 1.0], shape)


def positive_definite(rng, d) -> np.ndarray:
    """Return a positive definite (d, d) matrix of whole numbers."""
    half = rng.integers(-1, 2, (d, d))
    return (half @ half.T + 2 * np.eye(d)).astype(float)


def arguments(rng: np.random.Generator, d: int) -> dict:
    """Return a valid value for every argument name, for dimension ``d``."""
    raw = rng.uniform(0.5, 1.5, (6, d))
    m1, m2, m3 = ((raw**power).mean(0) for power in (1, 2, 3))
    return {
        **{name: positive_definite(rng, d) for name in MATRICES.split()},
        **{name: eighths(rng, d, d) for name in SQUARES.split()},
        **{name: eighths(rng, d) for name in VECTORS.split()},
        **{name: eighths(rng, 2, T, d) for name in SEQUENCES.split()},
        "theta": gradient_flow.normalise_theta(rng.standard_normal((d, d))),
        **{"m1": m1, "m2": m2, "m3": m3, "eigenvalues": m1, "diagonals": raw},
        **{"xs": eighths(rng, T, d), "ys": eighths(rng, T), "values": eighths(rng, 2, T, d + 1)},
        **{
            "alphas": eighths(rng, 3),
            "betas": eighths(rng, 3),
            "forgetting": np.full((2, T), 0.75),
        },
        **{"u": np.array(0.5), "t": np.array([0.0, 0.5]), "alpha": np.array(0.25)},
        **{"sigma": 0.125, "t_max": 2.0, "rtol": 1e-10, "atol": 1e-12, "scale": 0.5, "low": 0.5},
        **{"noise_var": 0.25, "best_linear_error": 0.5, "epsilon": 0.125, "high": 2.0},
        **{"ridge": 0.5, "sharpness": 0.5, "step_size": 0.125, "momentum": 0.25},
        **{"n_train": 5, "n_test": 7, "n_times": 5, "d": d, "k": 2, "steps": 3, "terms": 3},
        **{"form": "spectrum", "check": True, "solver": solvers.least_squares},
        # probes
        **{"streams": eighths(rng, 2, 9, T, d), "features": eighths(rng, 9, d)},
        **{"targets": eighths(rng, 9, 2), "positions": [0, 2], "n_fit": 5, "intercept": True},
        # figures and exercises
        **{"columns": 2, "rows": 1, "height": 2.0, "width": 4.0, "dpi": 20, "start": 1},
        **{"x": np.arange(3.0), "samples": eighths(rng, B, 3), "y": 0.5, "right": True},
        **{"label": "a curve", "title": "a matrix", "text": "a line", "colour": "blue"},
        **{"alt": "A line that grows from left to right", "caption": "It grows."},
        **{"names": ["a", "b"], "series": {"one": [1.0, 2.0], "two": [0.5, 0.25]}, "limit": 1.5},
        **{
            "labels": ["first", "second"],
            "name": "01-ridge",
            "number": 2,
            "answer": max,
            "draw": _draw,
        },
        **{"linestyle": "--", "ax": _axes()},
    }


def _draw(index: int):
    figure = plt.figure(figsize=(2, 1))
    figure.add_subplot().plot([0, index])
    return figure


def _axes():
    plt.close("all")
    return plt.figure(figsize=(2, 1)).add_subplot()


def _sequences(rng, d) -> np.ndarray:
    return eighths(rng, 2, T, d)


def _inverse_gram(rng, d) -> np.ndarray:
    keys = eighths(np.random.default_rng(0), 2, T, d)
    return linear_systems.inverse_gram_scan(keys, 0.5)[..., -1, :, :]


PLAIN = Entry(allow=LENGTHS)
PROMPT = Entry(fits=("xs", "ys", "x_query"))
PAIRED = Entry(own={"features": lambda rng, d: eighths(rng, 2, T, d + 1)}, fits=("features",))
LOSS = Entry(own={"targets": _sequences}, fits=("predictions", "targets"))
LAW = Entry(allow=LENGTHS, fits=("m1", "m2", "m3"))
FLOW = Entry(allow=LENGTHS, fits=("theta",))
STATE = Entry(allow=LENGTHS, fits=("u11", "u"))
NOT_DATA = {"ax": "where the figure is drawn"}

TABLE: dict[str, Entry] = {
    "theory.few_shot.trajectory_limit": Entry(fits=("w_star",)),
    "theory.few_shot.trajectory_floor": Entry(fits=("w_star",)),
    "theory.few_shot.pair_ridge": Entry(
        own={"xs": _sequences, "ys": _sequences}, fits=("xs", "ys")
    ),
    "theory.gradient_flow.shifted_loss": STATE,
    "theory.gradient_flow.minimum_shifted_loss": PLAIN,
    "theory.gradient_flow.gradient": STATE,
    "theory.gradient_flow.simulate": FLOW,
    "theory.gradient_flow.normalise_theta": PLAIN,
    "theory.gradient_flow.max_scale": PLAIN,
    "theory.gradient_flow.initial_loss_bound": FLOW,
    "theory.gradient_flow.u_lower_bound": FLOW,
    "theory.gradient_flow.pl_constant": FLOW,
    "theory.gradient_flow.asymptotic_rate": PLAIN,
    "theory.gradient_flow.logistic_s": PLAIN,
    "theory.gradient_flow.logistic_half_time": PLAIN,
    "theory.gradient_flow.random_shifted_loss": Entry(
        own={"moments": lambda rng, d: random_covariance.moments([1] * d, [2] * d, [6] * d, 5)},
        fits=("u11", "u"),
    ),
    "theory.gradient_flow.simulate_random": Entry(allow=LENGTHS, fits=("m1", "m2", "m3", "theta")),
    "theory.landscape.population_loss": Entry(allow=LENGTHS, fits=("u11", "u12", "u21", "u")),
    "theory.linear_systems.richardson": Entry(fits=("b", "x0", "step_size", "momentum")),
    "theory.linear_systems.neumann": Entry(fits=("b",)),
    "theory.linear_systems.chebyshev_coefficients": Entry(fits=("low", "high")),
    "theory.linear_systems.chebyshev": Entry(fits=("b", "low", "high")),
    "theory.linear_systems.conjugate_gradient": Entry(fits=("b",)),
    "theory.linear_systems.newton_schulz": PLAIN,
    "theory.linear_systems.learned_inverse": Entry(fits=("alphas", "betas")),
    "theory.linear_systems.recursive_least_squares": Entry(
        fits=("keys", "values", "queries", "forgetting")
    ),
    "theory.linear_systems.inverse_gram_scan": Entry(fits=("forgetting",)),
    "theory.linear_systems.reverse_inverse_gram_scan": Entry(
        own={
            "keys": lambda rng, d: eighths(np.random.default_rng(0), 2, T, d),
            "last": _inverse_gram,
            "forgetting": lambda rng, d: np.ones(T),
        },
        fits=("last", "forgetting"),
    ),
    "theory.optimum.gamma": PLAIN,
    "theory.optimum.optimal_preconditioner": Entry(allow=LENGTHS, fits=("prior",)),
    "theory.optimum.optimal_weights": PLAIN,
    "theory.optimum.balanced_weights": PLAIN,
    "theory.optimum.minimum_loss": PLAIN,
    "theory.optimum.zero_predictor_loss": PLAIN,
    "theory.optimum.risk": Entry(allow=LENGTHS, fits=("w",)),
    "theory.optimum.preconditioner_risk": Entry(
        allow=LENGTHS, fits=("preconditioner", "prior", "query_covariance")
    ),
    "theory.optimum.best_linear_predictor": Entry(fits=("cross_moment",)),
    "theory.optimum.arbitrary_label_risk": Entry(
        own={"sigma": positive_definite}, allow=LENGTHS, fits=("cross_moment", "sigma")
    ),
    "theory.optimum.linear_label_sigma": Entry(fits=("w",)),
    "theory.optimum.risk_bound": PLAIN,
    "theory.optimum.irreducible_error": PLAIN,
    "theory.optimum.sufficient_length": PLAIN,
    "theory.random_covariance.moments": LAW,
    "theory.random_covariance.optimal_preconditioner": LAW,
    "theory.random_covariance.optimal_weights": LAW,
    "theory.random_covariance.exponential_alpha": PLAIN,
    "theory.random_covariance.exponential_minimum_loss": PLAIN,
    "theory.random_covariance.exponential_risk": PLAIN,
    "theory.random_covariance.limit_error": PLAIN,
    "theory.random_covariance.fixed_model_limit_error": PLAIN,
    "theory.random_covariance.init_scale_bound": FLOW,
    "theory.sequences.gram_matrices": PLAIN,
    "theory.sequences.cross_matrices": PAIRED,
    "theory.sequences.gradient_step": Entry(fits=("step_size", "phi_0")),
    "theory.sequences.ridge_all_pairs": PAIRED,
    "theory.sequences.ridge_lagged": PAIRED,
    "theory.sequences.kernel_regression": PLAIN,
    "theory.sequences.preconditioned_inputs": PLAIN,
    "theory.sequences.best_step_size": PLAIN,
    "theory.sequences.best_step_sizes": PLAIN,
    "theory.sequences.position_loss": LOSS,
    "theory.sequences.sequence_loss": LOSS,
    "theory.shifts.query_shift_risk": Entry(allow=LENGTHS, fits=("query_covariance",)),
    "theory.shifts.covariate_shift_risk": Entry(
        allow=LENGTHS, fits=("train_covariance", "test_covariance")
    ),
    "theory.shifts.task_shift_risk": Entry(allow=LENGTHS, fits=("w",)),
    "theory.shifts.scaling_limit": PLAIN,
    "theory.shifts.orthant_limit": PLAIN,
    "theory.shifts.subspace_limit": Entry(fits=("k",)),
    "theory.shifts.skewed_limit": PLAIN,
    **{
        f"theory.solvers.{name}": PROMPT
        for name in ("least_squares", "ridge", "averaging", "nearest_neighbours")
    },
    "theory.solvers.gradient_descent": Entry(fits=("xs", "ys", "x_query", "w0")),
    "theory.solvers.bayes_linear": Entry(fits=("xs", "ys", "x_query", "prior")),
    "theory.solvers.prefix_predictions": PROMPT,
    "analysis.probing.Probe.predict": Entry(skip={"self": "the probe"}),
    "analysis.probing.fit_probe": Entry(fits=("targets",)),
    "analysis.probing.unexplained_variance": Entry(
        own={"probe": lambda rng, d: Probe(eighths(rng, d, 2), eighths(rng, 2))},
        fits=("features", "targets", "probe"),
    ),
    "analysis.probing.probe_errors": Entry(
        own={"targets": lambda rng, d: eighths(rng, 9, T, 2)},
        fits=("targets", "n_fit", "positions"),
    ),
    "analysis.probing.token_probe_errors": Entry(
        own={"states": lambda rng, d: eighths(rng, 9, T, 2)},
        fits=("states", "n_fit", "positions"),
    ),
    "teaching.plotting.use_style": PLAIN,
    "teaching.plotting.panels": PLAIN,
    "teaching.plotting.curve_with_band": Entry(
        skip=NOT_DATA,
        fits=("samples",),
        allow={"linestyle": ("None",)},  # matplotlib's own cycle
    ),
    "teaching.plotting.reference_line": Entry(skip=NOT_DATA),
    "teaching.plotting.matrix": Entry(
        own={"values": lambda rng, d: eighths(rng, 3, 2)}, skip=NOT_DATA
    ),
    "teaching.plotting.bars": Entry(skip=NOT_DATA, fits=("series",)),
    "teaching.scrubber.scrubber": Entry(
        own={"name": lambda rng, d: "fig-line"},
    ),
    "exercises.checker.Exercises.run": PLAIN,
    "exercises.checker.Exercises.check": PLAIN,
    "exercises.checker.Exercises.names": PLAIN,
    "exercises.checker.Exercises.case": PLAIN,
}
