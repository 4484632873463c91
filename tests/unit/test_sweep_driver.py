"""The driver: workers that die, runs that others have, the table, and the command."""

from __future__ import annotations

import io
import sys
from collections import Counter

import pytest
from tiny_experiments import NAME, temporary_workplace  # noqa: F401 - fixture

from icl_lib.experiments.__main__ import main
from icl_lib.experiments.sweeps import driver
from icl_lib.experiments.sweeps.backends import WorkersLost
from icl_lib.experiments.sweeps.driver import MOST_DEATHS, plan, sweep
from icl_lib.experiments.sweeps.progress import Progress
from icl_lib.experiments.sweeps.tasks import Outcome, Task, perform

pytestmark = pytest.mark.usefixtures("workplace")
FAMILY = "tiny-fixed-n3"


class Scripted:
    """A back end whose rounds yield what is written there; "lost" ends one."""

    workers, words, closed = 2, "two actors", False

    def __init__(self, *rounds):
        self.rounds, self.asked = list(rounds), []

    def outcomes(self, tasks):
        self.asked.append([task.name for task in tasks])
        for name, status in self.rounds.pop(0) if self.rounds else [("", "lost")]:
            if status == "lost":
                raise WorkersLost("a worker died")
            yield outcome(name, status)

    def close(self):
        self.closed = True


class Here(Scripted):
    """A back end that does the tasks in this process."""

    def outcomes(self, tasks):
        self.asked.append([task.name for task in tasks])
        yield from map(perform, tasks)


def outcome(name, status="completed", seconds=60.0, **more):
    record = {"metric": "loss", "metrics": {"loss": 0.5}, "reason": "why", **more}
    return Outcome(name, status, True, seconds, record)


def tasks_called(*names, family="f"):
    return [Task(name, family, 0, "store", "scratch") for name in names]


def drive(backend, *names):
    tasks, ended = tasks_called(*names), []
    progress = Progress(tasks, backend.workers, io.StringIO())
    return sweep(tasks, backend, progress, ended.append), ended, progress


class TestDriver:
    @pytest.fixture(autouse=True)
    def no_waiting(self, monkeypatch):
        self.slept = []
        monkeypatch.setattr(driver.time, "sleep", self.slept.append)

    def test_what_is_not_done_is_handed_out_again(self):
        backend = Scripted(
            [("a", "completed"), ("", "lost")],
            [("", "lost")],
            [("c", "failed"), ("b", "completed")],
        )
        outcomes, ended, _ = drive(backend, "a", "b", "c")
        assert backend.asked == [["a", "b", "c"], ["b", "c"], ["b", "c"]]
        assert {name: each.status for name, each in outcomes.items()} == {
            "a": "completed",
            "b": "completed",
            "c": "failed",
        }
        assert [each.name for each in ended] == ["a", "c", "b"]

    def test_it_gives_up(self):
        backend = Scripted([("a", "completed")], *[[("", "lost")]] * 100)
        outcomes, ended, _ = drive(backend, "a", "b")
        assert len(backend.asked) == 1 + MOST_DEATHS
        assert outcomes["b"].status == "failed" and "a worker died" in outcomes["b"].reason
        assert [each.name for each in ended] == ["a", "b"]

    def test_progress_is_patience(self):
        """Deaths are counted only while no run ends between them."""
        names = [f"r{i}" for i in range(2 * MOST_DEATHS)]
        rounds = [[(name, "completed"), ("", "lost")] for name in names[:-1]]
        outcomes, _, _ = drive(Scripted(*rounds, [(names[-1], "completed")]), *names)
        assert {each.status for each in outcomes.values()} == {"completed"}

    def test_runs_that_another_sweep_has_are_waited_for(self):
        backend = Scripted(
            [("a", "busy"), ("b", "completed")], [("a", "busy")], [("a", "completed")]
        )
        outcomes, ended, _ = drive(backend, "a", "b")
        assert outcomes["a"].status == "completed"
        assert [each.name for each in ended] == ["b", "a"]
        assert self.slept == [1.0, 2.0]


class TestPlan:
    def test_names(self, tmp_path):
        places = {"store": str(tmp_path), "scratch": "here"}
        settings = [{"training.lr": "1e-2"}, {"training.lr": "3e-3"}]
        tasks = plan([FAMILY], [0, 5], settings, **places)
        assert [task.name for task in tasks] == [
            f"{FAMILY}-s0",
            f"{FAMILY}-s5",
            f"{FAMILY}-s0+training.lr=0.003",
            f"{FAMILY}-s5+training.lr=0.003",
        ]

    def test_one_run_is_one_task(self, tmp_path):
        places = {"store": str(tmp_path), "scratch": "here"}
        assert len(plan([FAMILY, FAMILY], [0], [{}, {"batch": "4"}], **places)) == 1

    def test_a_store_that_workers_cannot_share(self):
        with pytest.raises(ValueError, match="shared by all workers, got 'memory://x'"):
            plan([FAMILY], [0], [{}], store="memory://x", scratch="here")


