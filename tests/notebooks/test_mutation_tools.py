"""The tools behind `make mutants`: the list fits the code, a sample is what its seed says."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

TOY = '''"""Toy."""

class Line:
    def at(self, x):
        return x - 1


# the same line as in the method, further down
def at(x):
    y = x * 2
    x = x + 3
    if y > 3:
        return x - 1
    x = x + 3
    return x - 1
'''


@pytest.fixture
def tool(monkeypatch):
    """``tool("mutations_hand")``: a module of tests/."""
    monkeypatch.syspath_prepend(str(ROOT / "tests"))
    return lambda name: __import__(name)


@pytest.fixture
def toy(tool, tmp_path):
    """A module in a folder where mutmut works, and its mutants."""
    sample = tool("mutations_sample")
    path = Path("icl_lib/theory/toy.py")
    (tmp_path / path.parent).mkdir(parents=True)
    (tmp_path / path).write_text(TOY, encoding="utf8")
    (tmp_path / "pyproject.toml").write_text('[tool.mutmut]\nsource_paths = ["icl_lib"]\n')
    with contextlib.chdir(tmp_path):
        sample.reset_config()
        yield sample, sample.mutants_of(path)
    sample.reset_config()


def test_listed_mutations_match_the_code(tool):
    assert tool("mutations_hand").unmatched() == []


def test_a_listed_text_that_is_gone_is_reported(tool, monkeypatch):
    hand = tool("mutations_hand")
    listed = [("theory/solvers.py", "text that is gone", ""), ("theory/gone.py", "a", "b")]
    monkeypatch.setattr(hand, "MUTATIONS", listed)
    assert [problem.split(":")[0] for problem in hand.unmatched()][:2] == [m[0] for m in listed]


def test_a_seed_fixes_the_sample(toy):
    sample, mutants = toy
    assert sample.draw(mutants, 5, seed=1) == sample.draw(mutants, 5, seed=1)
    assert sample.draw(mutants, 5, seed=1) != sample.draw(mutants, 5, seed=2)
    assert sorted(sample.draw(mutants, 10**6, seed=1)) == sorted(mutants)


def test_a_survivor_is_shown_where_it_stands(toy):
    """Equal lines of a method and a function, or of one function, are told apart."""
    sample, mutants = toy
    lines = TOY.splitlines()
    mutated = sample.mutate_file_contents("toy.py", TOY).code
    found = set()
    for mutant in mutants:
        diff = sample.get_diff_for_mutant(mutant.name, source=mutated, path=mutant.path)
        number = sample.line_of(mutant, diff.splitlines()[2:])
        removed = next(line for line in diff.splitlines()[2:] if line.startswith("-"))
        assert lines[number - 1].strip() == removed[1:].strip(), mutant.name
        assert (number < 8) == ("Line" in mutant.name), mutant.name
        found.add(number)
    assert found == set(range(10, 16)) | {5}


def test_the_statistics(toy, monkeypatch, capsys):
    """90 of 100: Wilson's interval by its formula, and the goal is judged by its upper end."""
    sample, mutants = toy
    many = [mutants[0]._replace(name=f"{i}") for i in range(100)]
    outcome = dict.fromkeys(many[:88], "killed") | dict.fromkeys(many[88:90], "timeout")
    outcome |= dict.fromkeys(many[90:], "survived")
    monkeypatch.setattr(sample, "statuses", lambda _: outcome)
    monkeypatch.setattr(sample, "survivor", lambda mutant, word: (mutant.name, word, ""))
    assert sample.report(many) == 0
    said = capsys.readouterr().out
    assert "88 killed, 10 survived, 2 timeout" in said
    z, p, n = 1.959964, 0.9, 100
    middle, width = p + z**2 / (2 * n), z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    low, high = ((middle + sign * width) / (1 + z**2 / n) for sign in (-1, 1))
    assert f"95 % interval {low:.1%} to {high:.1%}" in said
    monkeypatch.setattr(sample, "GOAL", high + 0.001)
    assert sample.report(many) == 1


def test_help_needs_no_mutmut(tool, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mutmut", None)
    with pytest.raises(SystemExit, match="0"):
        tool("mutants").main(["--help"])
    assert "--seed" in capsys.readouterr().out
