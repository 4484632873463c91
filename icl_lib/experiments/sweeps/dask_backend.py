"""Tasks on a Dask cluster: one of this machine, or any whose scheduler has an address."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator

import dask.config
from distributed import Client, LocalCluster, as_completed
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

from icl_lib.experiments.sweeps.backends import WorkersLost
from icl_lib.experiments.sweeps.tasks import Outcome, Task, perform

LOCAL = "local"
RETRIES = 3
PATIENCE = 300.0  # seconds that a scheduler may be away
FIRST_WAIT = "10s"
LOST_FOR_GOOD = "1 hour"


class DaskBackend:
    """The workers of the scheduler at ``address``; "local" starts ``workers`` processes here.

    Raises
    ------
    OSError
        If no scheduler answers at the address.
    """

    def __init__(self, address: str, workers: int):
        # a lost connection is said in one line, see below; Dask adds pages to it
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        self._address, self._cluster, self._client = address, None, None
        if address == LOCAL:
            # a worker that was killed is started again, which takes long on a busy machine; after
            # 15 seconds Dask would give it up for good
            dask.config.set({"distributed.deploy.lost-worker-timeout": LOST_FOR_GOOD})
            self._cluster = LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=":0"
            )
            self._address = self._cluster.scheduler_address
        client = self._connected(patience=0.0)
        known = len(client.scheduler_info(n_workers=-1)["workers"])
        self.workers = workers if address == LOCAL else max(1, known)
        self.words = (
            f"{known or workers} Dask workers at {self._address}, dashboard {client.dashboard_link}"
        )

    def outcomes(self, tasks: list[Task]) -> Iterator[Outcome]:
        """Yield the outcome of every task, in any order.

        Raises
        ------
        WorkersLost
            If the scheduler went away, or a task has lost too many workers.
        OSError
            If no scheduler answers at that address for five minutes.
        """
        client, sweep = self._connected(), uuid.uuid4().hex[:8]
        # the key is what the dashboard shows; another sweep on this scheduler has other keys
        futures = [
            client.submit(perform, task, key=f"{task.name}-{sweep}", pure=False, retries=RETRIES)
            for task in tasks
        ]
        lost = None
        try:
            for future in as_completed(futures, raise_errors=False):
                try:
                    yield future.result(timeout=FIRST_WAIT)
                except KilledWorker as error:
                    lost = error  # the others may still end
                except FutureCancelledError as error:
                    raise WorkersLost("the scheduler went away") from error
        except OSError as error:
            raise WorkersLost(f"the scheduler went away: {error}") from error
        finally:
            self._release(futures)
        if lost is not None:
            raise WorkersLost(f"workers died: {lost}") from lost

    def close(self) -> None:
        """Leave the scheduler; a cluster of this machine ends."""
        for each in (self._client, self._cluster):
            if each is not None:
                each.close(timeout=10)

    def _connected(self, patience: float = PATIENCE) -> Client:
        """Return a client; a scheduler that restarts is waited for so many seconds."""
        if self._client is not None and self._client.status == "running":
            return self._client
        until = time.monotonic() + patience
        while True:
            try:
                self._client = Client(self._address, timeout=FIRST_WAIT)
                return self._client
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(1)

    def _release(self, futures: list) -> None:
        """Forget the tasks; workers may still be at those that were begun."""
        for future in futures:
            future.release()
        if self._client is not None and self._client.status != "running":
            self._client.close(timeout=1)
            self._client = None
