"""Training that is killed and started again ends in the same weights, bit for bit."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_examples import Point, config, content_of, quadratic, quiet

RUN = """
import sys, time
import torch
from icl_lib.models.config import TransformerConfig
from icl_lib.models.transformer import Transformer
from icl_lib.tasks.randomness import generators
from icl_lib.tasks.regression import gaussian_task
from icl_lib.training import TrainConfig, train

TASK = gaussian_task(torch.eye(2).numpy())
CONFIG = TrainConfig(steps=150, lr=1e-2, warmup=10, clip_norm=1.0, log_every=20, weight_decay=0.1)


def run(state_path=None, slow=False):
    config = TransformerConfig.gpt(2, width=8, layers=1, heads=2, max_points=5)
    model = Transformer(config, torch.Generator().manual_seed(0))

    def loss_at(model, step):
        if slow:
            print(step, flush=True)
            time.sleep(0.002)
        prompts = TASK.sample(8, 5, generators(0, step))
        return (model(prompts.xs, prompts.ys) - prompts.ys).square().mean()

    log = train(model, loss_at, CONFIG, zero_loss=2.0, state_path=state_path, save_every=7,
                identity={"task": "gaussian", "batch": 8, "seed": 0}, progress=False)
    return model.state_dict(), log.trace


if __name__ == "__main__":
    torch.save(run(sys.argv[1], slow="slow" in sys.argv), sys.argv[2])
"""


class TestResumption:
    def test_sigkill(self, tmp_path, last_step=75):
        """Killed with SIGKILL, started again: the same weights and trace, bit for bit."""
        script, state, out = (tmp_path / name for name in ("run.py", "state.pt", "out.pt"))
        script.write_text(RUN, encoding="utf-8")
        root = Path(__file__).resolve().parents[2]
        command = [sys.executable, str(script), str(state), str(out)]
        victim = subprocess.Popen([*command, "slow"], stdout=subprocess.PIPE, text=True, cwd=root)
        for line in victim.stdout:
            if int(line) == last_step:
                victim.kill()
                break
        assert victim.wait(timeout=60) == -signal.SIGKILL
        victim.stdout.close()
        saved = content_of(state)["step"]
        assert 0 < saved <= last_step + 2 and saved % 7 == 0 and not out.exists()
        subprocess.run(command, check=True, timeout=60, cwd=root)
        weights, trace = torch.load(out, weights_only=True)
        space = {}
        exec(compile(RUN.split("if __name__")[0], "run.py", "exec"), space)  # the same code here
        expected_weights, expected_trace = space["run"]()
        assert trace == expected_trace
        assert weights.keys() == expected_weights.keys()
        for name, value in expected_weights.items():
            assert torch.equal(weights[name], value), name

    @pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
    def test_interruption_anywhere(self, tmp_path, optimizer):
        settings = config(23, optimizer=optimizer, schedule="cosine", weight_decay=0.1)
        straight = Point(5.0, 1.0)
        expected = quiet(straight, quadratic, settings).trace
        for stop in range(23):
            path = tmp_path / f"{stop}.pt"

            def loss_at(model, step, stop=stop):
                if step == stop:
                    raise KeyboardInterrupt
                return quadratic(model, step)

            with pytest.raises(KeyboardInterrupt):
                quiet(Point(5.0, 1.0), loss_at, settings, state_path=path, save_every=3)
            model, seen = Point(5.0, 1.0), []

            def watched(model, step, seen=seen):
                seen.append(step)
                return quadratic(model, step)

            trace = quiet(model, watched, settings, state_path=path, save_every=3).trace
            assert trace == expected and torch.equal(model.w, straight.w)
            assert seen == list(range(stop - stop % 3, 23))  # only what was lost is repeated

    @pytest.mark.parametrize("stop", [0, 2, 5, 8, 14, 15, 20])
    def test_snapshots_survive(self, tmp_path, stop):
        """Those before the interruption are kept, those after the last save are taken anew."""
        settings, wanted, path = config(21), (0, 2, 5, 15, 16, 21), tmp_path / "state.pt"
        expected = quiet(Point(5.0, 1.0), quadratic, settings, snapshot_steps=wanted).snapshots

        def loss_at(model, step):
            if step == stop:
                raise KeyboardInterrupt
            return quadratic(model, step)

        options = {"state_path": path, "save_every": 5, "snapshot_steps": wanted}
        with pytest.raises(KeyboardInterrupt):
            quiet(Point(5.0, 1.0), loss_at, settings, **options)
        again = quiet(Point(5.0, 1.0), quadratic, settings, **options).snapshots
        assert [step for step, _ in again] == [step for step, _ in expected] == list(wanted)
        for (_, got), (_, weights) in zip(again, expected, strict=True):
            assert torch.equal(got["w"], weights["w"])

    def test_a_finished_run_is_not_repeated(self, tmp_path):
        path, model = tmp_path / "folder" / "state.pt", Point(5.0, 1.0)
        log = quiet(model, quadratic, config(20), state_path=path, save_every=10)

        def never(model, step):
            raise AssertionError("trained again")

        again = Point(5.0, 1.0)
        repeated = quiet(again, never, config(20), state_path=path, save_every=10)
        assert repeated.trace == log.trace and torch.equal(again.w, model.w)

    def test_half_a_file_from_a_kill_is_ignored(self, tmp_path):
        path = tmp_path / "state.pt"
        (tmp_path / "state.pt.1.partial").write_bytes(b"half")
        quiet(Point(5.0, 1.0), quadratic, config(20), state_path=path, save_every=10)
        assert content_of(path)["step"] == 20
        assert sorted(p.name for p in tmp_path.iterdir()) == ["state.pt", "state.pt.1.partial"]

    def test_the_last_step_is_saved(self, tmp_path):
        """Whatever is done with the weights afterwards can be done again."""
        quiet(Point(5.0, 1.0), quadratic, config(20), state_path=tmp_path / "state.pt")
        assert content_of(tmp_path / "state.pt")["step"] == 20

    def test_a_full_disk_leaves_the_state_before(self, tmp_path, monkeypatch):
        path, real, writes = tmp_path / "state.pt", os.fsync, []

        def third_write_fails(descriptor):
            writes.append(descriptor)
            if len(writes) == 3:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(descriptor)

        monkeypatch.setattr(os, "fsync", third_write_fails)
        message = "state.pt cannot be written: No space left on device; the one saved before it"
        with pytest.raises(OSError, match=message):
            quiet(Point(5.0, 1.0), quadratic, config(20), state_path=path, save_every=5)
        assert content_of(path)["step"] == 10
        assert sorted(p.name for p in tmp_path.iterdir()) == ["state.pt"]
        model, straight = Point(5.0, 1.0), Point(5.0, 1.0)
        quiet(model, quadratic, config(20), state_path=path)
        quiet(straight, quadratic, config(20))
        assert torch.equal(model.w, straight.w)
