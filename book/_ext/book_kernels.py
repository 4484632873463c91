"""Check the kernel log: no chapter was started more than once.

``book_kernels.py`` prints what the log holds and exits with 1 if a chapter was started twice, if a
kernel ran for no chapter, or if a chapter has no valid execution; ``book_kernels.py clear``
empties it.
"""

import json
import sys
from collections import Counter

import book_store

LOG = book_store.ROOT / "_build" / "kernels.log"


def starts(path=LOG):
    """chapter -> number of kernels that were started for it."""
    lines = path.read_text(encoding="utf8").splitlines() if path.exists() else []
    return Counter(json.loads(line)["chapter"] for line in lines)


def problems(counts, unexecuted=()):
    wrong = [f"{name} was started {count} times" for name, count in counts.items() if count > 1]
    if "unknown" in counts:
        wrong.append(f"{counts['unknown']} kernels were started for no chapter")
    return wrong + [f"{name} has no valid execution" for name in unexecuted]


def main(arguments):
    if arguments == ["clear"]:
        LOG.unlink(missing_ok=True)
        return 0
    if arguments:
        sys.exit(__doc__)
    counts = starts()
    wrong = problems(counts, [path.stem for path in book_store.missing()])
    print(f"kernel log: {sum(counts.values())} kernels for {len(counts)} notebooks")
    for line in wrong:
        print(f"FAILED: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
