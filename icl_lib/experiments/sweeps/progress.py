"""The table of a sweep: done, running, failed, minutes left. One row a family, one for all."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TextIO

from icl_lib.experiments.sweeps.tasks import BUSY, COMPLETED, FAILED, Outcome, Task

HEADS = ("runs", "done", "running", "failed", "waiting", "minutes left")


class Progress:
    """Counts outcomes and shows them: redrawn on a terminal, else a line for every run."""

    def __init__(self, tasks: list[Task], workers: int, stream: TextIO | None = None):
        self.stream = sys.stdout if stream is None else stream
        self.workers = workers
        self.outcomes: dict[str, Outcome] = {}
        self._family = {task.name: task.family for task in tasks}
        self._seconds: list[tuple[str, float]] = []
        self._drawn = 0

    def add(self, outcome: Outcome) -> None:
        """Take note of an outcome and show it."""
        self.outcomes[outcome.name] = outcome
        if outcome.trained and outcome.status == COMPLETED:
            self._seconds.append((self._family[outcome.name], outcome.seconds))
        if self.stream.isatty():
            self.draw()
        elif outcome.status != BUSY:
            row = dict(zip(HEADS, self._row("all", list(self._family)), strict=True))
            left = f", {row['minutes left']} minutes left" if row["minutes left"] != "?" else ""
            print(
                f"{row['done']} of {len(self._family)} done, {row['running']} running, "
                f"{row['failed']} failed{left}: {_words(outcome)}",
                file=self.stream,
                flush=True,
            )

    def say(self, text: str) -> None:
        """Print a line that stays."""
        print(text, file=self.stream, flush=True)
        self._drawn = 0

    def draw(self) -> None:
        """Draw the table, over the last one if nothing was printed since."""
        lines = self.table()
        back = f"\x1b[{self._drawn}F\x1b[J" if self._drawn and self.stream.isatty() else ""
        print(back + "\n".join(lines), file=self.stream, flush=True)
        self._drawn = len(lines)

    def table(self) -> list[str]:
        """Return the lines of the table."""
        families = list(dict.fromkeys(self._family.values()))
        rows: list[tuple[str, ...]] = [HEADS]
        for family in families:
            rows.append(self._row(family, [n for n, f in self._family.items() if f == family]))
        if len(families) > 1:
            rows.append(self._row("all", list(self._family)))
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
        return [
            "  ".join(
                text.ljust(width) if column == 0 else text.rjust(width)
                for column, (text, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]

    def failures(self) -> list[str]:
        """Return a line for every failed run, with its reason."""
        return [_words(each) for each in self.outcomes.values() if each.status == FAILED]

    def _row(self, title: str, names: list[str]) -> tuple[str, ...]:
        counts = Counter(self._status(name) for name in names)
        waiting = [name for name in names if self._status(name) == "waiting"]
        # every worker has the next of the runs that wait, first come first served
        first = [n for n in self._family if self._status(n) == "waiting"][: self.workers]
        running = len(set(first) & set(names))
        figures = (counts[COMPLETED], running + counts[BUSY], counts[FAILED])
        return (title, *map(str, figures), str(len(waiting) - running), self._minutes(waiting))

    def _status(self, name: str) -> str:
        return self.outcomes[name].status if name in self.outcomes else "waiting"

    def _minutes(self, waiting: list[str]) -> str:
        """Return the minutes left, from the mean time of the finished runs (of the same family)."""
        if not waiting:
            return "0"
        if not self._seconds:
            return "?"
        total = 0.0
        for name in waiting:
            own = [s for family, s in self._seconds if family == self._family[name]]
            times = own or [seconds for _, seconds in self._seconds]
            total += sum(times) / len(times)
        return f"{total / min(self.workers, len(waiting)) / 60:.1f}"


def _words(outcome: Outcome) -> str:
    if outcome.status != COMPLETED:
        return f"{outcome.name} {outcome.status}: {outcome.reason}" + (
            "" if outcome.stored else " (the store did not take this record)"
        )
    record = outcome.record
    how = f", {outcome.seconds:.0f} s" if outcome.trained else ", it was there already"
    return f"{outcome.name} {record['metric']} {record['metrics'][record['metric']]:.4g}{how}"
