"""Exercises of Chapters 1 to 8: right answers pass, and each mistake gets the hint that fits it."""

from __future__ import annotations

import dataclasses
import importlib
import re

import numpy as np
import pytest

from icl_lib.exercises import _draws, part1, part2
from icl_lib.exercises._comparison import Comparison, Mistake, described

EXERCISES = part1.EXERCISES.properties | part2.EXERCISES.properties
TABLE: dict = {}
for chapter in range(1, 9):
    TABLE |= importlib.import_module(f"exercise_mistakes_{chapter:02d}").TABLE
RIGHT = [(name, i) for name, (right, _) in TABLE.items() for i in range(len(right))]
WRONG = [(name, i) for name, (_, wrong) in TABLE.items() for i in range(len(wrong))]
SEEDS = (0, 1)  # the draw that students meet, and another one


@pytest.fixture(autouse=True)
def quiet():
    """A wrong answer may overflow or divide by zero."""
    with np.errstate(all="ignore"):
        yield


def test_every_exercise_is_in_the_table():
    assert sorted(TABLE) == sorted(EXERCISES)
    chapters = [name[:2] for name in EXERCISES]
    assert all(chapters.count(f"{c:02d}") == 4 for c in range(1, 9))


@pytest.mark.parametrize("name", TABLE)
def test_two_right_answers_and_six_wrong_ones(name):
    right, wrong = TABLE[name]
    assert len(right) >= 2
    assert len({words for _, words in wrong}) >= 6


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("name", "i"), RIGHT)
def test_right_answers_pass(name, i, seed):
    result = dataclasses.replace(EXERCISES[name], seed=seed).run(TABLE[name][0][i])
    assert result.passed, result.message
    assert re.fullmatch(r"Right: it agrees on all \d+ random inputs\.", result.message)


@pytest.mark.parametrize(("name", "i"), WRONG)
def test_a_wrong_answer_gets_its_hint(name, i):
    wrong, words = TABLE[name][1][i]
    result = EXERCISES[name].run(wrong)
    assert not result.passed
    start, hint = result.message.split("Hint: ")
    assert start.startswith("Not yet. ")
    assert re.search(r"input \d+, ", start)
    assert words in hint, result.message


@pytest.mark.parametrize("name", EXERCISES)
def test_known_mistakes_are_told_apart(name):
    """Each is wrong, breaks on no input and gets its own hint, on a draw not used elsewhere."""
    exercise = dataclasses.replace(EXERCISES[name], seed=7)
    assert len(exercise.mistakes) >= 6
    for mistake in exercise.mistakes:
        message = exercise.run(mistake.answer).message
        assert message.endswith(f"Hint: {mistake.hint}"), message


@pytest.mark.parametrize("name", EXERCISES)
def test_hints_are_legible_and_never_show_code(name):
    exercise = EXERCISES[name]
    for hint in [m.hint for m in exercise.mistakes] + list(exercise.raises.values()):
        assert len(hint.split()) >= 4
        assert hint[-1] in ".?"
        assert not re.search(r"np\.(linalg\.)?(inv|solve|trace|eye)\b|\w @ \w", hint), hint
    assert not exercise.returns.endswith(".")


@pytest.mark.parametrize("name", EXERCISES)
def test_inputs_are_random_and_the_same_every_time(name):
    exercise = EXERCISES[name]
    once, again = exercise.cases(), exercise.cases()
    for case, same in zip(once, again, strict=True):
        assert all(np.array_equal(case[key], same[key]) for key in case)
    assert len({described(case) + str(case) for case in once}) == len(once) >= 5
    other = dataclasses.replace(exercise, seed=1).cases()
    assert str(other) != str(once)


@pytest.mark.parametrize("name", EXERCISES)
def test_covariances_are_not_diagonal_and_dimensions_differ(name):
    cases = EXERCISES[name].cases()
    for key in ("covariance", "shifted", "prior"):
        for case in cases:
            if key in case:
                beside = case[key] - _draws.diagonal(case[key])
                assert np.abs(beside).max() > 0.01
    shapes = {tuple(np.shape(value) for value in case.values()) for case in cases}
    scalars = all(shape == () for shapes_of in shapes for shape in shapes_of)
    assert scalars or len(shapes) >= 2
    for case in cases:
        if {"n_train", "n_test"} <= set(case):
            assert case["n_train"] != case["n_test"]


SMALL = Comparison(
    returns="one number, the mean",
    solution=lambda xs, n: xs.mean() + n,
    draw=lambda rng, number: {"xs": rng.standard_normal((2, 3)), "n": number},
    mistakes=(Mistake(lambda xs, n: xs.sum() + n, "divide by the number of entries."),),
    raises={ZeroDivisionError: "what is divided by zero?"},
    inputs=3,
)
PAIR = Comparison(
    returns="a pair of numbers",
    solution=lambda x: (x, x + 1),
    draw=lambda rng, number: {"x": float(rng.uniform(1, 2))},
    mistakes=(),
    inputs=3,
)
MATRIX = Comparison(
    returns="one (2, 3) matrix",
    solution=lambda x: x,
    draw=lambda rng, number: {"x": rng.standard_normal((2, 3))},
    mistakes=(),
    inputs=3,
)


