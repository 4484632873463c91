"""A run that another process trains is refused, whatever the file that names the process says."""

from __future__ import annotations

import pytest
from tiny_experiments import NAME, temporary_workplace  # noqa: F401 - a fixture

from icl_lib.experiments import named, storage


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"-", None])
def test_an_owner_that_cannot_be_read(content):
    """Its file is written after the lock is taken, and removed before it is given back."""
    with storage.run_lock(NAME):
        owner = storage.state_folder() / f"{NAME}.pid"
        owner.unlink()
        if content is not None:
            owner.write_bytes(content)
        with pytest.raises(OSError, match="is being trained by process unknown"):
            named.train(NAME, progress=False)
