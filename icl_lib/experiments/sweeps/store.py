"""Where a sweep keeps its results: a folder, or any other place with an fsspec address.

A key is written completely or not at all. A folder gets a temporary file that is moved into place;
an object store shows an object when its upload is complete.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from pathlib import Path

import fsspec

from icl_lib._storage import write_whole

WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "az", "memory"}  # an upload is one step
FOLDER = {"file", "local"}


class StoreError(OSError):
    """A store that refuses, or cannot be reached; the message names the store and the key."""


class Store:
    """The files of a sweep, by key: ``NAME.safetensors`` and ``NAME.json`` for every run."""

    def __init__(self, address: str):
        try:
            # without a listing in memory: other processes write as well
            self.fs, root = fsspec.core.url_to_fs(
                address, use_listings_cache=False, skip_instance_cache=True
            )
        except (ImportError, ValueError, OSError) as error:
            raise ValueError(f"store must be a folder or an fsspec address: {error}") from error
        self.root = root.rstrip("/")
        protocols = {self.fs.protocol} if isinstance(self.fs.protocol, str) else self.fs.protocol
        self.protocols = set(protocols)
        self.address = self.root if self.is_folder else address

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of this machine (or one that it has mounted)."""
        return bool(self.protocols & FOLDER)

    def path(self, key: str) -> str:
        """Return the file system's own path of ``key``."""
        return f"{self.root}/{key}"

    def read(self, key: str) -> bytes | None:
        """Return the content of ``key``, None if there is none.

        Raises
        ------
        StoreError
            If the store refuses.
        """
        try:
            return self.fs.cat_file(self.path(key))
        except FileNotFoundError:
            return None
        except Exception as error:  # every file system has its own kinds
            raise self.refusal("read", key, error) from error

    def write(self, key: str, blob: bytes) -> None:
        """Write ``blob`` under ``key``, completely or not at all.

        Raises
        ------
        StoreError
            If the store refuses, or is full; what was there before is then still there.
        """
        path = self.path(key)
        try:
            if self.is_folder:
                write_whole(Path(path), blob)
            elif self.protocols & WHOLE:
                self.fs.pipe_file(path, blob)
            else:
                partial = f"{path}.{uuid.uuid4().hex}.partial"
                self.fs.makedirs(self.root, exist_ok=True)
                self.fs.pipe_file(partial, blob)
                self.fs.mv(partial, path)
        except Exception as error:
            raise self.refusal("write", key, error) from error

    def remove(self, key: str) -> None:
        """Remove ``key`` if it is there.

        Raises
        ------
        StoreError
            If the store refuses.
        """
        try:
            self.fs.rm_file(self.path(key))
        except FileNotFoundError:
            return
        except Exception as error:
            raise self.refusal("remove", key, error) from error

    def refusal(self, verb: str, key: str, error: Exception) -> StoreError:
        """Return the error that says what the store ``self`` did not do."""
        return StoreError(f"store {self.address} does not {verb} {key}: {error!r}")

    def record(self, name: str) -> dict | None:
        """Return the record of a run, None if there is none or it is no record.

        Raises
        ------
        StoreError
            If the store refuses.
        """
        blob = self.read(f"{name}.json")
        try:
            entry = None if blob is None else json.loads(blob)
        except ValueError:
            return None
        return entry if isinstance(entry, dict) and "status" in entry else None

    def write_record(self, name: str, entry: dict) -> None:
        """Write the record of a run.

        Raises
        ------
        StoreError
            If the store refuses.
        """
        self.write(f"{name}.json", (json.dumps(entry, indent=1) + "\n").encode())

    def is_done(self, name: str, entry: dict) -> bool:
        """Return whether the record says completed and the checkpoint's hash fits.

        Raises
        ------
        StoreError
            If the store refuses.
        """
        if entry["status"] != "completed":
            return False
        blob = self.read(f"{name}.safetensors")
        return blob is not None and sha256(blob) == entry.get("sha256")


def sha256(blob: bytes) -> str:
    """Return the hash of a file's content."""
    return hashlib.sha256(blob).hexdigest()
