"""What each chapter costs to run: the page's table, and that of ``make test-notebooks``.

As a program: prints the reports of the stored executions (``icl_lib.claims.run_report``).
"""

import sys
from pathlib import Path

from icl_lib.claims.cells import RUN_MIME

import book_checks
import book_store

CPU_BUDGET = 45  # seconds of kernel CPU time a notebook
TOTAL_BUDGET = 420  # seconds for all notebooks together
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


def line(name, values, note=""):
    numbers = zip(values, (9, 9, 9), strict=True)
    return f"{name:<32}" + "".join(f"{value:>{width}}" for value, width in numbers) + note


def report(source):
    """The run report of a stored execution, None without one."""
    notebook = book_store.find(source)
    found = book_checks.payloads(notebook, RUN_MIME) if notebook else []
    return found[-1][1] if found else None


def main():
    """Print the table; what is over its budget is marked, since seconds depend on the machine."""
    total = 0.0
    print(line("notebook", ("CPU s", "wall s", "peak MB")))
    for source in book_store.chapters():
        run = report(source)
        if run is None:
            print(f"{Path(source).stem:<32} has no valid execution")
            continue
        total += run["cpu_seconds"]
        note = f"  over {CPU_BUDGET} s" if run["cpu_seconds"] > CPU_BUDGET else ""
        print(line(source.stem, figures(run), note))
    note = f"  over {TOTAL_BUDGET} s" if total > TOTAL_BUDGET else ""
    print(f"{'all':<32}{total:>9.1f}{note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
else:
    from sphinx.util.docutils import SphinxDirective

    class RunTimes(SphinxDirective):
        """The table on the page of run times."""

        def run(self):
            from book_payloads import placeholder

            return placeholder(self, "run-times")
