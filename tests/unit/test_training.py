"""The training loop against closed forms, and its divergence guard."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from training_examples import Point, config, quadratic, quiet

from icl_lib.training import TrainConfig, TrainingError, learning_rate, train


class TestLearningRate:
    def test_warmup_is_linear_and_reaches_the_peak(self):
        settings = TrainConfig(steps=100, lr=0.5, warmup=10)
        for step in range(10):
            assert learning_rate(step, settings) == pytest.approx(0.5 * (step + 1) / 10, rel=1e-14)

    def test_cosine(self):
        """Peak right after warm-up, half of it half-way, 0 at the end that is never taken."""
        settings = TrainConfig(steps=110, lr=0.5, warmup=10)
        assert learning_rate(10, settings) == 0.5
        assert learning_rate(60, settings) == pytest.approx(0.25)
        assert learning_rate(110, settings) == pytest.approx(0.0, abs=1e-15)
        for step in (11, 37, 85, 109):
            expected = 0.5 * math.cos(math.pi * (step - 10) / 200) ** 2
            assert learning_rate(step, settings) == pytest.approx(expected, rel=1e-9)
        rates = [learning_rate(step, settings) for step in range(10, 110)]
        assert rates == sorted(rates, reverse=True) and rates[-1] > 0

    def test_constant(self):
        settings = TrainConfig(steps=10, lr=0.3, schedule="constant")
        assert {learning_rate(step, settings) for step in range(10)} == {0.3}

    def test_longer_warmup_than_training(self):
        assert learning_rate(4, TrainConfig(steps=5, lr=1.0, warmup=10)) == 0.5
        assert learning_rate(5, TrainConfig(steps=5, lr=1.0, warmup=5)) == 1.0

    def test_matches_torchs_cosine(self):
        settings = TrainConfig(steps=50, lr=0.2)
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.2)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
        for step in range(50):
            assert learning_rate(step, settings) == pytest.approx(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()


class TestSteps:
    @pytest.mark.parametrize("options", [{}, {"schedule": "cosine", "warmup": 4}])
    def test_gradient_descent_in_closed_form(self, options):
        settings, model = config(**options), Point(5.0, 1.0)
        log = quiet(model, quadratic, settings)
        gaps, losses = [3.0, 2.0], []
        for step in range(20):
            losses.append(0.5 * (gaps[0] ** 2 + 3 * gaps[1] ** 2))
            rate = learning_rate(step, settings)
            gaps = [gaps[0] * (1 - rate), gaps[1] * (1 - 3 * rate)]
        assert model.w.tolist() == pytest.approx([2 + gaps[0], -1 + gaps[1]], rel=1e-12)
        windows = [sum(losses[i : i + 5]) / 5 for i in range(0, 20, 5)]
        assert [step for step, _ in log.trace] == [5, 10, 15, 20]
        assert [loss for _, loss in log.trace] == pytest.approx(windows, rel=1e-12)
        assert log.final_loss == log.trace[-1][1] and log.seconds > 0

    def test_a_last_window_that_is_not_full(self):
        log = quiet(Point(2.0, 0.0), lambda model, step: model.w.sum() * 0 + step, config(7))
        assert log.trace == [(5, 2.0), (7, 5.5)]

    def test_first_adamw_step(self):
        """Adam's first step is lr times the sign; decoupled decay multiplies by 1 - lr * decay."""
        model = Point(5.0, -3.0)
        quiet(model, quadratic, config(1, optimizer="adamw", weight_decay=0.5))
        assert model.w.tolist() == pytest.approx([5 * 0.95 - 0.1, -3 * 0.95 + 0.1], abs=1e-8)

    def test_clipping(self):
        model = Point(5.0, 3.0)
        quiet(model, quadratic, config(1, clip_norm=2.0))  # the gradient is (3, 12)
        norm = math.hypot(3.0, 12.0)
        expected = [5 - 0.1 * 3 * 2 / norm, 3 - 0.1 * 12 * 2 / norm]
        assert model.w.tolist() == pytest.approx(expected, rel=1e-5)
        model = Point(5.0, 3.0)
        quiet(model, quadratic, config(1, clip_norm=100.0))
        assert model.w.tolist() == pytest.approx([4.7, 1.8], rel=1e-12)

    def test_the_loss_sees_every_step_once(self):
        seen = []

        def loss_at(model, step):
            seen.append(step)
            return quadratic(model, step)

        quiet(Point(0.0, 0.0), loss_at, config(6))
        assert seen == list(range(6))

    def test_the_callers_threads_stay(self):
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(2)
            quiet(Point(0.0, 0.0), quadratic, config(1))
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)

    def test_progress_bar(self, capsys):
        train(Point(0.0, 0.0), quadratic, config(5))
        assert "training" in capsys.readouterr().err
        quiet(Point(0.0, 0.0), quadratic, config(5))
        assert capsys.readouterr() == ("", "")


