"""Do the executed notebooks and the expectations agree? Asked by the tests and by the build."""

import json
import re
import sys
from pathlib import Path

import book_store

sys.path.insert(0, str(book_store.ROOT))  # this clone's icl_lib, whatever else is installed

from icl_lib.claims import files, verdicts
from icl_lib.claims.cells import CLAIM_MIME, RUN_MIME


def slug(source):
    """The name of a chapter in its claims: 03_closed_form.ipynb is "closed-form"."""
    return re.sub(r"^\d\d_", "", Path(source).stem).replace("_", "-")


def is_chapter(source):
    return re.match(r"\d\d_", Path(source).name) is not None


def claims_folder(root):
    return Path(root) / "book" / "claims"


def payloads(notebook, mime):
    """(cell index, payload) for every output of this MIME type."""
    return [
        (index, as_dict(output.data[mime]))
        for index, cell in enumerate(notebook.cells)
        for output in cell.get("outputs", ())
        if mime in output.get("data", {})
    ]


def as_dict(value):
    if isinstance(value, list):
        value = "".join(value)
    return json.loads(value) if isinstance(value, str) else value


def notebook_problems(notebook, source, root=book_store.ROOT):
    """What is wrong with the claims of one executed notebook."""
    name, chapters = slug(source), files.every_chapter(str(claims_folder(root)))
    chapter = chapters.get(name, {"strict_null": False, "claims": {}})
    if not is_chapter(source):  # the template borrows a claim of a chapter
        borrowed = {k: v for entry in chapters.values() for k, v in entry["claims"].items()}
        chapter = {"strict_null": False, "claims": borrowed}
    found, seen = [], set()
    if not payloads(notebook, RUN_MIME):
        found.append("its last cell must call icl_lib.claims.run_report")
    for _, payload in payloads(notebook, CLAIM_MIME):
        claim = payload["id"]
        if claim in seen:
            found.append(f"claim {claim} is checked a second time")
        seen.add(claim)
        if claim not in chapter["claims"]:
            found.append(f"claim {claim} is not in book/claims/{name}.yml")
            continue
        spec = chapter["claims"][claim]
        found += verdicts.problems(claim, spec, payload, chapter["strict_null"])
    found += [
        f"claim {claim} of book/claims/{name}.yml is checked in no cell"
        for claim in chapter["claims"]
        if is_chapter(source) and claim not in seen
    ]
    return [f"{Path(source).stem}: {line}" for line in found]


def orphans(sources, root=book_store.ROOT):
    """Files of expectations without a chapter."""
    names = {slug(source) for source in sources}
    return [
        f"book/claims/{name}.yml belongs to no chapter"
        for name in files.every_chapter(str(claims_folder(root)))
        if name not in names
    ]
