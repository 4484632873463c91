"""Files that appear completely or not at all, and the signed state of an unfinished training.

A state file is one line that says what it is, one line with the SHA-256 of all that follows, and
then what ``torch.save`` wrote. The hash is compared before anything is unpickled, so that damage is
found wherever it hit. The state also says whose it is, and is refused by every other training. The
hash protects from damage and mistakes, not from somebody who computes it anew.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from contextlib import suppress
from pathlib import Path

import torch

FIRST_LINE = b"icl_lib training state, format 2\n"
DIGEST_LINE = 65  # 64 hexadecimal digits and the end of the line
SHOWN = 5  # differences that a message lists


class StateError(ValueError):
    """A state file that is damaged or belongs to another training; the message names it."""


def write_whole(path: Path, blob: bytes) -> None:
    """Write ``blob`` to ``path``: a kill or a full disk leaves the old file, never half a new one.

    Raises
    ------
    OSError
        If the folder cannot be made, or the file not be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")  # no other process takes it
    try:
        with partial.open("wb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())  # or the name may reach the disk before the content
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def reason(error: OSError) -> str:
    """Return what the system says of an error, without the number and the file name."""
    return error.strerror or str(error)


def hash_tensors(digest, tensors: dict[str, torch.Tensor]) -> None:
    """Feed the names and the bytes of all tensors to ``digest``, in the order of the names."""
    for name in sorted(tensors):
        digest.update(name.encode())
        # as bytes, since NumPy lacks some of torch's number types
        flat = tensors[name].detach().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())


def layout(tensors: dict[str, torch.Tensor]) -> dict[str, str]:
    """Return the shape and the number type of every tensor, as text.

    >>> layout({"w": torch.zeros(2, 3)})
    {'w': '(2, 3) float32'}
    """
    return {
        name: f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
        for name, value in tensors.items()
    }


def plain(name: str, value: dict) -> dict:
    """Return ``value`` as JSON would give it back: tuples become lists.

    Raises
    ------
    ValueError
        If it is no dict of plain data, or holds NaN or an infinite number.
    """
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{name} must be plain data (as for JSON): {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be a dict, got {type(value).__name__}")
    return json.loads(text)


def whose_state(stated: dict, model: torch.nn.Module, **settings) -> dict:
    """Return all that a state must share with the training that takes it up, as plain data.

    ``stated`` is what the caller says of the run; the model's kind and its initial weights, the
    ``settings`` of the training and the version of torch are added.

    Raises
    ------
    ValueError
        If ``stated`` says nothing, or is no plain data.
    """
    if not isinstance(stated, dict) or not stated:
        raise ValueError(
            "identity must say whose state state_path holds, a dict such as "
            f"{{'task': 'gaussian', 'batch': 64, 'seed': 0}}, got {stated!r}"
        )
    weights, start = model.state_dict(), hashlib.sha256()
    hash_tensors(start, weights)
    return {
        "run": plain("identity", stated),
        **plain("settings", settings),
        "model": {"kind": type(model).__qualname__, "tensors": layout(weights)},
        "initial weights": start.hexdigest(),
        "torch": str(torch.__version__),
    }


def write_state(path: Path, identity: dict, content: dict) -> None:
    """Write the state ``content`` of the training that ``identity`` describes (plain data).

    Raises
    ------
    OSError
        If it cannot be written; an earlier state at ``path`` is then still there.
    """
    buffer = io.BytesIO()
    torch.save({"identity": json.dumps(identity, sort_keys=True), **content}, buffer)
    payload = buffer.getvalue()
    digest = hashlib.sha256(payload).hexdigest().encode()
    try:
        write_whole(path, FIRST_LINE + digest + b"\n" + payload)
    except OSError as error:
        kept = "the one saved before it is kept" if path.exists() else "nothing was saved before it"
        raise OSError(f"state file {path} cannot be written: {reason(error)}; {kept}") from error


def read_state(path: Path, identity: dict) -> dict:
    """Return the content of a state file of the training that ``identity`` describes.

    Raises
    ------
    StateError
        If the file cannot be read, is something else, damaged, or of another training.
    """
    state = _unpickled(path, _signed_payload(path))
    try:
        got = json.loads(state.pop("identity"))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StateError(f"state file {path} does not say which training it belongs to") from error
    if unlike := differences(got, plain("identity", identity)):
        more = f"; and {len(unlike) - SHOWN} more" if len(unlike) > SHOWN else ""
        raise StateError(
            f"state file {path} belongs to another training: {'; '.join(unlike[:SHOWN])}{more}"
        )
    return state


def differences(got, expected, name: str = "") -> list[str]:
    """Return what differs between two pieces of plain data, as "NAME is A, expected B".

    >>> differences({"seed": 0, "model": {"d": 2}}, {"seed": 1, "model": {"d": 2}})
    ['seed is 0, expected 1']
    """
    if isinstance(got, dict) and isinstance(expected, dict):
        keys = dict.fromkeys([*expected, *got])
        inner = f"{name}." if name else ""
        absent = "absent"
        return [
            line
            for key in keys
            for line in differences(got.get(key, absent), expected.get(key, absent), inner + key)
        ]
    if type(got) is type(expected) and got == expected:
        return []
    return [f"{name or 'it'} is {_short(got)}, expected {_short(expected)}"]


def _signed_payload(path: Path) -> bytes:
    try:
        blob = path.read_bytes()
    except OSError as error:
        raise StateError(f"state file {path} cannot be read: {reason(error)}") from error
    start = len(FIRST_LINE)
    if not blob.startswith(FIRST_LINE):
        raise StateError(
            f"state file {path} is no training state: expected it to start with {FIRST_LINE!r}, "
            f"got {blob[:start]!r}"
        )
    payload = blob[start + DIGEST_LINE :]
    digest = hashlib.sha256(payload).hexdigest().encode() + b"\n"
    if blob[start : start + DIGEST_LINE] != digest:
        raise StateError(f"state file {path} is damaged: its content does not match its hash")
    return payload


def _unpickled(path: Path, payload: bytes) -> dict:
    try:
        return torch.load(io.BytesIO(payload), weights_only=True)
    except Exception as error:  # damage has been excluded; another torch raises many kinds
        why = str(error).partition("\n")[0]
        raise StateError(f"state file {path} cannot be unpickled: {why}") from error


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:38]}...{text[-38:]}"  # paths differ at the end
