"""The Dask back end on a cluster inside this process; tests/scale kills real ones."""

from __future__ import annotations

import io
import socket

import pytest
from distributed import LocalCluster
from tiny_experiments import temporary_workplace  # noqa: F401 - fixture

from icl_lib.experiments.sweeps import dask_backend
from icl_lib.experiments.sweeps.dask_backend import DaskBackend
from icl_lib.experiments.sweeps.driver import open_backend, plan, sweep
from icl_lib.experiments.sweeps.progress import Progress

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture(scope="module", name="address")
def scheduler_of_two_workers():
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=False,
        host="tcp://127.0.0.1",
        dashboard_address=None,
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(name="backend")
def open_dask_backend(address):
    backend = open_backend(None, address)
    yield backend
    backend.close()


def sweep_tiny_runs(tmp_path, backend):
    places = {"store": str(tmp_path / "store"), "scratch": str(tmp_path / "scratch")}
    tasks = plan(["tiny-fixed-n3"], [0, 1, 2], [{}, {"batch": "2"}], **places)
    return sweep(tasks, backend, Progress(tasks, backend.workers, io.StringIO()))


def test_the_workers_of_the_address_are_counted(backend, address):
    assert isinstance(backend, DaskBackend) and backend.workers == 2
    assert backend.words.startswith(f"2 Dask workers at {address}, dashboard ")


def test_a_sweep_and_the_same_again(backend, tmp_path):
    first = sweep_tiny_runs(tmp_path, backend)
    assert len(first) == 6
    assert all(each.status == "completed" and each.trained for each in first.values())
    again = sweep_tiny_runs(tmp_path, backend)
    assert all(each.status == "completed" and not each.trained for each in again.values())
    assert {name: each.record for name, each in again.items()} == {
        name: each.record for name, each in first.items()
    }


def test_a_connection_that_was_lost_is_made_again(backend, tmp_path):
    backend._client.close()
    outcomes = sweep_tiny_runs(tmp_path, backend)
    assert {each.status for each in outcomes.values()} == {"completed"}


def test_nobody_answers(monkeypatch):
    monkeypatch.setattr(dask_backend, "FIRST_WAIT", "0.5s")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(OSError, match=str(port)):
        open_backend(1, f"tcp://127.0.0.1:{port}")