def _raises(error):
    def answer(xs, n):
        raise error

    return answer


def _in_place(xs, n):
    xs -= xs.mean()
    return 0.0


def _late(xs, n):
    return xs.mean() + n + (n == 3)


class TestMessages:
    """What a student reads who returns something else than numbers, or numbers of no known kind."""

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (lambda xs, n: None, "your function returned nothing. Hint: it should end with"),
            (lambda xs, n: ..., "your function returned nothing"),
            (lambda xs, n: "0.5", "something that is not a number: str"),
            (lambda xs, n: [], "an empty array"),
            (lambda xs, n: xs > 0, "True or False"),
            (lambda xs, n: {"mean": 1.0}, "something that is not a number: dict"),
            (lambda xs, n: 1j, "complex numbers"),
            (lambda xs, n: np.nan, "NaN or infinity"),
            (lambda xs, n: [1.0, -np.inf], "NaN or infinity"),
            (lambda xs, n: [[1.0], [1.0, 2.0]], "NumPy cannot read"),
            (_in_place, "changes its argument xs. Hint: `+=`"),
            (_raises(ZeroDivisionError("division by zero")), "Hint: what is divided by zero?"),
            (_raises(KeyError("a")), "raised KeyError: 'a'. Hint: it is called with"),
            (lambda xs: 0.0, "raised TypeError"),
            (lambda xs, n: xs, "it has the shape (2, 3) and not (). Hint: it should return one"),
            (lambda xs, n: np.array([[xs.mean() + n]]), "only their shape is not; return one"),
            (lambda xs, n: (xs.mean(), n), "returned 2 values where one value belong"),
            (lambda xs, n: xs.sum() + n, "divide by the number of entries."),
            (lambda xs, n: -xs.mean() - n, "opposite sign on every input"),
            (lambda xs, n: 3 * (xs.mean() + n), "it is 3 times the right result"),
            (lambda xs, n: xs.mean() + n - 2, "right result plus -2 on every input"),
            (lambda xs, n: round(xs.mean() + n, 2), "nearly right on every input"),
            (lambda xs, n: xs.max() * n, "no mistake that we know gives these values"),
            (_late, "2 of 3 random inputs are right; the first that fails is input 3"),
        ],
    )
    def test_small(self, answer, words):
        result = SMALL.run(answer)
        assert not result.passed
        assert words in result.message
        assert result.message.count("Hint: ") == 1
        assert result.message[-1] in ".?"

    def test_the_message_names_the_input_and_says_how_far_off(self):
        message = SMALL.run(lambda xs, n: xs.mean() + 2 * n).message
        right = SMALL.solution(**SMALL.case(1))
        assert "On input 1, xs of shape (2, 3), n = 1: off by 1, " in message
        assert f"{100 / abs(right):.2g} % of the right value" in message
        assert "`case(NAME, 1)`" in message

    @pytest.mark.parametrize("kind", [float, np.float32, lambda v: np.array(v), np.float64])
    def test_any_kind_of_number_passes(self, kind):
        loose = dataclasses.replace(SMALL, tolerance=1e-5)
        assert loose.run(lambda xs, n: kind(xs.mean() + n)).passed

    def test_integers_pass_where_they_are_right(self):
        counts = dataclasses.replace(SMALL, solution=lambda xs, n: 2 * n)
        assert counts.run(lambda xs, n: n + n).passed

    def test_pairs(self):
        assert PAIR.run(lambda x: (x, x + 1)).passed
        assert PAIR.run(lambda x: [x, x + 1]).passed
        assert "wrong order" in PAIR.run(lambda x: (x + 1, x)).message
        assert "value 2 off by" in PAIR.run(lambda x: (x, x)).message
        assert "one value where 2 values belong" in PAIR.run(lambda x: x).message

    def test_matrices(self):
        assert MATRIX.run(lambda x: x.tolist()).passed
        assert "transpose of the right result" in MATRIX.run(lambda x: x.T).message
        assert "off by 1 in one entry" in MATRIX.run(_one_entry).message

    def test_an_argument_is_new_for_each_call(self):
        case = SMALL.case(1)
        case["xs"][:] = 0
        assert SMALL.run(SMALL.solution).passed

    def test_a_reader_can_still_interrupt(self):
        with pytest.raises(KeyboardInterrupt):
            SMALL.run(_raises(KeyboardInterrupt()))


def _one_entry(x):
    x = x.copy()
    x[0, 1] += 1
    return x


class TestCase:
    """`case` gives a student the input that the message names."""

    def test_it_returns_the_arguments(self):
        case = part1.case("01-ridge", 3)
        assert list(case) == ["xs", "ys", "x_query", "penalty"]
        assert np.array_equal(case["xs"], part1.EXERCISES.properties["01-ridge"].cases()[2]["xs"])

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="name must be one of"):
            part2.case("01-ridge", 1)
        with pytest.raises(ValueError, match="number must be an integer of at least 1, got 0"):
            part2.case("03-gamma", 0)
