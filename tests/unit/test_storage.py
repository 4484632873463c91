"""Files written completely or not at all, and what the messages of a refusal are made of."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import pytest
import torch

from icl_lib._storage import (
    StateError,
    differences,
    hash_tensors,
    plain,
    read_state,
    reason,
    write_state,
    write_whole,
)

WHOSE = {"run": {"seed": 0}, "torch": "2"}


class TestWholeFiles:
    def test_folders_are_made_and_nothing_else_stays(self, tmp_path):
        path = tmp_path / "a" / "b" / "file"
        for blob in (b"one", b"two, longer", b""):
            write_whole(path, blob)
            assert path.read_bytes() == blob and list(path.parent.iterdir()) == [path]

    @pytest.mark.parametrize("failing", ["fsync", "replace"])
    @pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()], ids=repr)
    def test_the_old_file_survives(self, tmp_path, monkeypatch, failing, error):
        path = tmp_path / "file"
        write_whole(path, b"old")

        def fail(*_):
            raise error

        monkeypatch.setattr(os, failing, fail)
        with pytest.raises(type(error)):
            write_whole(path, b"new")
        assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]

    def test_two_processes_never_share_a_partial_file(self, tmp_path, monkeypatch):
        moved = []
        monkeypatch.setattr(os, "replace", lambda source, target: moved.append(source))
        for process in (11, 12):
            monkeypatch.setattr(os, "getpid", lambda process=process: process)
            write_whole(tmp_path / "file", b"x")
        assert len(set(moved)) == 2

    def test_the_content_is_on_the_disk_before_the_name(self, tmp_path, monkeypatch):
        order = []
        for name in ("fsync", "replace"):
            real = getattr(os, name)
            monkeypatch.setattr(
                os, name, lambda *a, name=name, real=real: (order.append(name), real(*a))
            )
        write_whole(tmp_path / "file", b"x")
        assert order == ["fsync", "replace"]


class TestState:
    def test_round_trip(self, tmp_path):
        content = {"w": torch.arange(3.0), "step": 7, "log": {"trace": [(1, 0.5)]}}
        write_state(tmp_path / "state", WHOSE, content)
        got = read_state(tmp_path / "state", WHOSE)
        assert torch.equal(got.pop("w"), content.pop("w")) and got == content

    def test_every_single_byte(self, tmp_path):
        path = tmp_path / "state"
        write_state(path, WHOSE, {"w": torch.arange(3.0)})
        blob = path.read_bytes()
        for place in range(len(blob)):
            path.write_bytes(blob[:place] + bytes([blob[place] ^ 0x10]) + blob[place + 1 :])
            with pytest.raises(StateError, match=f"state file {path} is "):
                read_state(path, WHOSE)

    def test_a_file_that_may_not_be_read(self, tmp_path, monkeypatch):
        path = tmp_path / "state"
        write_state(path, WHOSE, {})

        def refuse(self):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(type(path), "read_bytes", refuse)
        with pytest.raises(StateError, match=f"{path} cannot be read: Permission denied$"):
            read_state(path, WHOSE)

    def test_the_first_time_on_a_full_disk(self, tmp_path, monkeypatch):
        monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(OSError, match="cannot be written: full; nothing was saved before it"):
            write_state(tmp_path / "state", WHOSE, {})

    def test_a_long_list_of_differences_is_cut(self, tmp_path):
        write_state(tmp_path / "state", {str(n): n for n in range(9)}, {})
        with pytest.raises(StateError, match="4 is 4, expected 5; and 4 more$"):
            read_state(tmp_path / "state", {str(n): n + 1 for n in range(9)})


class TestDifferences:
    @pytest.mark.parametrize(
        ("got", "expected", "lines"),
        [
            ({"a": 1}, {"a": 1}, []),
            ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, ["a.b is [1, 2], expected [1, 3]"]),
            ({"a": 1, "b": 2}, {"a": 1}, ["b is 2, expected 'absent'"]),
            ({}, {"a": None}, ["a is 'absent', expected None"]),
            ({"a": 1}, {"a": True}, ["a is 1, expected True"]),
            ({"a": 1}, {"a": 1.0}, ["a is 1, expected 1.0"]),
            ({"a": {}}, {"a": 3}, ["a is {}, expected 3"]),
            ([], {}, ["it is [], expected {}"]),
        ],
    )
    def test_lines(self, got, expected, lines):
        assert differences(got, expected) == lines

    def test_long_values_keep_both_ends(self):
        (line,) = differences("a" * 60 + "x" * 40, "b" * 60 + "y" * 40)
        assert line.count("...") == 2 and len(line) < 200
        assert "aaa" in line and "xx'" in line and "bbb" in line and "yy'" in line


class TestPlain:
    def test_as_json_gives_it_back(self):
        assert plain("x", {"b": (1, 2), "a": {"c": None}}) == {"b": [1, 2], "a": {"c": None}}

    @pytest.mark.parametrize("value", [[], 3, None, "a", {"a": np.ones(2)}, {"a": np.inf}, {1j: 2}])
    def test_refused_by_name(self, value):
        with pytest.raises(ValueError, match="^metadata must be "):
            plain("metadata", value)


def test_the_hash_of_tensors_sees_names_bytes_and_no_order():
    def digest(tensors):
        found = hashlib.sha256()
        hash_tensors(found, tensors)
        return found.hexdigest()

    tensors = {"a": torch.arange(4.0).reshape(2, 2), "b": torch.tensor(3, dtype=torch.bfloat16)}
    assert digest(tensors) == digest(dict(reversed(tensors.items())))
    assert digest({"a": tensors["a"].T}) == digest({"a": tensors["a"].T.contiguous()})
    for other in (
        {**tensors, "a": tensors["a"].T},
        {"a": tensors["a"]},
        {**tensors, "c": tensors["a"]},
    ):
        assert digest(other) != digest(tensors)
    bits = hashlib.sha256(b"a" + np.arange(4, dtype=np.float32).tobytes()).hexdigest()
    assert digest({"a": tensors["a"]}) == bits


def test_reason():
    assert reason(OSError(28, "No space left", "file")) == "No space left"
    assert reason(OSError("odd")) == "odd"