class TestSnapshots:
    def test_weights_after_the_asked_steps(self):
        """Step 0 is the start; each snapshot is what a shorter run ends in (constant rate)."""
        log = quiet(Point(5.0, 1.0), quadratic, config(10), snapshot_steps=(10, 0, 3, 7))
        assert [step for step, _ in log.snapshots] == [0, 3, 7, 10]
        assert log.snapshots[0][1]["w"].tolist() == [5.0, 1.0]
        for step, weights in log.snapshots[1:]:
            short = Point(5.0, 1.0)
            quiet(short, quadratic, config(step))
            assert torch.equal(weights["w"], short.w.detach())

    def test_a_snapshot_is_a_copy_and_changes_nothing(self):
        plain, model = Point(5.0, 1.0), Point(5.0, 1.0)
        trace = quiet(plain, quadratic, config(10)).trace
        log = quiet(model, quadratic, config(10), snapshot_steps=range(11))
        assert log.trace == trace and torch.equal(model.w, plain.w)
        assert len({tuple(weights["w"].tolist()) for _, weights in log.snapshots}) == 11

    def test_none_by_default(self):
        assert quiet(Point(5.0, 1.0), quadratic, config(10)).snapshots == []


def scripted(losses):
    """A loss that takes the given values and never moves the weights."""
    return lambda model, step: model.w.sum() * 0.0 + losses[step]


class TestDivergence:
    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_not_finite(self, bad):
        model = Point(1.0, 1.0)
        with pytest.raises(TrainingError, match=r"the loss is -?(nan|inf) at step 3: try a lower"):
            quiet(model, scripted([1.0, 1.0, 1.0, bad, 1.0]), config(5))

    def test_weights_are_not_spoiled_by_a_bad_step(self):
        model = Point(1.0, 1.0)
        with pytest.raises(TrainingError):
            quiet(model, lambda m, step: m.w.sum() * math.nan, config(5))
        assert model.w.tolist() == [1.0, 1.0]

    def test_real_divergence(self):
        with pytest.raises(TrainingError, match="above twice that of predicting zero"):
            quiet(Point(5.0, 5.0), quadratic, config(100, lr=1.0), zero_loss=3.5)

    def test_three_high_windows_in_a_row(self):
        high, low = [2.1] * 5, [2.0] * 5  # exactly twice zero_loss is not above
        message = r"the loss stays at 2.1 up to step 15, above twice .* \(1\): try"
        with pytest.raises(TrainingError, match=message):
            quiet(Point(0.0), scripted(high * 3 + low), config(20), zero_loss=1.0)
        for losses in (high * 2 + low * 2, high * 2 + low + high * 2, low * 5):
            log = quiet(Point(0.0), scripted(losses), config(len(losses)), zero_loss=1.0)
            assert len(log.trace) == len(losses) // 5

    def test_no_guard_without_zero_loss(self):
        assert quiet(Point(0.0), scripted([1e9] * 20), config(20)).final_loss == 1e9

    def test_the_count_survives_a_restart(self, tmp_path):
        losses, path = [9.0] * 15, tmp_path / "state.pt"

        def interrupted(model, step):
            if step == 12:  # after two high windows
                raise KeyboardInterrupt
            return scripted(losses)(model, step)

        with pytest.raises(KeyboardInterrupt):
            quiet(
                Point(0.0), interrupted, config(20), zero_loss=1.0, state_path=path, save_every=10
            )
        with pytest.raises(TrainingError, match="up to step 15"):
            quiet(Point(0.0), scripted(losses), config(20), zero_loss=1.0, state_path=path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be an integer of at least 1, got 0"),
        ({"steps": 1.5}, "steps must be an integer"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"lr": math.nan}, "lr must be a finite number"),
        ({"warmup": -1}, "warmup must be an integer of at least 0"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0"),
        ({"log_every": 0}, "log_every must be an integer"),
        ({"clip_norm": 0.0}, "clip_norm must be above 0"),
        ({"schedule": "linear"}, "schedule must be 'cosine' or 'constant', got 'linear'"),
        ({"optimizer": "adam"}, "optimizer must be 'adamw' or 'sgd', got 'adam'"),
    ],
)
def test_bad_configurations(options, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**({"steps": 10, "lr": 0.1} | options))


@pytest.mark.parametrize("save_every", [0, -5, 2.5])
def test_bad_interval(save_every):
    with pytest.raises(ValueError, match="save_every must be an integer of at least 1"):
        quiet(Point(0.0, 0.0), quadratic, config(), save_every=save_every)
