"""A disposable jupyter-cache, made from the execution store at the start of a build.

MyST-NB looks a notebook up by its code and the metadata of its cells. The store knows better what
still counts, so its outputs are joined with the notebooks as they are now and laid into a fresh
cache. Then the build finds every notebook there and starts no kernel.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from sphinx.errors import ExtensionError

import book_store

COMMAND = ("-m", "pytest", "-q", "--no-header", "-rN", "-p", "no:cacheprovider")


def cores():
    """How many notebooks run at once: JOBS, else the number of cores up to 4."""
    if jobs := os.environ.get("JOBS"):
        return int(jobs)
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(4, available or 1))


def provide(app, config):
    """config-inited: execute what is missing, then fill the cache."""
    if config.nb_execution_mode != "cache":
        return
    root = Path(app.srcdir)
    sources = book_store.chapters(root)
    missing = [path for path in sources if book_store.find(path, root) is None]
    if missing:
        execute(root, missing)
    cache = Path(config.nb_execution_cache_path or Path(app.outdir).parent / ".jupyter_cache")
    fill(cache, sources, root)


def execute(root, sources):
    """Run pytest on the notebooks: nbmake executes them, in parallel, on copies."""
    jobs = min(cores(), len(sources))
    print(f"executing {len(sources)} chapters, {jobs} at a time", flush=True)
    parallel = ["-n", str(jobs), "--maxschedchunk=1"] if jobs > 1 else []
    names = [path.relative_to(root).as_posix() for path in sources]
    done = subprocess.run([sys.executable, *COMMAND, *parallel, *names], cwd=root, check=False)
    if done.returncode:
        raise ExtensionError("a chapter could not be executed, or a claim does not hold: see above")


def fill(cache, sources, root):
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn

    shutil.rmtree(cache, ignore_errors=True)
    store = get_cache(str(cache))
    for path in sources:
        notebook = book_store.find(path, root)
        if notebook is None:
            raise ExtensionError(f"{path.name} changed while the build began: build again")
        data = {"execution_seconds": notebook.metadata[book_store.KEY]["seconds"]}
        store.cache_notebook_bundle(CacheBundleIn(notebook, str(path), data=data), False, True)


def identity(path, root):
    """What the outputs of a chapter come from; pages are read again when it changes."""
    notebook = book_store.find(path, root)
    return notebook and notebook.metadata[book_store.KEY]["digest"]
