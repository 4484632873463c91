"""The exercise checkers: the solution passes, the stub and plausible mistakes fail, each in its way.

`TABLE` has an entry for every exercise: the solution and at least three wrong answers. A wrong
answer must meet a hint of its own.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from scipy.optimize import brentq

from icl_lib import exercises
from icl_lib.exercises import checker
from icl_lib.exercises.checker import Property, Result, check, names, run
from icl_lib.theory import optimum, shifts

BOOK = Path(__file__).resolve().parents[2] / "book"


# 01: ridge regression on one prompt


def ridge(xs, ys, x_query, penalty):
    return x_query @ np.linalg.solve(xs.T @ xs + penalty * np.eye(xs.shape[1]), xs.T @ ys)


def ridge_weights(xs, ys, x_query, penalty):
    return np.linalg.solve(xs.T @ xs + penalty * np.eye(xs.shape[1]), xs.T @ ys)


def averaging(xs, ys, x_query, penalty):
    return x_query @ xs.T @ ys / (len(xs) + penalty)


def ridge_on_the_mean(xs, ys, x_query, penalty):
    return ridge(xs, ys, x_query, penalty * len(xs))


def ridge_with_a_squared_penalty(xs, ys, x_query, penalty):
    return ridge(xs, ys, x_query, penalty**2)


def least_squares_for_short_prompts(xs, ys, x_query, penalty):
    if len(xs) < xs.shape[1]:
        return x_query @ np.linalg.pinv(xs) @ ys
    return ridge(xs, ys, x_query, penalty)


# 02: balanced weights for a given matrix


def balanced(a):
    d, scale = len(a), np.linalg.norm(a) ** 0.5
    w_pv, w_kq = np.zeros((2, d + 1, d + 1))
    w_pv[-1, -1], w_kq[:d, :d] = scale, a / scale
    return w_pv, w_kq


def weights_without_a_row_for_the_label(a):
    return np.eye(len(a)), a


def transposed(a):
    return balanced(a.T)


def unbalanced(a):
    w_pv, w_kq = balanced(a)
    return w_pv / w_pv[-1, -1], w_kq * w_pv[-1, -1]


def identity_as_projection(a):
    d = len(a)
    scale = (np.linalg.norm(a) / (d + 1) ** 0.5) ** 0.5
    w_kq = np.zeros((d + 1, d + 1))
    w_kq[:d, :d] = a / scale
    return scale * np.eye(d + 1), w_kq


# 03: the best preconditioner with label noise


def noisy_preconditioner(covariance, n, noise_var):
    shift = (np.trace(covariance) + noise_var) / n
    return np.linalg.inv((1 + 1 / n) * covariance + shift * np.eye(len(covariance)))


def noisy_diagonal(covariance, n, noise_var):
    return np.diag(noisy_preconditioner(covariance, n, noise_var))


def noisy_elementwise(covariance, n, noise_var):
    with np.errstate(divide="ignore"):
        return 1 / (optimum.gamma(covariance, n) + noise_var / n * np.eye(len(covariance)))


def noise_ignored(covariance, n, noise_var):
    return np.linalg.inv(optimum.gamma(covariance, n))


def noise_for_the_whole_prompt(covariance, n, noise_var):
    return np.linalg.inv(optimum.gamma(covariance, n) + noise_var * np.eye(len(covariance)))


def noise_as_a_deviation(covariance, n, noise_var):
    return noisy_preconditioner(covariance, n, noise_var**2)


# 04: the shifted loss


def shifted_loss(u11, u, covariance, n):
    quadratic = optimum.gamma(covariance, n) @ covariance @ u11 @ covariance @ u11.T
    return np.trace(u**2 / 2 * quadratic - u * covariance @ covariance @ u11.T)


def loss_without_trace(u11, u, covariance, n):
    quadratic = optimum.gamma(covariance, n) @ covariance @ u11 @ covariance @ u11.T
    return u**2 / 2 * quadratic - u * covariance @ covariance @ u11.T


def loss_that_is_not_shifted(u11, u, covariance, n):
    return shifted_loss(u11, u, covariance, n) + np.trace(covariance) / 2


def loss_without_the_half(u11, u, covariance, n):
    quadratic = optimum.gamma(covariance, n) @ covariance @ u11 @ covariance @ u11.T
    return np.trace(u**2 * quadratic - u * covariance @ covariance @ u11.T)


def loss_without_transpose(u11, u, covariance, n):
    quadratic = optimum.gamma(covariance, n) @ covariance @ u11 @ covariance @ u11
    return np.trace(u**2 / 2 * quadratic - u * covariance @ covariance @ u11)


# 05: the smallest risk at a test length


def best_risk(lam, n, noise_var):
    return np.sum(lam - lam**2 / ((1 + 1 / n) * lam + (lam.sum() + noise_var) / n))


def risk_of_each_axis(lam, n, noise_var):
    return lam - lam**2 / ((1 + 1 / n) * lam + (lam.sum() + noise_var) / n)


def half_the_risk(lam, n, noise_var):
    return best_risk(lam, n, noise_var) / 2


def risk_of_the_noiseless_matrix(lam, n, noise_var):
    noise = noise_var / n * np.sum(lam**2 / ((1 + 1 / n) * lam + lam.sum() / n) ** 2)
    return best_risk(lam, n, 0.0) + noise


def risk_with_noise_for_the_whole_prompt(lam, n, noise_var):
    return np.sum(lam - lam**2 / ((1 + 1 / n) * lam + lam.sum() / n + noise_var))


# 06: Theorem 4.2 from a sample


def estimated_risk(xs, ys, n, m, *, centre=True, best=None, length=None):
    covariance = xs.T @ xs / len(xs)
    products = xs * np.asarray(ys)[:, None]
    cross = products.mean(0)
    sigma = products.T @ products / len(xs) - centre * np.outer(cross, cross)
    gamma = optimum.gamma(covariance, n)
    inverse = np.linalg.inv(gamma @ gamma)
    shift = covariance + np.trace(covariance) * np.eye(len(covariance))
    a = np.linalg.solve(covariance, cross)
    bias = a @ inverse @ covariance @ shift @ shift @ a / (length or n) ** 2
    best = np.mean(ys**2) - cross @ a if best is None else best
    return best + np.trace(sigma @ inverse @ covariance) / m + bias


def risk_as_three_terms(xs, ys, n, m):
    return np.full(3, estimated_risk(xs, ys, n, m))


def risk_with_an_intercept(xs, ys, n, m):
    residual = ys - ys.mean()
    line = np.linalg.lstsq(xs, residual, rcond=None)[0]
    return estimated_risk(xs, ys, n, m, best=np.mean((residual - xs @ line) ** 2))


def risk_with_the_test_length_in_the_bias(xs, ys, n, m):
    return estimated_risk(xs, ys, n, m, length=m)


def risk_with_a_second_moment(xs, ys, n, m):
    return estimated_risk(xs, ys, n, m, centre=False)


# 07: the scale at which the layer is as bad as predicting zero


def critical_scale(covariance, n, m, zero=np.trace):
    """Root of risk = that of predicting zero, in c between 1 and 5."""

    def excess(c):
        shifted = c**2 * covariance
        return shifts.covariate_shift_risk(covariance, shifted, n, m) / zero(shifted) - 1

    return brentq(excess, 1.0, 5.0)


def scales_with_their_risks(covariance, n, m):
    return np.array([critical_scale(covariance, n, m), 1.0])


def squared_scale(covariance, n, m):
    return critical_scale(covariance, n, m) ** 2


def scale_relative_to_the_dimension(covariance, n, m):
    lam = np.trace(covariance)
    return critical_scale(covariance, n, m, zero=lambda shifted: np.trace(shifted) * 3 / lam)


def limit_for_long_prompts(covariance, n, m):
    return 2**0.5


# 08: the compromise for random covariances


def alpha(samples, n):
    gamma = (1 + 1 / n) * samples + samples.sum(1, keepdims=True) / n
    return np.mean(samples**2) / np.mean(gamma * samples**2)


def alpha_for_each_axis(samples, n):
    gamma = (1 + 1 / n) * samples + samples.sum(1, keepdims=True) / n
    return (samples**2).mean(0) / (gamma * samples**2).mean(0)


def alpha_without_lengths(samples, n):
    return np.mean(samples**2) / np.mean(samples**3)


def average_of_ratios(samples, n):
    return np.mean(1 / ((1 + 1 / n) * samples + samples.sum(1, keepdims=True) / n))


def alpha_with_the_mean_trace(samples, n):
    gamma = (1 + 1 / n) * samples + samples.sum(1).mean() / n
    return np.mean(samples**2) / np.mean(gamma * samples**2)


TABLE = {
    "01-ridge": (
        ridge, [ridge_weights, averaging, ridge_on_the_mean, least_squares_for_short_prompts],
    ),
    "02-balanced-step": (
        balanced,
        [weights_without_a_row_for_the_label, transposed, unbalanced, identity_as_projection],
    ),
    "03-noisy-preconditioner": (
        noisy_preconditioner,
        [noisy_diagonal, noisy_elementwise, noise_ignored, noise_for_the_whole_prompt],
    ),
    "04-shifted-loss": (
        shifted_loss,
        [
            loss_without_trace, loss_that_is_not_shifted, loss_without_the_half,
            loss_without_transpose,
        ],
    ),
    "05-best-risk": (
        best_risk,
        [
            risk_of_each_axis, half_the_risk, risk_of_the_noiseless_matrix,
            risk_with_noise_for_the_whole_prompt,
        ],
    ),
    "06-estimated-risk": (
        estimated_risk,
        [
            risk_as_three_terms, risk_with_an_intercept, risk_with_the_test_length_in_the_bias,
            risk_with_a_second_moment,
        ],
    ),
    "07-critical-scale": (
        critical_scale,
        [
            scales_with_their_risks, squared_scale, scale_relative_to_the_dimension,
            limit_for_long_prompts,
        ],
    ),
    "08-alpha": (
        alpha,
        [
            alpha_for_each_axis, alpha_without_lengths, average_of_ratios,
            alpha_with_the_mean_trace,
        ],
    ),
}
# more mistakes, which may share a hint with one above
ALSO_WRONG = [
    ("01-ridge", ridge_with_a_squared_penalty),
    ("03-noisy-preconditioner", noise_as_a_deviation),
]


def test_every_exercise_is_in_the_table():
    assert sorted(TABLE) == names()


@pytest.mark.parametrize("name", TABLE)
def test_the_solution_passes(name):
    result = run(name, TABLE[name][0])
    assert result.passed, result.message
    assert re.fullmatch(r"All \d+ properties hold\.", result.message)


def stub(*arguments):
    return None


@pytest.mark.parametrize("name", TABLE)
def test_the_stub_fails(name):
    result = run(name, stub)
    assert not result.passed
    assert result.message.startswith("Not yet. Property 1: ") and "Hint: " in result.message


@pytest.mark.parametrize("name", TABLE)
def test_wrong_answers_fail_each_with_its_own_hint(name):
    hints = []
    for wrong in TABLE[name][1]:
        result = run(name, wrong)
        assert not result.passed, wrong.__name__
        assert "raised" not in result.message, result.message
        hints.append(result.message.split("Hint: ")[1])
    assert len(set(hints)) == len(hints) >= 3, hints


@pytest.mark.parametrize(("name", "wrong"), ALSO_WRONG)
def test_more_wrong_answers(name, wrong):
    assert not run(name, wrong).passed


@pytest.mark.parametrize("name", TABLE)
def test_properties_are_legible_and_never_show_the_answer(name):
    properties = checker._registry()[name]
    assert len(properties) >= 3
    for prop in properties:
        assert prop.says and not prop.says.endswith(".")  # it stands within a sentence
        assert len(prop.hint.split()) >= 4 and prop.hint.strip()[-1] in ".?"
        assert "np.linalg.inv(" not in prop.hint and "return (" not in prop.hint


class TestMachinery:
    @pytest.fixture(autouse=True)
    def registry(self, monkeypatch):
        properties = [
            Property("it returns a number", lambda f: isinstance(f(1), int), "count."),
            Property("it doubles", lambda f: f(3) == 6, "add twice."),
        ]
        monkeypatch.setattr(checker, "_registry", lambda: {"double": properties})

    def test_right(self):
        assert run("double", lambda x: 2 * x) == Result(True, "All 2 properties hold.")

    def test_the_first_property_that_fails_is_named(self):
        assert run("double", stub) == Result(
            False, "Not yet. Property 1: it returns a number. It does not hold. Hint: count."
        )
        assert run("double", lambda x: x) == Result(
            False, "Not yet. Property 2: it doubles. It does not hold. Hint: add twice."
        )

    def test_an_exception_is_reported(self):
        def breaks(x):
            raise ZeroDivisionError("division by zero")

        result = run("double", breaks)
        assert not result.passed
        assert "Your function raised ZeroDivisionError: division by zero. Hint: count." in (
            result.message
        )

    def test_wrong_arguments_are_reported(self):
        assert "Your function raised TypeError" in run("double", lambda: 3).message

    def test_a_reader_can_still_interrupt(self):
        def interrupted(x):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run("double", interrupted)

    def test_check_prints_the_message(self, capsys):
        assert check("double", lambda x: 2 * x) is None
        assert capsys.readouterr().out == "All 2 properties hold.\n"
        check("double", stub)
        assert capsys.readouterr().out.startswith("Not yet. Property 1")

    @pytest.mark.parametrize("function", [run, check])
    def test_bad_arguments(self, function):
        with pytest.raises(ValueError, match=r"name must be one of \['double'\], got 'triple'"):
            function("triple", stub)
        with pytest.raises(ValueError, match="answer must be a function, got None"):
            function("double", None)

    def test_public_names(self):
        assert exercises.__all__ == ["check", "names", "run"]
        assert names() == ["double"]


def notebook_solutions():
    """Yield (notebook, exercise name) for every cell tagged `solution` that calls a checker."""
    for path in sorted(BOOK.glob("part*/*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "code" and "solution" in cell["metadata"].get("tags", []):
                yield from ((path, name) for name in re.findall(r'^check\("([^"]+)"', source, re.M))


SOLUTIONS = list(notebook_solutions())


@pytest.mark.parametrize(("path", "name"), SOLUTIONS, ids=[name for _, name in SOLUTIONS])
def test_the_books_own_solution_passes(path, name, capsys):
    """Run the solution's cell after the imports, functions and constants of its notebook."""
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
             if cell["cell_type"] == "code"]
    space: dict = {}
    with mpl.rc_context():
        for cell in cells:
            source = "".join(cell["source"])
            if "solution" in cell["metadata"].get("tags", []) and f'check("{name}"' in source:
                exec(compile(source, path.name, "exec"), space)
                assert "properties hold." in capsys.readouterr().out
                return
            _run_definitions(re.sub(r"(?m)^(\s*)[!%].*$", r"\1pass", source), space)
    raise AssertionError("no such cell")


def _run_definitions(source, space):
    """Execute imports, function definitions and CONSTANTS of a cell, nothing that computes."""
    for node in ast.parse(source).body:
        constant = isinstance(node, ast.Assign) and all(
            isinstance(target, ast.Name) and target.id.isupper() for target in node.targets
        )
        if constant or isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef):
            try:
                exec(compile(ast.Module([node], []), "cell", "exec"), space)
            except NameError:  # a constant that an experiment computed; solutions need none
                continue
