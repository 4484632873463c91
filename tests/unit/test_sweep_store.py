"""The store of a sweep and its leases: a folder, memory, S3 (moto's server)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import pytest
from sweep_examples import (  # noqa: F401 - fixtures
    new_bucket,
    s3_server,
    store_of_each_kind,
    store_of_several_processes,
)

from icl_lib.experiments.sweeps import leases
from icl_lib.experiments.sweeps.leases import Busy, lease
from icl_lib.experiments.sweeps.store import Store, StoreError, sha256

NAME = "lsa1-k20-s0+training.lr=0.003"  # a key with what needs quoting in addresses


class TestStore:
    def test_there_and_back(self, store):
        assert store.read("a") is None
        for blob in (b"one", b"two, longer", b""):
            store.write(f"{NAME}.json", blob)
            assert store.read(f"{NAME}.json") == blob
        names = [path.rpartition("/")[2] for path in store.fs.find(store.root)]
        assert names == [f"{NAME}.json"]
        store.remove(f"{NAME}.json")
        store.remove(f"{NAME}.json")
        assert store.read(f"{NAME}.json") is None

    def test_records(self, store):
        assert store.record(NAME) is None
        entry = {"status": "failed", "reason": "NaN"}
        store.write_record(NAME, entry)
        assert store.record(NAME) == entry
        store.write(f"{NAME}.json", b"{")
        assert store.record(NAME) is None

    def test_done_means_that_the_hash_fits(self, store):
        entry = {"status": "completed", "sha256": sha256(b"weights")}
        assert not store.is_done(NAME, entry)
        store.write(f"{NAME}.safetensors", b"weights")
        assert store.is_done(NAME, entry)
        assert not store.is_done(NAME, entry | {"status": "failed"})
        store.write(f"{NAME}.safetensors", b"weight")
        assert not store.is_done(NAME, entry)

    def test_one_sees_what_another_wrote(self, bucket):
        first, second = Store(bucket), Store(bucket)
        assert second.read("a") is None
        first.write("a", b"1")
        assert second.read("a") == b"1"
        first.write("a", b"2")
        assert second.read("a") == b"2"

    def test_a_bucket_that_is_not_there(self, s3):
        store = Store("s3://no-such-bucket/folder")
        with pytest.raises(StoreError, match="s3://no-such-bucket/folder does not write a: "):
            store.write("a", b"1")

    def test_a_folder_that_is_a_file(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError, match="does not write a: "):
            Store(str(tmp_path / "file")).write("a", b"1")

    def test_an_address_of_no_known_kind(self):
        with pytest.raises(ValueError, match="store must be a folder or an fsspec address"):
            Store("carrier-pigeon://roof")

    def test_relative_folders_are_the_same_for_all_workers(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert Store("here").address == str(tmp_path / "here")


def stale_lease(store, **changes):
    """Leave the lease of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    holder = json.loads(leases._holder()) | {"pid": ended.pid} | changes
    store.write(f"{NAME}.lease", json.dumps(holder).encode())


class TestLeases:
    def test_one_at_a_time(self, shared):
        with lease(shared, NAME):
            with pytest.raises(Busy), lease(shared, NAME):
                pass
            with lease(shared, "another"):
                pass
        with lease(shared, NAME):
            pass

    def test_many_want_it_at_once(self, shared):
        entered, together, refused = [], threading.Barrier(8), []

        def work():
            own = Store(shared.address)
            together.wait()
            try:
                with lease(own, NAME):
                    entered.append(time.monotonic())
                    time.sleep(1)
            except Busy as error:
                refused.append(error)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(entered) + len(refused) == 8
        assert all(b - a >= 1 for a, b in zip(entered, entered[1:], strict=False))

    def test_of_a_process_that_was_killed(self, bucket):
        store = Store(bucket)
        stale_lease(store)
        with lease(store, NAME):
            assert json.loads(store.read(f"{NAME}.lease"))["pid"] == os.getpid()
        assert store.read(f"{NAME}.lease") is None

    def test_of_a_process_whose_number_is_used_again(self, bucket):
        store = Store(bucket)
        stale_lease(store, pid=os.getpid(), since=1.0)
        with lease(store, NAME):
            pass

    def test_of_another_host(self, bucket, monkeypatch):
        store = Store(bucket)
        stale_lease(store, host="elsewhere")
        with pytest.raises(Busy, match="on elsewhere has it"), lease(store, NAME):
            pass
        monkeypatch.setattr(leases, "STALE_AFTER", -5.0)
        with lease(store, NAME):
            pass

    def test_a_stale_one_is_taken_over_once(self, bucket, monkeypatch):
        stale_lease(Store(bucket))
        both_saw_it, original = threading.Barrier(2), leases._is_stale

        def is_stale(*arguments):
            both_saw_it.wait()
            return original(*arguments)

        monkeypatch.setattr(leases, "_is_stale", is_stale)
        results = []

        def work():
            try:
                with lease(Store(bucket), NAME):
                    results.append("entered")
                    time.sleep(0.5)
            except Busy:
                results.append("busy")

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == ["busy", "entered"]

    def test_it_is_renewed(self, bucket, monkeypatch):
        monkeypatch.setattr(leases, "RENEWED_EVERY", 0.05)
        store = Store(bucket)
        with lease(store, NAME):
            tags = set()
            for _ in range(20):
                tags.add(store.fs.info(store.path(f"{NAME}.lease"), refresh=True)["LastModified"])
                time.sleep(0.1)
        assert len(tags) > 1

    def test_a_store_that_refuses(self, s3):
        with pytest.raises(StoreError), lease(Store("s3://no-such-bucket/folder"), NAME):
            pass
