"""The execution store: each chapter as it was executed, one file a chapter and digest.

``_build/executed/03_closed_form-<digest>.ipynb`` holds the outputs and, in its metadata, what the
run read (checkpoints, records) with checksums. It counts for the notebook in ``book/`` as long as
the digest (``book_digest``) and those files are unchanged. Prose and captions always come from
``book/``.
"""

import os
import sys
from copy import deepcopy
from pathlib import Path

import nbformat

from book_digest import chapter_digest, code_cells, file_sha256, read_notebook

ROOT = Path(__file__).resolve().parents[2]
KEPT = 3  # executions of one chapter that are kept, so that going back to a branch is free
KEY = "icl"


def folder(root=ROOT):
    return Path(root) / "_build" / "executed"


def stored_path(source, digest, root=ROOT):
    return folder(root) / f"{Path(source).stem}-{digest[:16]}.ipynb"


def find(source, root=ROOT):
    """The notebook ``source`` with the outputs of its stored execution, None if there is none.

    A file that is cut off or damaged counts as none.
    """
    notebook = read_notebook(source)
    path = stored_path(source, chapter_digest(root, notebook), root)
    try:
        executed = read_notebook(path)
        facts = executed.metadata[KEY]
        unchanged = all(same_file(Path(root) / name, sum_) for name, sum_ in facts.reads.items())
        return with_outputs(notebook, executed) if unchanged else None
    except (OSError, ValueError, KeyError, AttributeError, nbformat.ValidationError):
        return None


def same_file(path, checksum):
    return path.is_file() and file_sha256(path) == checksum


def with_outputs(notebook, executed):
    """A copy of ``notebook`` that carries the outputs of ``executed``, matched by their order."""
    merged = deepcopy(notebook)
    pairs = list(zip(code_cells(merged), code_cells(executed), strict=True))
    for cell, done in pairs:
        if cell.source != done.source:
            raise ValueError(f"cell {cell.get('id')} is not the one that was executed")
        cell.outputs, cell.execution_count = done.outputs, done.execution_count
    merged.metadata[KEY] = executed.metadata[KEY]
    return merged


def put(source, executed, digest, reads, seconds, root=ROOT):
    """Keep an execution of ``source`` that began with ``digest``; complete or not at all."""
    executed = deepcopy(executed)
    for cell in executed.cells:
        cell.metadata.pop("execution", None)
    executed.metadata[KEY] = {
        "digest": digest,
        "reads": {name: file_sha256(Path(root) / name) for name in sorted(reads)},
        "seconds": round(seconds, 1),
    }
    path = stored_path(source, digest, root)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(nbformat.writes(executed), encoding="utf8")
    os.replace(partial, path)
    older = sorted(
        path.parent.glob(f"{Path(source).stem}-*.ipynb"), key=lambda p: p.stat().st_mtime
    )
    for old in older[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def last_seconds(source, root=ROOT):
    """How long the latest stored execution of this chapter took, None if there is none."""
    paths = folder(root).glob(f"{Path(source).stem}-*.ipynb")
    for path in sorted(paths, key=lambda p: p.stat().st_mtime, reverse=True):
        try:
            return float(read_notebook(path).metadata[KEY].seconds)
        except (OSError, ValueError, KeyError, AttributeError):
            continue
    return None


def chapters(root=ROOT):
    """The book's chapters on disk, in order."""
    return sorted((Path(root) / "book").glob("part*/[0-9][0-9]_*.ipynb"))


def missing(root=ROOT):
    """The chapters without a valid execution."""
    return [path for path in chapters(root) if find(path, root) is None]


def main():
    """Print which chapters would be executed now."""
    names = [path.relative_to(ROOT).as_posix() for path in missing()]
    print("\n".join(names) if names else "every chapter is executed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
