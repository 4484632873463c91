"""The exercise checkers: the solution passes, the stub and plausible mistakes fail.

`exercise_answers.TABLE` has an entry for every exercise of Part 3: the solution and at least three
wrong answers. Each wrong answer must meet a hint of its own. Parts 1 and 2, which compare outputs,
are in `test_exercise_mistakes`; the solutions of all notebooks are run here.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import matplotlib as mpl
import pytest
from exercise_answers import TABLE

from icl_lib.exercises import part1, part2, part3
from icl_lib.exercises.checker import Exercises, Property, Result

ALL = part3.EXERCISES
run = ALL.run
BOOK = Path(__file__).resolve().parents[2] / "book"


def test_every_exercise_is_in_the_table():
    assert sorted(TABLE) == ALL.names()


@pytest.mark.parametrize("name", TABLE)
def test_the_solution_passes(name):
    result = run(name, TABLE[name][0])
    assert result.passed, result.message
    assert re.fullmatch(r"All \d+ properties hold\.", result.message)


def stub(*arguments):
    return None


@pytest.mark.parametrize("name", TABLE)
def test_the_stub_fails(name):
    result = run(name, stub)
    assert not result.passed
    assert result.message.startswith("Not yet. Property 1: ") and "Hint: " in result.message


@pytest.mark.parametrize("name", TABLE)
def test_wrong_answers_fail_each_with_its_own_hint(name):
    hints = []
    for wrong in TABLE[name][1]:
        result = run(name, wrong)
        assert not result.passed, wrong.__name__
        assert "raised" not in result.message, result.message
        hints.append(result.message.split("Hint: ")[1])
    assert len(set(hints)) == len(hints) >= 3, hints


@pytest.mark.parametrize("name", TABLE)
def test_properties_are_legible_and_never_show_the_answer(name):
    properties = ALL.properties[name]
    assert len(properties) >= 3
    for prop in properties:
        assert prop.says and not prop.says.endswith(".")  # it stands within a sentence
        assert len(prop.hint.split()) >= 4 and prop.hint.strip()[-1] in ".?"
        assert "np." not in prop.hint and "lambda " not in prop.hint.replace("all lambda", "")


class TestMachinery:
    exercises = Exercises(
        {
            "double": [
                Property("it returns a number", lambda f: isinstance(f(1), int), "count."),
                Property("it doubles", lambda f: f(3) == 6, "add twice."),
            ]
        }
    )

    def test_right(self):
        assert self.exercises.run("double", lambda x: 2 * x) == Result(
            True, "All 2 properties hold."
        )

    def test_the_first_property_that_fails_is_named(self):
        assert self.exercises.run("double", stub) == Result(
            False, "Not yet. Property 1: it returns a number. It does not hold. Hint: count."
        )
        assert self.exercises.run("double", lambda x: x) == Result(
            False, "Not yet. Property 2: it doubles. It does not hold. Hint: add twice."
        )

    def test_an_exception_is_reported(self):
        def breaks(x):
            raise ZeroDivisionError("division by zero")

        result = self.exercises.run("double", breaks)
        assert not result.passed
        assert "Your function raised ZeroDivisionError: division by zero. Hint: count." in (
            result.message
        )

    def test_wrong_arguments_are_reported(self):
        assert "Your function raised TypeError" in self.exercises.run("double", lambda: 3).message

    def test_a_reader_can_still_interrupt(self):
        def interrupted(x):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            self.exercises.run("double", interrupted)

    def test_check_prints_the_message(self, capsys):
        assert self.exercises.check("double", lambda x: 2 * x) is None
        assert capsys.readouterr().out == "All 2 properties hold.\n"
        self.exercises.check("double", stub)
        assert capsys.readouterr().out.startswith("Not yet. Property 1")

    @pytest.mark.parametrize("method", ["run", "check"])
    def test_bad_arguments(self, method):
        function = getattr(self.exercises, method)
        with pytest.raises(ValueError, match=r"name must be one of \['double'\], got 'triple'"):
            function("triple", stub)
        with pytest.raises(ValueError, match="answer must be a function, got None"):
            function("double", None)

    def test_names(self):
        assert self.exercises.names() == ["double"]

    @pytest.mark.parametrize("part", [part1, part2, part3])
    def test_each_part_exports_its_own_check(self, part):
        assert part.check == part.EXERCISES.check


def notebook_solutions():
    """Yield (notebook, exercise name) for every cell tagged `solution` that calls a checker."""
    for path in sorted(BOOK.glob("part*/*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "code" and "solution" in cell["metadata"].get("tags", []):
                yield from ((path, name) for name in re.findall(r'^check\("([^"]+)"', source, re.M))


SOLUTIONS = list(notebook_solutions())


@pytest.mark.parametrize(("path", "name"), SOLUTIONS, ids=[name for _, name in SOLUTIONS])
def test_the_books_own_solution_passes(path, name, capsys):
    """Run the solution's cell after the imports, functions and constants of its notebook."""
    cells = [
        cell
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]
    space: dict = {}
    with mpl.rc_context():
        for cell in cells:
            source = "".join(cell["source"])
            if "solution" in cell["metadata"].get("tags", []) and f'check("{name}"' in source:
                exec(compile(source, path.name, "exec"), space)
                out = capsys.readouterr().out
                assert "properties hold." in out or "Right: " in out
                return
            _run_definitions(re.sub(r"(?m)^(\s*)[!%].*$", r"\1pass", source), space)
    raise AssertionError("no such cell")


def _run_definitions(source, space):
    """Execute imports, function definitions and CONSTANTS of a cell, nothing that computes."""
    for node in ast.parse(source).body:
        constant = isinstance(node, ast.Assign) and all(
            isinstance(target, ast.Name) and target.id.isupper() for target in node.targets
        )
        if constant or isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef):
            try:
                exec(compile(ast.Module([node], []), "cell", "exec"), space)
            except NameError:  # a constant that an experiment computed; solutions need none
                continue
