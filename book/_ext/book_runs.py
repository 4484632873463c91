"""What each chapter costs to run: the page's table, and the gate of ``make test-notebooks``.

As a program: ``book_runs.py FOLDER`` prints the reports that ``icl_lib.claims.run_report`` wrote
into FOLDER and exits with 1 when a chapter is missing or over its budget.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CPU_LIMIT = 60  # seconds of kernel CPU time a notebook
TOTAL_LIMIT = 720  # seconds for all notebooks together
HEADS = ["Chapter", "CPU time (s)", "Wall time (s)", "Peak memory (MB)"]


def figures(run):
    return [f"{run['cpu_seconds']:.1f}", f"{run['wall_seconds']:.1f}", f"{run['peak_mb']:.0f}"]


def run_time_nodes(app, docname):
    from book_payloads import chapter_title, chapters
    from book_tables import link, table

    rows, total = [], {"cpu_seconds": 0.0, "wall_seconds": 0.0, "peak_mb": 0.0}
    for chapter in chapters(app):
        number, title = chapter_title(app, chapter.docname)
        rows.append(
            [link(app, docname, chapter.docname, f"{number}. {title}"), *figures(chapter.run)]
        )
        total["cpu_seconds"] += chapter.run["cpu_seconds"]
        total["wall_seconds"] += chapter.run["wall_seconds"]
        total["peak_mb"] = max(total["peak_mb"], chapter.run["peak_mb"])
    rows.append(["All chapters (the largest peak)", *figures(total)])
    return [table("Run time and peak memory of each chapter", "run-times-table", HEADS, rows)]


def chapter_names():
    """Chapter number -> notebook, for every notebook that is a chapter."""
    return {p.name[:2]: p.stem for p in sorted((ROOT / "book").glob("part*/[0-9][0-9]_*.ipynb"))}


def main(folder):
    names, total, wrong = chapter_names(), 0.0, []
    print(f"{'notebook':<32}{'CPU s':>8}{'wall s':>8}{'peak MB':>9}")
    for number, name in names.items():
        path = Path(folder) / f"{number}.json"
        if not path.exists():
            print(f"{name:<32}{'no report':>25}")
            wrong.append(f"{name} wrote no run report (its last cell did not run)")
            continue
        run = json.loads(path.read_text(encoding="utf8"))
        total += run["cpu_seconds"]
        over = run["cpu_seconds"] > CPU_LIMIT
        print(
            f"{name:<32}"
            + "".join(f"{x:>{w}}" for x, w in zip(figures(run), (8, 8, 9), strict=True))
            + ("  over the limit" if over else "")
        )
        if over:
            wrong.append(f"{name} took {run['cpu_seconds']:.1f} s of CPU time, at most {CPU_LIMIT}")
    print(f"{'all':<32}{total:>8.1f}")
    if total > TOTAL_LIMIT:
        wrong.append(f"all notebooks took {total:.1f} s of CPU time, at most {TOTAL_LIMIT}")
    for line in wrong:
        print(f"FAILED: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
else:
    from sphinx.util.docutils import SphinxDirective

    class RunTimes(SphinxDirective):
        """The table on the page of run times."""

        def run(self):
            from book_payloads import placeholder

            return placeholder(self, "run-times")
