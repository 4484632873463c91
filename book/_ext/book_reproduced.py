"""The table of reproduced checkpoints: every run on record, and its row of the committed report."""

import json
from collections import Counter
from pathlib import Path

from icl_lib.claims import words
from sphinx.util.docutils import SphinxDirective

from book_payloads import placeholder
from book_tables import code, paragraph, table

HEADS = ["Run", "Verdict", "Recorded", "Reproduced", "Date", "Commit", "Device", "Cost"]
NOT_YET = "not yet"


class ReproducedRuns(SphinxDirective):
    """Every run on record, with what came out when it was trained anew."""

    def run(self):
        return placeholder(self, "reproduced-runs")


def known_rows(root):
    """name -> row of the report, None for a run on record that has not been reproduced yet."""
    report = Path(root) / "book" / "reference" / "reproduced.json"
    rows = json.loads(report.read_text(encoding="utf8")) if report.exists() else {}
    record = json.loads((Path(root) / "checkpoints" / "record.json").read_text(encoding="utf8"))
    return {name: rows.get(name) for name in sorted({*record, *rows})}


def number(value):
    return "\u2013" if value is None else words.short(value)


def cost(seconds):
    if seconds is None:
        return "\u2013"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def cells(name, row):
    if row is None:
        return [[code(name)], NOT_YET, *["\u2013"] * (len(HEADS) - 2)]
    return [
        [code(name)],
        row["verdict"],
        number(row["recorded"]),
        number(row["reproduced"]),
        row["date"],
        [code(row["commit"])],
        f"{row['device']}, torch {row['torch']}",
        cost(row["seconds"]),
    ]


def counted(rows):
    """How many runs of each verdict."""
    counts = Counter(row["verdict"] if row else NOT_YET for row in rows.values())
    return f"{len(rows)} runs: {', '.join(f'{n} {kind}' for kind, n in counts.most_common())}."


def reproduced_nodes(app, docname):
    """A line that counts the verdicts, and one row a run."""
    rows = known_rows(app.srcdir)
    body = [cells(name, row) for name, row in rows.items()]
    caption = "Checkpoints trained anew"
    return [paragraph(counted(rows)), table(caption, "reproduced-runs", HEADS, body)]
