"""The committed report of what has been reproduced: one row a run.

``book/reference/reproduced.json`` maps the name of a run to its row: date, commit, device, torch,
the recorded and the reproduced metric, the verdict, and the seconds that it took. The page of the
claims ledger shows it; a run without a row reads "not yet" there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from icl_lib._storage import write_whole

BIT_EQUAL = "bit-equal"
INSIDE, OUTSIDE = "inside the seed band", "outside the seed band"
NO_BAND = "other bits, no seed band"
AS_RECORDED, FAILED = "fails, as recorded", "fails"
GOOD = (BIT_EQUAL, INSIDE, AS_RECORDED)
COLUMNS = {"date", "commit", "device", "torch", "recorded", "reproduced", "verdict", "seconds"}
PATIENCE = 60.0  # seconds; a row takes milliseconds


def read_report(path: Path) -> dict[str, dict]:
    """Return the rows by run, {} if there is no report yet.

    Raises
    ------
    ValueError
        If the file is no report.
    """
    if not path.exists():
        return {}
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"report {path} is damaged: {error}") from error
    if not isinstance(rows, dict):
        raise ValueError(f"report {path} must be a JSON object, got {type(rows).__name__}")
    if odd := sorted(name for name, row in rows.items() if set(row) != COLUMNS):
        raise ValueError(f"report {path} must have the columns {sorted(COLUMNS)} in rows {odd}")
    return rows


def add_row(path: Path, name: str, row: dict) -> None:
    """Set the row of the run ``name``; what others wrote meanwhile stays.

    Raises
    ------
    ValueError
        If the file is no report.
    OSError
        If it cannot be written, or stays locked by another process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f"{path.name}.lock"), timeout=PATIENCE):
        rows = dict(sorted({**read_report(path), name: row}.items()))
        write_whole(path, (json.dumps(rows, indent=1) + "\n").encode())


def verdict(
    recorded: float | None,
    reproduced: float | None,
    same_weights: bool,
    band: Callable[[], tuple[float, float] | None],
) -> str:
    """Return how a reproduced run compares with the recorded one; None means that it failed.

    >>> verdict(0.31, 0.32, False, lambda: (0.30, 0.33))
    'inside the seed band'
    """
    if reproduced is None:
        return AS_RECORDED if recorded is None else FAILED
    if same_weights:
        return BIT_EQUAL
    limits = None if recorded is None else band()
    if limits is None:
        return NO_BAND
    return INSIDE if limits[0] <= reproduced <= limits[1] else OUTSIDE
