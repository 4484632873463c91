"""A random sample of mutmut's mutants of `icl_lib.theory` and `icl_lib.layers`.

mutmut changes one thing in one function (an operator, a number, a comparison, an argument) and runs
the tests that call this function; the first failure ends it. That happens in a copy of the project:
nothing here writes into the checkout.
"""

from __future__ import annotations

import ast
import contextlib
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from mutations_copy import environment
from mutmut.configuration import reset_config
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.stats import status_by_exit_code
from mutmut.utils.format_utils import get_mutant_name, orig_function_and_class_names_from_key
from scipy.stats import binomtest

PACKAGES = ("theory", "layers")
GOAL = 0.85  # the run fails when even the upper end of the interval is below
SPINNER = re.compile("[\u2800-\u28ff]")  # the Braille dots that turn while mutmut works
IMPORTS = re.compile(rf"^from icl_lib\.({'|'.join(PACKAGES)})\b", re.MULTILINE)

EXTENSION = re.compile(r"^(from|import) book_", re.MULTILINE)

# tests that list every function of the library: mutmut's copies of the functions are among them
LISTING = "test_every_callable or test_every_public_callable or test_every_argument"

SETTINGS = """
[tool.mutmut]
source_paths = ["icl_lib"]
only_mutate = [{only}]
also_copy = ["conftest.py", "pytest.ini"]
pytest_add_cli_args = ["-p", "no:cacheprovider", "-k", "not ({listing})"]
pytest_add_cli_args_test_selection = [{tests}]
do_not_mutate_patterns = ["^ *raise "]
process_isolation = "forkserver"
timeout_multiplier = 10.0
timeout_constant = 2.0
use_git_change_detection = false
"""  # forkserver: torch and hypothesis do not survive in a process that has run the tests before


class Mutant(NamedTuple):
    """A mutant's name in mutmut and the file it changes."""

    name: str
    path: Path


class Survivor(NamedTuple):
    """A mutant that no test noticed, with the place and the lines it changes."""

    place: str
    status: str
    diff: str


def run(folder: Path, size: int, seed: int, jobs: int, only: str = "") -> int:
    """Test ``size`` mutants in the copy ``folder``, print what became of them."""
    files = [
        path for package in PACKAGES for path in sorted(folder.glob(f"icl_lib/{package}/*.py"))
    ]
    paths = [path.relative_to(folder) for path in files if only in str(path)]
    tests = tests_of_packages(folder)
    settings = SETTINGS.format(
        only=", ".join(f'"{path.as_posix()}"' for path in paths),
        tests=", ".join(f'"{name}"' for name in tests),
        listing=LISTING,
    )
    (folder / "pyproject.toml").write_text(settings, encoding="utf-8")
    with contextlib.chdir(folder):
        reset_config()  # mutmut reads its settings from the working directory
        everything = [mutant for path in paths for mutant in mutants_of(path)]
        sample = draw(everything, size, seed)
        print(f"{len(sample)} of {len(everything)} mutants, seed {seed}, {len(tests)} test files")
        if not run_mutmut(folder, sample, jobs):
            return 1
        return report(sample)


def tests_of_packages(folder: Path) -> list[str]:
    """The unit tests that import from the packages; of these mutmut picks by function."""
    texts = {
        path: path.read_text(encoding="utf-8")
        for path in sorted(folder.glob("tests/unit/test_*.py"))
    }
    return [
        path.relative_to(folder).as_posix()
        for path, text in texts.items()
        if IMPORTS.search(text) and not EXTENSION.search(text)  # the copy has no book
    ]


def mutants_of(path: Path) -> list[Mutant]:
    """Every mutant that mutmut makes of a file."""
    made = mutate_file_contents(str(path), path.read_text(encoding="utf-8"))
    return [Mutant(get_mutant_name(path, name), path) for name in made.mutant_names]


def draw(everything: list[Mutant], size: int, seed: int) -> list[Mutant]:
    """A sample without replacement; all of them if there are fewer."""
    return random.Random(seed).sample(everything, min(size, len(everything)))


def run_mutmut(folder: Path, sample: list[Mutant], jobs: int) -> bool:
    """Test the sample; False, with the end of what mutmut said, if it could not."""
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", str(jobs)]
    command += [mutant.name for mutant in sample]
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        lines = re.split(r"[\r\n]+", done.stdout + done.stderr)
        said = [line for line in lines if line.strip() and not SPINNER.match(line)]
        print(f"mutmut ended with status {done.returncode}:", *said[-60:], sep="\n")
    return done.returncode == 0


def report(sample: list[Mutant]) -> int:
    """Print the survivors and the kill rate with its 95 % interval, and return the exit status."""
    status = statuses(sample)
    for mutant in sorted(sample):
        if status[mutant] not in ("killed", "timeout"):
            place, said, diff = survivor(mutant, status[mutant])
            print(f"\n{place} ({said})\n{diff}")
    counts = {word: list(status.values()).count(word) for word in sorted(set(status.values()))}
    noticed = counts.get("killed", 0) + counts.get("timeout", 0)
    rate = noticed / len(sample)
    low, high = binomtest(noticed, len(sample)).proportion_ci(method="wilson")
    print("\n" + ", ".join(f"{number} {word}" for word, number in counts.items()))
    print(
        f"{rate:.1%} noticed (95 % interval {low:.1%} to {high:.1%}); a timeout counts as noticed"
    )
    print("make mutants: passed" if high >= GOAL else f"make mutants: FAILED, below {GOAL:.0%}")
    return int(high < GOAL)


def statuses(sample: list[Mutant]) -> dict[Mutant, str]:
    """What mutmut noted for each mutant, in its words."""
    codes: dict[str, int | None] = {}
    for path in {mutant.path for mutant in sample}:
        data = SourceFileMutationData(path=path)
        data.load()
        codes |= data.exit_code_by_key
    return {mutant: status_by_exit_code[codes[mutant.name]] for mutant in sample}


def survivor(mutant: Mutant, status: str) -> Survivor:
    """Where a survivor is, and its changed lines."""
    lines = get_diff_for_mutant(mutant.name, path=mutant.path).splitlines()[2:]
    changed = [line for line in lines if line[:1] in "+-"]
    return Survivor(f"{mutant.path}:{line_of(mutant, lines)}", status, "\n".join(changed))


def line_of(mutant: Mutant, diff: list[str]) -> int:
    """The line of the file that the diff of one function changes first."""
    first = next(i for i, line in enumerate(diff) if line.startswith("-"))
    within = int(re.match(r"@@ -(\d+)", diff[0]).group(1)) + first - 2
    source = mutant.path.read_text(encoding="utf-8")
    node = definition(ast.parse(source), mutant.name)
    lines = [line[node.col_offset :] for line in source.splitlines()]
    same = [n for n, line in enumerate(lines, 1) if n >= node.lineno and line == diff[first][1:]]
    return min(same, key=lambda n: abs(n - node.lineno - within))


def definition(module: ast.Module, name: str) -> ast.FunctionDef:
    """The function that a mutant changes."""
    function, class_name = orig_function_and_class_names_from_key(name)
    classes = [node for node in ast.walk(module) if isinstance(node, ast.ClassDef)]
    owner = next((node for node in classes if node.name == class_name), module)
    return next(n for n in owner.body if isinstance(n, ast.FunctionDef) and n.name == function)
