"""One run is trained by one process at a time, whoever else sweeps into the same store.

In a folder it is a file lock, which the system frees when its process ends. S3 has no such lock:
there it is an object that only one process can create (If-None-Match), renewed while the run lasts.
A lease whose process has died on this host, or that nobody has renewed for ten minutes, is taken
over, again by one process only (If-Match). Other stores have no lease: there, let one sweep a
scratch folder write into a store.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from icl_lib.experiments.sweeps.store import Store, StoreError

RENEWED_EVERY = 60.0  # seconds
STALE_AFTER = 600.0  # seconds without renewal; clocks may differ by minutes


class Busy(Exception):
    """Another process has the run; the message says which one, as far as is known."""


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``.

    Raises
    ------
    Busy
        If another process holds it.
    OSError
        If it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise Busy(f"another process holds {path}") from error
    try:
        yield
    finally:
        lock.release()


def lease(store: Store, name: str) -> AbstractContextManager[None]:
    """Return what holds the run ``name`` in ``store`` for as long as it is entered.

    Entering raises :class:`Busy` if another process has the run, OSError if the store refuses.
    """
    if store.is_folder:
        return file_lock(Path(store.path(f"{name}.lock")))
    return _object_lease(store, name) if store.protocols & {"s3", "s3a"} else nullcontext()


@contextmanager
def _object_lease(store: Store, name: str) -> Iterator[None]:
    key = f"{name}.lease"
    tag = _created(store, key) or _taken_over(store, key)
    ended = threading.Event()
    renewal = threading.Thread(target=_renew, args=(store, key, tag, ended), daemon=True)
    renewal.start()
    try:
        yield
    finally:
        ended.set()
        renewal.join()
        try:
            store.remove(key)
        except StoreError:
            pass  # it is stale as soon as this process ends


def _created(store: Store, key: str) -> str | None:
    """Return the tag of a new lease, None if there is one already."""
    try:
        return store.fs.pipe_file(store.path(key), _holder(), mode="create")["ETag"]
    except Exception as error:
        if isinstance(error, FileExistsError) or _is_conflict(error):
            return None
        raise store.refusal("write", key, error) from error


def _taken_over(store: Store, key: str) -> str:
    path = store.path(key)
    try:
        info = store.fs.info(path, refresh=True)
        holder = json.loads(store.fs.cat_file(path))
    except FileNotFoundError as error:
        raise Busy("its lease was given back at this moment") from error
    except Exception as error:
        raise store.refusal("read", key, error) from error
    if not _is_stale(holder, info["LastModified"].timestamp()):
        raise Busy(f"process {holder['pid']} on {holder['host']} has it")
    try:
        return store.fs.pipe_file(path, _holder(), IfMatch=info["ETag"])["ETag"]
    except Exception as error:
        if isinstance(error, FileNotFoundError) or _is_conflict(error):
            raise Busy("another process took it over at this moment") from error
        raise store.refusal("write", key, error) from error


def _renew(store: Store, key: str, tag: str, ended: threading.Event) -> None:
    while not ended.wait(RENEWED_EVERY):
        try:
            tag = store.fs.pipe_file(store.path(key), _holder(), IfMatch=tag)["ETag"]
        except Exception as error:
            if _is_conflict(error):
                return  # taken over: two processes now compute the same bits
            continue  # the store may answer again before the lease is stale


def _is_conflict(error: BaseException | None) -> bool:
    """Return whether a condition of a request was not met: the answers 409 and 412 of S3."""
    while error is not None:
        answer = getattr(error, "response", None) or {}
        if answer.get("ResponseMetadata", {}).get("HTTPStatusCode") in (409, 412):
            return True
        error = error.__cause__
    return False


def _holder() -> bytes:
    process = psutil.Process()
    return json.dumps(
        {"host": socket.gethostname(), "pid": process.pid, "since": process.create_time()}
    ).encode()


def _is_stale(holder: dict, renewed: float) -> bool:
    if holder["host"] == socket.gethostname():
        try:
            # another process may have got the number of a dead one
            return psutil.Process(holder["pid"]).create_time() != holder["since"]
        except psutil.NoSuchProcess:
            return True
    return time.time() - renewed > STALE_AFTER
