"""What a worker does with one run: done once, resumed, and failures kept with their reason."""

from __future__ import annotations

import errno
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_experiments import NAME, temporary_workplace  # noqa: F401 - fixture

from icl_lib.experiments import checkpoint, named
from icl_lib.experiments.run import Run
from icl_lib.experiments.sweeps import tasks
from icl_lib.experiments.sweeps.driver import plan
from icl_lib.experiments.sweeps.leases import file_lock
from icl_lib.experiments.sweeps.runs import weights_sha256
from icl_lib.experiments.sweeps.store import Store
from icl_lib.experiments.sweeps.tasks import perform
from icl_lib.training import TrainingError

pytestmark = pytest.mark.usefixtures("workplace")
STEPS = 12  # of the tiny run


@pytest.fixture(name="task")
def task_of_the_tiny_run(tmp_path):
    """The task of a run of twelve steps, whose state is saved every four."""
    places = {"store": str(tmp_path / "store"), "scratch": str(tmp_path / "scratch")}
    return plan(["tiny-fixed-n3"], [0], [{}], save_every=4, **places)[0]


@pytest.fixture(name="steps")
def steps_that_are_done(monkeypatch):
    """Counts how often each step is done; step "stop" raises what is put there."""
    done, original = Counter(), Run.loss_at
    done.stop = {}

    def loss_at(self, model, step):
        if step in done.stop:
            raise done.stop.pop(step)
        done[step] += 1
        return original(self, model, step)

    monkeypatch.setattr(Run, "loss_at", loss_at)
    return done


def refuse(monkeypatch, keys):
    """Let the store be full for the keys with these endings."""
    original = Store.write

    def write(self, key, blob):
        if key.endswith(keys):
            raise OSError(errno.ENOSPC, "No space left on device")
        original(self, key, blob)

    monkeypatch.setattr(Store, "write", write)


def stored_weights(task):
    return weights_sha256(Path(task.store) / f"{task.name}.safetensors")


class TestDone:
    def test_the_same_weights_as_the_command_train(self, task, steps):
        outcome = perform(task)
        assert outcome.status == "completed" and outcome.trained and outcome.stored
        metadata = named.train(NAME, progress=False)
        assert stored_weights(task) == weights_sha256(named.path_of(NAME))
        assert outcome.record["metrics"] == metadata["metrics"]
        assert outcome.record["weights_sha256"] == stored_weights(task)

    def test_what_is_left_behind(self, task):
        perform(task)
        names = {path.name for path in Path(task.store).iterdir()}
        assert names - {f"{NAME}.lock"} == {f"{NAME}.safetensors", f"{NAME}.json"}
        assert not [path for path in Path(task.scratch).iterdir() if path.is_dir()]

    def test_twice_is_once(self, task, steps):
        perform(task)
        again = perform(task)
        assert again.status == "completed" and not again.trained
        assert steps == {step: 1 for step in range(STEPS)}

    @pytest.mark.parametrize("ending", ["safetensors", "json"])
    def test_what_was_damaged_or_lost_is_made_again(self, task, steps, ending):
        first = perform(task).record
        path = Path(task.store) / f"{NAME}.{ending}"
        path.write_bytes(path.read_bytes()[:-3])
        again = perform(task)
        assert again.trained and again.record["weights_sha256"] == first["weights_sha256"]
        assert max(steps.values()) == 2

    def test_settings_make_another_run_with_its_own_name(self, task):
        place = {"store": task.store, "scratch": task.scratch}
        other = plan(["tiny-fixed-n3"], [0], [{"training.lr": "3e-3"}], **place)[0]
        assert perform(task).record["settings"] == {}
        record = perform(other).record
        assert record["settings"] == {"training.lr": "0.003"}
        assert record["name"] == f"{NAME}+training.lr=0.003"
        assert stored_weights(task) != stored_weights(other)
        _, metadata = checkpoint.read(Path(task.store) / f"{other.name}.safetensors")
        assert metadata["configuration"]["training"]["lr"] == 0.003

    def test_another_process_has_it(self, task, steps):
        with file_lock(Path(task.scratch) / f"{NAME}.lock"):
            assert perform(task).status == "busy"
        with file_lock(Path(task.store) / f"{NAME}.lock"):
            assert perform(task).status == "busy"
        assert not steps and Store(task.store).record(NAME) is None

    def test_other_code_than_the_sweeps(self, task):
        outcome = perform(replace(task, name="lsa1-k20-s0"))
        assert outcome.status == "failed" and "other code" in outcome.reason