class TestTable:
    def test_counts_and_minutes(self):
        tasks = tasks_called("a", "b", "c", "d", "e") + tasks_called("x", "y", family="g")
        progress = Progress(tasks, 2, io.StringIO())
        assert progress.table()[1].split() == ["f", "0", "2", "0", "3", "?"]
        progress.add(outcome("a", seconds=120))
        progress.add(outcome("b", "failed"))
        lines = [line.split() for line in progress.table()]
        assert lines[1] == ["f", "1", "2", "1", "1", "3.0"]  # three of two minutes, two at a time
        assert lines[2] == ["g", "0", "0", "0", "2", "2.0"]
        assert lines[3] == ["all", "1", "2", "1", "3", "5.0"]

    def test_what_was_there_already_says_nothing_about_time(self):
        progress = Progress(tasks_called("a", "b"), 1, io.StringIO())
        progress.add(Outcome("a", "completed", record=outcome("a").record))
        assert progress.table()[1].split()[-1] == "?"

    def test_lines_without_a_terminal(self):
        progress = Progress(tasks_called("a", "b"), 1, io.StringIO())
        progress.add(outcome("a", seconds=30))
        progress.add(outcome("b", "failed"))
        assert progress.stream.getvalue().splitlines() == [
            "1 of 2 done, 1 running, 0 failed, 0.5 minutes left: a loss 0.5, 30 s",
            "1 of 2 done, 0 running, 1 failed, 0 minutes left: b failed: why",
        ]

    def test_redrawn_on_a_terminal(self):
        stream = io.StringIO()
        stream.isatty = lambda: True
        progress = Progress(tasks_called("a", "b"), 1, stream)
        progress.add(outcome("a"))
        progress.add(outcome("b"))
        assert Counter(stream.getvalue())["\x1b"] == 2  # up, and clear, once
        assert stream.getvalue().count("minutes left") == 2


class TestCommand:
    @pytest.fixture(name="here")
    def in_this_process(self, monkeypatch):
        backend = Here()
        monkeypatch.setattr(driver, "open_backend", lambda workers, scheduler: backend)
        return backend

    def command(self, tmp_path, *more):
        places = ["--store", str(tmp_path / "store"), "--scratch", str(tmp_path / "scratch")]
        return main(["sweep", FAMILY, "--seeds", "0-1", *places, *more])

    def test_a_sweep(self, tmp_path, here, capsys):
        assert self.command(tmp_path, "--set", "training.lr=1e-2,3e-3", "batch=2,4") == 0
        assert len(list((tmp_path / "store").glob("*.safetensors"))) == 8
        table = capsys.readouterr().out.splitlines()[-1]
        assert table.split() == [FAMILY, "8", "0", "0", "0", "0"] and here.closed

    def test_failures_are_named(self, tmp_path, here, capsys):
        assert self.command(tmp_path, "--set", "training.lr=1e20") == 1
        out = capsys.readouterr().out
        assert f"{NAME}+training.lr=1e+20".replace("1e+20", "1e%2B20") in out
        assert "failed: TrainingError" in out

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (["--seeds", "x"], "--seeds must be such as"),
            (["--set", "training.speed=1"], "no field 'speed'"),
            (["--workers", "0"], "--workers must be at least 1"),
            (["--save-every", "0"], "--save-every must be at least 1"),
            (["--store", "carrier-pigeon://roof"], "store must be"),
            (["--module", "no_such_module"], "no_such_module"),
        ],
    )
    def test_what_makes_no_sense_is_said_before_training(self, tmp_path, capsys, more, message):
        assert self.command(tmp_path, *more) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "store").exists()

    def test_an_unknown_family(self, tmp_path, capsys):
        assert main(["sweep", "no-such-family", "--store", str(tmp_path)]) == 2
        assert "no-such-family" in capsys.readouterr().err

    def test_without_the_extra(self, tmp_path, capsys, monkeypatch):
        monkeypatch.delitem(sys.modules, "icl_lib.experiments.sweeps.driver")
        monkeypatch.delitem(sys.modules, "icl_lib.experiments.sweeps.backends")
        monkeypatch.setitem(sys.modules, "joblib", None)
        assert self.command(tmp_path) == 2
        assert (
            "sweep needs joblib: pip install '.[scale]' in the repository"
            in capsys.readouterr().err
        )
