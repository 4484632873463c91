"""The hidden last cell of a chapter: what the notebook has cost."""

from __future__ import annotations

import builtins
import json
import time
from types import SimpleNamespace

import pytest

from icl_lib.claims import cells as claims
from icl_lib.claims.cells import RUN_MIME


class TestRunReport:
    def test_report(self):
        before = time.process_time()
        line = claims.run_report("03")
        bundle = line._repr_mimebundle_()
        payload = bundle[RUN_MIME]
        json.dumps(payload)  # the notebook stores it
        assert payload["chapter"] == "03"
        assert payload["wall_seconds"] > 0
        assert before - 0.02 <= payload["cpu_seconds"] <= time.process_time() + 0.02
        assert 20 < payload["peak_mb"] < 20_000
        assert f"{payload['cpu_seconds']} s" in bundle["text/markdown"]

    def test_peak_grows_with_memory(self):
        process = claims.psutil.Process()
        before = claims._peak_bytes(process)
        assert before >= 0.9 * process.memory_info().rss
        block = bytearray(2 * before)  # beyond any earlier peak
        block[::4096] = b"x" * len(block[::4096])
        assert claims._peak_bytes(process) > 1.5 * before

    def test_other_systems(self, monkeypatch):
        process = SimpleNamespace(memory_info=lambda: SimpleNamespace(peak_wset=123))
        linux = claims._peak_bytes(process)
        monkeypatch.setattr(claims.os, "uname", lambda: SimpleNamespace(sysname="Darwin"))
        assert claims._peak_bytes(process) == pytest.approx(linux / 1024, rel=0.05)
        real = builtins.__import__

        def without_resource(name, *rest):
            if name == "resource":
                raise ImportError(name)
            return real(name, *rest)

        monkeypatch.setattr(builtins, "__import__", without_resource)
        assert claims._peak_bytes(process) == 123
