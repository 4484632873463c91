"""Tuning in a contest: on other prompts, a value a position, under the contest's clip."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from contest_examples import OTHER, SEEN, X, Y, entry, run, tunable

from icl_lib.contest import tune_grid
from icl_lib.tasks.randomness import generators
from icl_lib.tasks.regression import gaussian_task
from icl_lib.theory import solvers


class TestTuningData:
    @pytest.mark.parametrize(
        "tuning",
        [
            (X, Y),
            (X, Y + 1),
            (X + 1, Y),
            (X.copy(), Y.copy()),
            (X.copy(), Y + 1),
            (X + 1, Y.copy()),
            (X[::-1], Y[::-1]),
            (X[3:8], Y[3:8]),
            (np.concatenate([OTHER[0], X[5:6]]), np.concatenate([OTHER[1], Y[5:6]])),
            (X.astype(np.float32), Y.astype(np.float32)),
            (torch.tensor(X), torch.tensor(Y).float()),
        ],
    )
    def test_the_prompts_of_the_contest_are_refused(self, tuning):
        with pytest.raises(ValueError, match="tuning must be other data"):
            run(tunable(), tuning=tuning)

    def test_prompts_of_another_kind(self):
        """Named tuples are compared row by row, opaque prompts by their targets."""
        task = gaussian_task(np.eye(3))
        one, two = task.sample(12, 5, generators(0)), task.sample(9, 5, generators(1))
        zero = tune_grid(lambda v: lambda p: v * p.y_query, [0.0, 1.0])
        baseline = entry("b", None, tune=zero)
        data = {"prompts": one, "targets": one.y_query}
        assert run(baseline, **data, tuning=(two, two.y_query)).n_tuning == 9
        again = task.sample(12, 5, generators(0))
        with pytest.raises(ValueError, match="12 of the 12 prompts"):
            run(baseline, **data, tuning=(again, again.y_query))
        texts = entry("b", None, tune=tune_grid(lambda v: lambda p: v * np.ones((12, 4)), [0, 1]))
        for values, refused in [(Y.copy(), True), (Y + 1, False)]:
            try:
                run(texts, prompts=["a"] * 12, tuning=(["a"] * 12, values))
                assert not refused
            except ValueError as error:
                assert refused and "12 of the 12" in str(error)

    def test_needed_by_whoever_is_tuned(self):
        with pytest.raises(ValueError, match="contestant 'scale' is tunable and needs tuning data"):
            run(entry(), tunable())

    @pytest.mark.parametrize(
        ("tuning", "message"),
        [
            (X, "tuning must be a pair"),
            ((X, Y, Y), "tuning must be a pair"),
            ((OTHER[0], OTHER[1][:, :3]), r"targets of tuning must have shape \(B,\) \+ \(4,\)"),
            ((OTHER[0], np.full((12, 4), np.nan)), "targets of tuning must be finite"),
            ((OTHER[0], OTHER[1][:5]), "'scale' cannot be tuned: .* hold 12 prompts, .* 5"),
        ],
    )
    def test_bad_tuning_data(self, tuning, message):
        with pytest.raises(ValueError, match=message):
            run(tunable(), tuning=tuning)


class TestTuning:
    def test_chooses_the_smallest_error_by_hand(self):
        targets = OTHER[0] * [0.0, 1.0, 2.0, 1.2]
        result = run(tunable(), tunable("all", per_position=False), tuning=(OTHER[0], targets))
        assert result.tuned["scale"] == (0.0, 1.0, 2.0, 1.0)
        mean = [((v * OTHER[0] - targets) ** 2).mean() for v in (0.0, 1.0, 2.0)]
        assert result.tuned["all"] == ((0.0, 1.0, 2.0)[int(np.argmin(mean))],)
        assert result.errors[0] == pytest.approx((X * [0.0, 1.0, 2.0, 1.0] - Y) ** 2)
        assert result.at_edge == {"scale": 2, "all": 0}
        assert (
            "tuned on 12 other prompts: scale (a value a position, 2 at the edge of the grid),"
            in (result.describe())
        )

    def test_a_tie_is_no_edge(self):
        """Before the first pair every penalty predicts 0: the grid need not be wider."""
        result = run(tunable(), prompts=X, tuning=(0 * OTHER[0], OTHER[1]))
        assert result.at_edge == {"scale": 0}

    def test_under_the_clip_of_the_contest(self):
        """The best factor for clipped outputs is another than for free ones."""
        clipped = dataclasses.replace(SEEN, clip=0.1)
        tuning = (OTHER[0], np.sign(OTHER[0]) * 0.1)
        method = dataclasses.replace(tunable(grid=(0.0, 0.1, 50.0)), information=clipped)
        assert run(tunable(grid=(0.0, 0.1, 50.0)), tuning=tuning).tuned["scale"] == (0.1,) * 4
        assert run(method, information=clipped, tuning=tuning).tuned["scale"] == (50.0,) * 4

    def test_ridge_whose_best_penalty_depends_on_the_position(self):
        """Clean pairs, then pairs with noise: one penalty for all must be worse, and is.

        The chosen penalties are compared with the Bayes penalty of the clean half: 0.
        """
        late = np.arange(16) >= 6

        def draw(batch, seed):
            rng = np.random.default_rng(seed)
            xs, w = rng.standard_normal((batch, 16, 4)), rng.standard_normal((batch, 4, 1))
            clean = (xs @ w)[..., 0]
            return (xs, clean + 3 * late * rng.standard_normal((batch, 16))), clean

        def ridge(penalty):
            solver = lambda xs, ys, x: solvers.ridge(xs, ys, x, penalty)  # noqa: E731
            return lambda prompts: solvers.prefix_predictions(solver, *prompts)

        grid = np.logspace(-4, 2, 13)
        methods = [
            entry(name, None, tune=tune_grid(ridge, grid, per_position=each))
            for name, each in (("by position", True), ("one for all", False))
        ]
        prompts, targets = draw(400, 0)
        result = run(*methods, prompts=prompts, targets=targets, tuning=draw(400, 1))
        gain, se = result.difference("one for all", "by position")
        assert gain > 5 * se > 0
        chosen, (common,) = result.tuned["by position"], result.tuned["one for all"]
        assert max(chosen[5:7]) < 0.01 < 1 < min(chosen[9:]) and 0.01 < common
        fixed = run(entry("fixed", ridge(common)), prompts=prompts, targets=targets)
        assert np.array_equal(fixed.errors[0], result.errors[1])
