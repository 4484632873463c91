"""Runs first in each kernel that executes a chapter: logs the start, and what the chapter reads.

``book_pytest`` puts a copy into the kernels' IPython profile. Two lists are appended to as things
happen, so that a kernel that dies loses nothing: ``ICL_KERNEL_LOG`` gets one line a start,
``ICL_READS`` one line for each file of the project that is opened as data.
"""


def _watch():
    import json
    import os
    import sys
    import time

    root = os.environ["ICL_ROOT"]
    chapter = os.environ.get("ICL_CHAPTER", "unknown")
    with open(os.environ["ICL_KERNEL_LOG"], "a", encoding="utf8") as log:
        log.write(json.dumps({"chapter": chapter, "pid": os.getpid(), "time": time.time()}) + "\n")

    reads, seen = os.environ["ICL_READS"], set()
    ours = root + os.sep
    # expectations and the build's own files are not data; code, left out below, is in the digest
    skipped = tuple(ours + part for part in (".", "_build", os.path.join("book", "claims")))

    def audit(event, arguments):
        if event not in ("open", "icl_lib.read") or not isinstance(arguments[0], str):
            return
        path = os.path.abspath(arguments[0])
        if path in seen or not path.startswith(ours) or path.startswith(skipped):
            return
        if path.endswith((".py", ".pyc", ".lock")) or not os.path.isfile(path):
            return
        seen.add(path)
        with open(reads, "a", encoding="utf8") as list_:
            list_.write(os.path.relpath(path, root).replace(os.sep, "/") + "\n")

    sys.addaudithook(audit)


_watch()
del _watch