class TestResumption:
    def test_from_the_last_saved_step(self, task, steps):
        steps.stop[6] = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            perform(task)
        perform(task)
        assert steps == {step: 2 if step in (4, 5) else 1 for step in range(STEPS)}
        interrupted = stored_weights(task)
        named.train(NAME, progress=False)
        assert interrupted == weights_sha256(named.path_of(NAME))

    def test_a_damaged_state_is_not_taken_up(self, task, steps):
        steps.stop[6] = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            perform(task)
        state = Path(task.scratch) / NAME / "state.pt"
        state.write_bytes(state.read_bytes()[:-1])
        assert perform(task).status == "completed"
        assert steps[0] == 2 and steps[STEPS - 1] == 1


class TestFailures:
    def test_a_run_that_diverges_is_not_repeated(self, task, steps):
        steps.stop[6] = TrainingError("the loss is nan at step 6")
        outcome = perform(task)
        assert outcome.status == "failed" and outcome.stored
        record = Store(task.store).record(NAME)
        assert record["kind"] == "diverged" and "nan at step 6" in record["reason"]
        count = sum(steps.values())
        assert perform(task).record == record and sum(steps.values()) == count

    def test_unless_asked_for(self, task, steps):
        steps.stop[6] = TrainingError("the loss is nan at step 6")
        perform(task)
        outcome = perform(replace(task, retry_failed=True))
        assert outcome.status == "completed" and steps[0] == 2
        assert [each["kind"] for each in outcome.record["earlier"]] == ["diverged"]

    def test_a_full_disk_while_training(self, task, steps):
        steps.stop[6] = OSError(errno.ENOSPC, "No space left on device")
        outcome = perform(task)
        assert outcome.record["kind"] == "system" and "No space left" in outcome.reason
        assert Store(task.store).record(NAME) == outcome.record
        again = perform(task)
        assert again.status == "completed" and steps[0] == 1
        assert [each["reason"] for each in again.record["earlier"]] == [outcome.reason]

    @pytest.mark.parametrize("keys", ["safetensors", "json", ("safetensors", "json")])
    def test_a_full_store_costs_no_training(self, task, steps, monkeypatch, keys):
        with monkeypatch.context() as patch:
            refuse(patch, keys)
            first, second = perform(task), perform(task)
        assert first.status == second.status == "failed"
        assert first.stored is ("json" not in keys)
        final = perform(task)
        assert final.status == "completed"
        assert steps == {step: 1 for step in range(STEPS)}
        reasons = [each["reason"] for each in final.record["earlier"]]
        assert first.reason in reasons and second.reason in reasons

    def test_without_the_lease_nothing_is_recorded(self, task, monkeypatch):
        """The run may be somebody else's, and done."""
        done = perform(task).record

        def lease(store, name):
            raise OSError("refused")

        monkeypatch.setattr(tasks, "lease", lease)
        outcome = perform(task)
        assert outcome.status == "failed" and not outcome.stored
        assert Store(task.store).record(NAME) == done

    def test_any_other_error_is_a_reason_too(self, task, steps):
        steps.stop[0] = ZeroDivisionError("a mistake")
        outcome = perform(task)
        assert outcome.reason == "ZeroDivisionError: a mistake"
        assert outcome.record["kind"] == "error"
        assert perform(task).status == "completed"


class TestBases:
    def test_a_base_that_is_not_there_yet(self, task, steps):
        outcome = perform(replace(task, bases={"long-hybrid-s0": task.store}))
        assert outcome.record["kind"] == "system"
        assert "trained on ['long-hybrid-s0']" in outcome.reason and not steps

    def test_they_come_from_the_store(self, task, monkeypatch):
        """While the run is trained, the checkpoints are those of the store."""
        perform(task)
        seen, original = [], Run.build_model

        def build_model(self):
            seen.append(checkpoint.read(named.path_of(NAME))[1]["name"])
            return original(self)

        monkeypatch.setattr(Run, "build_model", build_model)
        places = {"store": task.store, "scratch": task.scratch}
        other = plan(["tiny-fixed-n3"], [1], [{}], **places)[0]
        assert perform(replace(other, bases={NAME: task.store})).status == "completed"
        assert seen == [NAME]
        assert not named.path_of(NAME).exists()


def test_tasks_and_outcomes_are_plain_data(task):
    assert json.loads(json.dumps(vars(task))) == vars(task)
    outcome = perform(task)
    assert json.loads(json.dumps(vars(outcome))) == vars(outcome)
