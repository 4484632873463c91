"""The state of an unfinished run: whatever happens to it, never wrong weights, never a traceback.

Two hundred states are damaged, exchanged or edited. Every one must be refused by name, or (damage
that changes no byte) end in the weights of the run that was never interrupted.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save
from tiny_experiments import (  # noqa: F401 - fixtures
    LINEAR_NAME,
    NAME,
    TINY,
    metadata_of,
    stop_at,
    temporary_workplace,
)
from tiny_raw_experiments import EOS, SOFTMAX, temporary_place, trained_base  # noqa: F401
from training_examples import content_of

from icl_lib.experiments import checkpoint, named, storage, store
from icl_lib.experiments.__main__ import main
from icl_lib.experiments.catalogue.registry import EXPERIMENTS, get
from icl_lib.experiments.data import RegressionPrompts
from icl_lib.experiments.run import Run

OTHER_SEED = "tiny-fixed-n3-s1"


def interrupted(name, monkeypatch):
    """Train until step 9 and return the state of step 8."""
    with monkeypatch.context() as patch:
        patch.setattr(Run, "loss_at", stop_at(9))
        with pytest.raises(KeyboardInterrupt):
            named.train(name, progress=False, save_every=4)
    return storage.state_path(get(name))


@pytest.fixture(name="expected")
def uninterrupted(workplace, monkeypatch):
    """The hash of the weights and the metadata of the run that was never interrupted."""
    monkeypatch.setattr(store, "code_sha256", lambda library: "old")  # 13 of 18 ms a state
    named.train(NAME, progress=False)
    path = named.path_of(NAME)
    digest = metadata_of(path)["content_sha256"]
    path.unlink()
    return digest


@pytest.fixture(name="state")
def unfinished(expected, monkeypatch):
    """The state file of the run, interrupted at step 9."""
    return interrupted(NAME, monkeypatch)


def pickled(content) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def sealed(payload) -> bytes:
    """A state file with a hash that fits, written without the library."""
    digest = hashlib.sha256(payload).hexdigest()
    return f"icl_lib training state, format 2\n{digest}\n".encode() + payload


def signed(content) -> bytes:
    return sealed(pickled(content))


def outcome(state, expected) -> str:
    """Go on from ``state``: "refused" by name, "same" weights, or what went wrong."""
    path = named.path_of(NAME)
    path.unlink(missing_ok=True)
    try:
        named.train(NAME, progress=False)
    except ValueError as error:
        says = str(state) in str(error) and f"experiments forget {NAME}" in str(error)
        return "refused" if says and not path.exists() else f"refused without a name: {error}"
    return "same" if metadata_of(path)["content_sha256"] == expected else "wrong weights"


def flips(blob, rng, count):
    for _ in range(count):
        damaged = bytearray(blob)
        damaged[rng.integers(len(blob))] ^= int(rng.integers(1, 256))
        yield bytes(damaged)


def zeroed_pages(blob, rng, count):
    for _ in range(count):
        size = 2 ** int(rng.integers(6, 13))
        start = int(rng.integers(len(blob) // size + 1)) * size
        end = min(start + size, len(blob))
        yield blob[:start] + bytes(end - start) + blob[end:]


def truncations(blob, rng, count):
    yield from (b"", blob[:1], blob[:-1])
    for length in rng.integers(len(blob), size=count - 3):
        yield blob[:length]


def foreign_files(monkeypatch):
    """Files that are whole, but no state of this run."""
    yield interrupted(OTHER_SEED, monkeypatch).read_bytes()
    yield interrupted("tiny-fixed-n3-s2", monkeypatch).read_bytes()
    yield interrupted(LINEAR_NAME, monkeypatch).read_bytes()
    for content in ({}, {"step": 8}, [1, 2], TINY.build_model().state_dict(), torch.ones(3), "x"):
        yield from (pickled(content), signed(content))
    for payload in (b"", b"junk", pickled(TINY), pickled({"step": 8})[:-9]):
        yield sealed(payload)
    yield save(TINY.build_model().state_dict())
    yield from (b"PK\x03\x04" * 90, b"\n" * 200, b"icl_lib training state, format 1\n" + b"0" * 99)
    yield np.random.default_rng(1).bytes(5000)


OTHER_IDENTITY = [
    *(("run", "configuration", key) for key in ("name", "length", "seed", "batch", "below")),
    *(("run", "configuration", "model", key) for key in ("d", "width", "layers", "heads")),
    *(("run", "versions", key) for key in ("python", "torch", "numpy", "device")),
    *(("run", key) for key in ("configuration", "below", "code", "checkout")),
    *(("training", key) for key in ("steps", "lr", "warmup", "schedule", "optimizer", "clip_norm")),
    *((key,) for key in ("run", "training", "zero_loss", "snapshot_steps", "model", "torch")),
    ("initial weights",),
    ("added",),
]


def other_identities(content):
    """Every part of the identity replaced, in a file whose hash fits."""
    for *outer, last in OTHER_IDENTITY:
        identity = json.loads(content["identity"])
        inner = identity
        for key in outer:
            inner = inner[key]
        inner[last] = "another"
        yield signed({**content, "identity": json.dumps(identity)})
    for text in ("", "null", "[]", None, 3):
        yield signed({**content, "identity": text})


def contradictions(content):
    """Contents that no training leaves behind, in a file whose hash fits."""
    log, model = content["log"], content["model"]
    for step in (0, -1, 4, 12, 13, 10**9, "8", None, 8.5):
        yield signed({**content, "step": step})
    for key in set(content) - {"identity"}:
        yield signed({k: value for k, value in content.items() if k != key})
        yield signed({**content, key: None})
    for trace in ([], log["trace"][:1], log["trace"] * 2, [(5, 1.0), (8, 1.0)], "ab"):
        yield signed({**content, "log": {**log, "trace": trace}})
    for step, trace in ((0, []), (-3, []), (13, [*log["trace"], (12, 1.0)])):
        yield signed({**content, "step": step, "log": {**log, "trace": trace}})
    yield signed({**content, "log": {**log, "snapshots": [(0, model)]}})
    yield signed({**content, "log": {**log, "more": 1}})
    yield signed({**content, "model": {**model, "more": torch.ones(1)}})
    yield signed({**content, "model": {**model, "norm.weight": torch.ones(4)}})
    yield signed({**content, "model": {k: value.double() for k, value in model.items()}})
    groups = content["optimizer"]["param_groups"]
    yield signed({**content, "optimizer": {"state": {}, "param_groups": groups * 2}})
    yield signed({**content, "optimizer": {"state": {}}})


def test_two_hundred_states(state, expected, monkeypatch):
    rng, blob = np.random.default_rng(0), state.read_bytes()
    content = content_of(state)
    damaged = {
        "flips": list(flips(blob, rng, 60)),
        "zeroed pages": list(zeroed_pages(blob, rng, 30)),
        "truncations": list(truncations(blob, rng, 30)),
        "foreign files": list(foreign_files(monkeypatch)),
        "other identities": list(other_identities(content)),
        "contradictions": list(contradictions(content)),
    }
    assert content["step"] == 8 and sum(map(len, damaged.values())) >= 210
    found = Counter()
    for kind, blobs in damaged.items():
        for number, changed in enumerate(blobs):
            state.write_bytes(changed)
            result = outcome(state, expected)
            found[result] += 1
            assert result == ("same" if changed == blob else "refused"), (kind, number)
    assert set(found) <= {"refused", "same"} and found["same"] <= 5
    state.write_bytes(blob)
    assert outcome(state, expected) == "same" and not state.exists()


CHANGES = [
    ({"batch": 5}, r"run.configuration.batch is 4, expected 5"),
    ({"seed": 1}, r"run.configuration.seed is 0, expected 1"),
    ({"length": 2}, r"run.configuration.length is 3, expected 2"),
    (
        {"task": RegressionPrompts(2, "random")},
        r"run.configuration.task.covariance is 'fixed', expected 'random'",
    ),
    ({"model": replace(TINY.model, width=2)}, r"run.configuration.model.width is 8, expected 2"),
    ({"model": replace(TINY.model, heads=2)}, r"run.configuration.model.heads is 1, expected 2"),
    (
        {"training": replace(TINY.training, optimizer="sgd")},
        r"optimizer is 'adamw', expected 'sgd'",
    ),
    ({"training": replace(TINY.training, steps=13)}, r"training.steps is 12, expected 13"),
]


class TestForeign:
    @pytest.mark.parametrize(("change", "words"), CHANGES)
    def test_a_run_that_was_changed_midway(self, state, monkeypatch, change, words):
        monkeypatch.setitem(EXPERIMENTS, NAME, replace(TINY, **change))
        blob = state.read_bytes()
        with pytest.raises(ValueError, match=re.escape(words)) as caught:
            named.train(NAME, progress=False)
        assert f"state file {state} belongs to another training" in str(caught.value)
        assert state.read_bytes() == blob  # nobody but `forget` removes it

    def test_another_seeds_file_renamed(self, state, monkeypatch):
        interrupted(OTHER_SEED, monkeypatch).replace(state)
        with pytest.raises(ValueError, match=f"name is '{OTHER_SEED}', expected '{NAME}'"):
            named.train(NAME, progress=False)

    def test_another_checkout_with_the_same_folder(self, state, monkeypatch, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.setattr(storage, "CHECKOUT", tmp_path / "elsewhere")
        with pytest.raises(ValueError, match=r"run.checkout is .*, expected '.*elsewhere'"):
            named.train(NAME, progress=False)

    def test_other_versions(self, state, monkeypatch):
        monkeypatch.setattr(checkpoint, "versions", lambda: {"torch": "1.0"})
        with pytest.raises(ValueError, match=r"run.versions.torch is '.*', expected '1.0'"):
            named.train(NAME, progress=False)

    def test_other_code(self, state, monkeypatch):
        monkeypatch.setattr(store, "code_sha256", lambda library: "new")
        with pytest.raises(ValueError, match="run.code is 'old', expected 'new'"):
            named.train(NAME, progress=False)

    def test_what_counts_as_code(self, tmp_path):
        """A changed, added or renamed module does; those around the runs do not."""
        package = tmp_path / "library" / "models"
        package.mkdir(parents=True)
        (package / "layer.py").write_text("x = 1\n", encoding="utf-8")
        library = package.parent
        seen = [store.code_sha256(library)]
        for name in ("claims.py", "teaching/doctor.py"):
            (library / name).parent.mkdir(exist_ok=True)
            (library / name).write_text("y = 2\n", encoding="utf-8")
            assert store.code_sha256(library) == seen[0]
        (package / "layer.py").write_text("x = 2\n", encoding="utf-8")
        seen.append(store.code_sha256(library))
        (package / "layer.py").rename(package / "other.py")
        seen.append(store.code_sha256(library))
        (library / "training.py").write_text("", encoding="utf-8")
        assert len({*seen, store.code_sha256(library)}) == 4

    def test_a_directory(self, state, expected, capsys):
        state.unlink()
        (state / "inner").mkdir(parents=True)
        assert main(["train", NAME]) == 1
        assert f"state file {state} cannot be read: Is a directory" in capsys.readouterr().err
        assert main(["forget", NAME]) == 0 and not state.exists()
        assert outcome(state, expected) == "same"

    def test_a_link_to_nowhere(self, state, expected):
        state.unlink()
        state.symlink_to(state.parent / "nowhere")
        assert outcome(state, expected) == "refused"
        assert named.forget(NAME) == [state] and outcome(state, expected) == "same"

    def test_the_command_that_is_named_helps(self, state, expected, capsys):
        state.write_bytes(state.read_bytes()[:-9])
        assert main(["train", NAME]) == 1
        message = capsys.readouterr().err
        assert f"{NAME}: state file {state} is damaged: its content does not" in message
        command = re.search(r"python -m icl_lib.experiments (.*)", message)[1].split()
        assert main(command) == 0 and not state.exists()
        assert outcome(state, expected) == "same"


@pytest.mark.usefixtures("base")
def test_another_model_below(monkeypatch):
    """A run on top of a model that has meanwhile been trained anew."""
    with monkeypatch.context() as patch:
        patch.setattr(Run, "loss_at", stop_at(4))
        with pytest.raises(KeyboardInterrupt):
            named.train(EOS.name, progress=False, save_every=2)
    other = replace(SOFTMAX, training=replace(SOFTMAX.training, lr=0.02))
    monkeypatch.setitem(EXPERIMENTS, SOFTMAX.name, other)
    monkeypatch.setitem(EXPERIMENTS, EOS.name, replace(EOS, below=(other,)))
    named.train(SOFTMAX.name, progress=False)
    with pytest.raises(ValueError, match=rf"run.below.{SOFTMAX.name} is '\w+', expected"):
        named.train(EOS.name, progress=False)
