"""What several unit tests share."""

from __future__ import annotations

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

collect_ignore = ["conftest.py"]  # it holds no doctests, and two files of one name collide


@pytest.fixture
def clean():
    """Restore the style and the backend's figures around a test."""
    with mpl.rc_context(), plt.ioff():
        plt.switch_backend("agg")
        plt.close("all")
        yield
        plt.close("all")
