"""What a chapter's outputs depend on, as one checksum.

The digest of a notebook covers its code cells, the modules of ``icl_lib`` that its import
statements reach, ``requirements.lock`` and the Python version. It leaves out everything that a
reader sees but the kernel does not: prose, captions, the expectations of its claims, this
extension. What a chapter *reads* (checkpoints, records) shows only when it runs: ``book_store``
keeps it beside the outputs.
"""

import ast
import hashlib
import sys
from functools import cache
from pathlib import Path

import nbformat

LIBRARY = "icl_lib"
LOCK = "requirements.lock"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@cache
def _file_sha256(path, size, changed):
    return sha256(Path(path).read_bytes())


def file_sha256(path):
    """The checksum of a file, read once as long as its size and time stay."""
    stat = path.stat()
    return _file_sha256(str(path), stat.st_size, stat.st_mtime_ns)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def python_of(source):
    """A cell's source without the lines that only IPython understands."""
    lines = source.splitlines()
    return "\n".join(
        line[: len(line) - len(line.lstrip())] + "pass" if line.lstrip()[:1] in ("!", "%") else line
        for line in lines
    )


def imported_names(source, package=""):
    """Every dotted name that the import statements of ``source`` may refer to."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, *filter(None, [base])])
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return names


def module_file(root, name):
    """The file of the library's module or package ``name``; None for a function or a stranger."""
    parts = name.split(".")
    if parts[0] != LIBRARY:
        return None
    path = root.joinpath(*parts)
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


@cache
def _imports_of_file(path, package, size, changed):
    return frozenset(imported_names(Path(path).read_text(encoding="utf8"), package))


def imports_of_file(path, package):
    stat = path.stat()
    return _imports_of_file(str(path), package, stat.st_size, stat.st_mtime_ns)


def reached_modules(root, names):
    """module name -> file, for all modules of the library that ``names`` lead to, with parents."""
    found, waiting = {}, list(names)
    while waiting:
        name = waiting.pop()
        file = module_file(root, name)
        if file is None or name in found:
            continue
        found[name] = file
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        waiting += imports_of_file(file, package)
        parents = name.split(".")[:-1]
        waiting += [".".join(parents[:end]) for end in range(1, len(parents) + 1)]
    return found


def chapter_modules(root, notebook):
    names = set()
    for cell in code_cells(notebook):
        names |= imported_names(python_of(cell.source))
    return reached_modules(root, names)


def chapter_digest(root, notebook):
    """The checksum of what the module's docstring lists, for an nbformat notebook."""
    root = Path(root)
    total = hashlib.sha256(f"python {sys.version_info[:2]}\n".encode())
    for cell in code_cells(notebook):
        total.update(sha256(cell.source.encode()).encode())
    files = [*chapter_modules(root, notebook).values(), root / LOCK]
    for file in sorted(file for file in files if file.is_file()):
        total.update(f"\n{file.relative_to(root).as_posix()} {file_sha256(file)}".encode())
    return total.hexdigest()


def read_notebook(path):
    return nbformat.read(path, as_version=4)
