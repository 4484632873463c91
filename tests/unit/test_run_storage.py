"""The record, the locks and the room on the disk: two processes, damaged records, full disks."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from tiny_experiments import (  # noqa: F401 - fixtures
    NAME,
    TINY,
    metadata_of,
    stop_at,
    temporary_workplace,
)
from training_examples import content_of

from icl_lib.experiments import checkpoint, named, storage
from icl_lib.experiments.__main__ import main
from icl_lib.experiments.catalogue.registry import get
from icl_lib.experiments.run import Run
from icl_lib.training import TrainingError

pytestmark = pytest.mark.usefixtures("workplace")
HERE = Path(__file__).resolve().parent
Usage = namedtuple("Usage", "total used free")

# trains the tiny run in another process, and says so at its first step
TRAIN = """
import time
from tiny_experiments import EXPERIMENTS, NAME, TINY, Run
from icl_lib.experiments import named

original = Run.loss_at

def slow(self, model, step):
    print(step, flush=True)
    time.sleep(0.05 if step < 6 else 60)
    return original(self, model, step)

Run.loss_at = slow
EXPERIMENTS[NAME] = TINY
named.train(NAME, progress=False, save_every=4)
"""


def never(self, model, step):
    raise AssertionError("trained although it was known that the result cannot be kept")


def write_entries(writer: int, folder: str, count: int, together) -> None:
    """Between reading the record and writing it there is time for the other writer."""
    os.environ["ICL_CHECKPOINTS"] = folder
    at_once = storage.write_whole

    def slowly(*arguments) -> None:
        time.sleep(0.02)
        at_once(*arguments)

    storage.write_whole = slowly
    together.wait(60)
    for number in range(count):
        storage.add_entry(f"w{writer}-n{number}", {"status": "completed", "loss": float(number)})


class TestRecord:
    def test_two_writers_lose_nothing(self):
        spawn = multiprocessing.get_context("spawn")
        folder, together = str(checkpoint.folder()), spawn.Barrier(2)
        arguments = [(writer, folder, 15, together) for writer in range(2)]
        writers = [spawn.Process(target=write_entries, args=each) for each in arguments]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join(timeout=120)
            assert writer.exitcode == 0
        entries = named.record()
        assert set(entries) == {f"w{w}-n{n}" for w in range(2) for n in range(15)}
        assert all(entry["loss"] == float(name.split("-n")[1]) for name, entry in entries.items())

    def test_a_writer_that_never_ends(self, monkeypatch):
        monkeypatch.setattr(storage, "RECORD_WAIT", 0.1)
        checkpoint.folder().mkdir()
        with storage.FileLock(f"{storage.record_path()}.lock"):
            with pytest.raises(OSError, match="record.json was locked by another process"):
                storage.add_entry(NAME, {"status": "failed"})

    DAMAGED = [
        *(b"", b"{", b"[]", b"3", b"null", b"\xff\xfe", b"{}}", b'{"a": 1}', b"[" * 10**5),
        *(b'{"a": {}}', b'{"a": {"status": "done"}}', b'{"a": {"status": ["completed"]}}'),
        *(b'{"a": {"status": "completed", "loss": %s}}' % v for v in (b'"x"', b"NaN", b"true")),
        b'{"a": {"status": "failed"}, "a": {"status": "failed"}}',
        b'{"a": {"status": "completed", "loss": 1, "loss": 2}}',
        b'{"a": {"status": "completed", "loss": 1%s}}' % (b"0" * 400),
    ]

    @pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
    def test_a_damaged_record_is_named_before_the_training(self, content, monkeypatch, capsys):
        checkpoint.folder().mkdir()
        path = storage.record_path()
        path.write_bytes(content)
        monkeypatch.setattr(Run, "loss_at", never)
        for command in (["train", NAME], ["list"], ["show", NAME], ["verify", "all"]):
            assert main(command) == 1
            captured = capsys.readouterr()
            assert captured.out == "" and f"record {path}" in captured.err
            assert captured.err.count("\n") == 1
        for function in (named.completed, named.seed_band):
            with pytest.raises(ValueError, match="record .*record.json"):
                function("tiny-fixed-n3")
        with pytest.raises(ValueError, match=r"record .*record.json"):
            storage.add_entry(NAME, {"status": "failed"})
        assert path.read_bytes() == content

    def test_a_folder_in_its_place(self):
        storage.record_path().mkdir(parents=True)
        with pytest.raises(ValueError, match="record.json is damaged: .*Is a directory"):
            named.train(NAME, progress=False)

    @pytest.mark.parametrize("entry", [None, {}, {"status": 3}, {"status": "failed", "loss": "x"}])
    def test_bad_entries_are_not_written(self, entry):
        with pytest.raises(ValueError, match=f"record.json, entry '{NAME}': "):
            storage.add_entry(NAME, entry)
        assert named.record() == {}

    @pytest.mark.parametrize("value", [0, -0.5, None])
    def test_no_band_from_metrics_without_a_logarithm(self, value):
        for seed, error in enumerate((0.5, value)):
            entry = {"status": "completed", "normalised_error": error}
            entry = {key: number for key, number in entry.items() if number is not None}
            storage.add_entry(f"tiny-fixed-n3-s{seed}", entry)
        message = r"record .*record.json must hold positive metrics, got \{'tiny-fixed-n3-s1'"
        with pytest.raises(ValueError, match=message):
            named.seed_band("tiny-fixed-n3")

    @pytest.mark.parametrize("family", [None, 3, ["lsa1-k20"]])
    def test_families_of_another_kind(self, family):
        for function in (named.completed, named.seed_band):
            with pytest.raises(ValueError, match="family must be a name such as"):
                function(family)


class TestTwoProcesses:
    @pytest.fixture(name="other")
    def training_elsewhere(self, workplace):
        """Another process that trains the run and stays at step 6."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
        command = [sys.executable, "-c", TRAIN]
        streams = {"stdout": subprocess.PIPE, "text": True, "env": environment}
        with subprocess.Popen(command, **streams) as process:
            for line in process.stdout:
                if int(line) == 6:
                    break
            yield process
            process.kill()

    def test_the_second_says_who_trains_and_goes_on_after_a_kill(self, other, capsys):
        for command in ("train", "forget"):
            assert main([command, NAME]) == 1
            message = capsys.readouterr().err
            assert f"{NAME} is being trained by process {other.pid} (lock " in message
        assert content_of(storage.state_path(get(NAME)))["step"] == 4
        other.kill()
        assert other.wait(timeout=60) == -signal.SIGKILL
        assert main(["train", NAME]) == 0  # the system has freed the lock
        resumed = metadata_of(named.path_of(NAME))
        assert resumed["content_sha256"] == runs_alone()
        assert not list(storage.state_folder().glob("*.p*"))

    def test_another_run_is_free(self, other):
        assert main(["train", "tiny-fixed-n3-s1"]) == 0

    def test_the_lock_is_given_back(self, monkeypatch):
        locks = []  # kept here, so that none is given back by being collected

        def lock_of(path, original=storage.FileLock):
            locks.append(original(path))
            return locks[-1]

        monkeypatch.setattr(storage, "FileLock", lock_of)
        for _ in range(2):
            with pytest.raises(KeyError), storage.run_lock(NAME):
                raise KeyError
        assert len(locks) == 2
        assert list(storage.state_folder().glob("*.pid")) == []


