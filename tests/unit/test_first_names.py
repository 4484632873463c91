"""The names that ``icl_lib`` itself offers: there, lazy, and the ones of their rooms."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import icl_lib


@pytest.mark.parametrize("name", sorted(icl_lib.FIRST))
def test_a_name_is_the_rooms_own(name):
    assert getattr(icl_lib, name) is getattr(importlib.import_module(icl_lib.FIRST[name]), name)
    assert name in dir(icl_lib)


def test_importing_the_library_imports_no_room():
    """Nor torch: a chapter's digest and a command's start depend on what is asked for alone."""
    code = "import icl_lib, sys; print([m for m in sys.modules if m[:8] in ('icl_lib.', 'torch')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_named():
    with pytest.raises(AttributeError, match="no attribute 'transformer'; it has .*Transformer"):
        icl_lib.transformer  # noqa: B018