def runs_alone() -> str:
    """The hash of the run when nothing interferes."""
    named.path_of(NAME).unlink(missing_ok=True)
    named.train(NAME, progress=False)
    return metadata_of(named.path_of(NAME))["content_sha256"]


class TestBefore:
    """What can be found out before the training is found out before it."""

    @pytest.fixture(autouse=True)
    def no_training(self, monkeypatch):
        monkeypatch.setattr(Run, "loss_at", never)

    @pytest.mark.parametrize("full", ["checkpoints", "state"])
    def test_a_full_disk(self, full, workplace, monkeypatch, capsys):
        def usage(folder):
            return Usage(0, 0, 2 * 10**6 if folder == workplace / full else 10**12)

        monkeypatch.setattr(shutil, "disk_usage", usage)
        assert main(["train", NAME]) == 1
        expected = f"{NAME}: folder {workplace / full} has 2.0 MB free, 16.8 MB are needed\n"
        assert capsys.readouterr().err == expected

    @pytest.mark.parametrize("refused", ["checkpoints", "state"])
    def test_a_read_only_folder(self, refused, workplace, monkeypatch, capsys):
        real = tempfile.TemporaryFile

        def probe(*, dir):
            if dir == workplace / refused:
                raise OSError(errno.EROFS, "Read-only file system")
            return real(dir=dir)

        monkeypatch.setattr(tempfile, "TemporaryFile", probe)
        assert main(["train", NAME]) == 1
        message = f"folder {workplace / refused} cannot be written to: Read-only file system\n"
        assert capsys.readouterr().err == f"{NAME}: {message}"

    @pytest.mark.parametrize("setting", ["ICL_CHECKPOINTS", "ICL_STATE"])
    def test_a_folder_that_cannot_be_made(self, setting, workplace, monkeypatch):
        (workplace / "file").write_text("", encoding="utf-8")
        for folder in (workplace / "file" / "inner", workplace / "file"):
            monkeypatch.setenv(setting, str(folder))
            with pytest.raises(OSError, match=f"folder {folder} cannot be written to: "):
                named.train(NAME, progress=False)

    def test_a_folder_in_the_place_of_the_checkpoint(self):
        named.path_of(NAME).mkdir(parents=True)
        with pytest.raises(OSError, match=f"{NAME}.safetensors is a folder, expected a file"):
            named.train(NAME, progress=False)


def test_the_needed_room_is_what_is_written(monkeypatch):
    """Twice (old and new beside each other) the weights, both moments, a snapshot, the result."""
    model = TINY.build_model()
    weights = sum(value.nelement() * 4 for value in model.parameters())
    needed = storage.needed_bytes(model, snapshots=1) - storage.SPARE_BYTES
    assert needed == 2 * 5 * weights
    big = torch.nn.Linear(400, 400)
    monkeypatch.setattr(Run, "loss_at", stop_at(9))
    with pytest.raises(KeyboardInterrupt):
        named.train(NAME, progress=False, save_every=4)
    assert storage.state_path(get(NAME)).stat().st_size < storage.needed_bytes(model, 0)
    assert storage.needed_bytes(big, 0) > 8 * 400 * 400 * 4


class TestAfter:
    """The training is over, and its result cannot be written."""

    @pytest.mark.parametrize("failing", [f"{NAME}.safetensors", "record.json"])
    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
    def test_the_result_is_kept_and_stored_later(self, failing, code, monkeypatch, capsys):
        expected, path = runs_alone(), named.path_of(NAME)
        path.unlink()
        real = os.replace

        def replace_file(source, target):
            if Path(target).name == failing:
                raise OSError(code, os.strerror(code))
            real(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", replace_file)
            assert main(["train", NAME]) == 1
        state, message = storage.state_path(get(NAME)), capsys.readouterr().err
        assert f"could not be stored in {checkpoint.folder()}" in message
        assert os.strerror(code) in message and f"is kept in {state}" in message
        assert f"icl_lib.experiments train {NAME} stores it without training" in message
        assert content_of(state)["step"] == TINY.training.steps
        assert not list(path.parent.glob("*.partial"))
        monkeypatch.setattr(Run, "loss_at", never)
        assert main(["train", NAME]) == 0
        assert metadata_of(path)["content_sha256"] == expected and not state.exists()
        assert named.record()[NAME]["status"] == "completed" and named.verify(NAME).ok

    def test_a_record_that_is_damaged_meanwhile(self, monkeypatch, capsys):
        def damage(self, model, original=Run.evaluate):
            checkpoint.folder().mkdir(exist_ok=True)
            storage.record_path().write_text("{", encoding="utf-8")
            return original(self, model)

        monkeypatch.setattr(Run, "evaluate", damage)
        assert main(["train", NAME]) == 1
        message = capsys.readouterr().err
        assert "record.json is damaged" in message and "is kept in" in message
        assert content_of(storage.state_path(get(NAME)))["step"] == TINY.training.steps

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
    def test_an_evaluation_without_a_number(self, value, monkeypatch):
        monkeypatch.setattr(Run, "evaluate", lambda self, model: {"normalised_error": value})
        with pytest.raises(TrainingError, match="the evaluation gives .* expected finite numbers"):
            named.train(NAME, progress=False)
        assert named.record()[NAME]["status"] == "failed"
        assert not named.path_of(NAME).exists()
