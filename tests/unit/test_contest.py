"""Fair contests: who is refused, and that all meet the same conditions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from contest_examples import OTHER, SEEN, X, Y, entry, run, tunable
from hypothesis import given, settings
from hypothesis import strategies as st

from icl_lib.contest import Contestant, Information, contest, tune_grid


class TestInformation:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"newest_pair": False}, "newest_pair=False, the contest asks for newest_pair=True"),
            ({"query_token": "in"}, "query_token='in', the contest asks for query_token='masked'"),
            ({"clip": 4.0}, "clip=4.0, the contest asks for clip=None"),
        ],
    )
    def test_a_difference_is_refused_unless_it_is_the_thing_studied(self, change, told):
        unfair = entry("unfair", seen=dataclasses.replace(SEEN, **change))
        with pytest.raises(ValueError, match=f"contestant 'unfair' declares {told}"):
            run(entry(), unfair)
        (field,) = change
        for others in {"newest_pair", "query_token", "clip"} - {field}:
            with pytest.raises(ValueError, match="contestant 'unfair' declares"):
                run(entry(), unfair, allow_difference=(others,))
        result = run(entry(), unfair, allow_difference=(field,))
        assert result.differences == (field,)
        shared, _, studied = result.describe().partition("but on purpose not alike in ")
        assert studied.startswith(field) and unfair.information.words(field) in studied
        assert SEEN.words(field) in studied and SEEN.words(field) not in shared

    def test_a_lead_of_one_pair_is_refused(self):
        """The contest leaves the newest pair out; a contestant that has it is named."""
        lagged = dataclasses.replace(SEEN, newest_pair=False)
        with pytest.raises(
            ValueError, match="'ahead' declares newest_pair=True.*newest_pair=False"
        ):
            run(entry(seen=lagged), entry("ahead"), information=lagged)

    def test_no_query_token_is_a_masked_one(self):
        """Neither gives the query's label 0 any weight; "in" does, and differs from both."""
        words = {w: dataclasses.replace(SEEN, query_token=w) for w in ("masked", "none", "in")}
        for a, b in [("masked", "none"), ("none", "masked")]:
            assert run(entry(seen=words[a]), information=words[b]).differences == ()
        for a, b in [("in", "none"), ("none", "in"), ("in", "masked"), ("masked", "in")]:
            with pytest.raises(ValueError, match="query_token"):
                run(entry(seen=words[a]), information=words[b])

    def test_an_allowance_that_nobody_needs_is_refused(self):
        with pytest.raises(ValueError, match="'clip', but no contestant differs in it"):
            run(entry(), allow_difference=("clip",))

    def test_all_meet_the_same_clip(self):
        """One bounded output against one free output: the clip is the contest's, not theirs."""
        clipped = dataclasses.replace(SEEN, clip=0.5)
        free = entry("free", lambda p: 100 * p, clipped)
        bounded = entry("bounded", lambda p: np.clip(100 * p, -0.5, 0.5), clipped)
        result = run(free, bounded, information=clipped)
        assert np.array_equal(result.errors[0], result.errors[1])
        assert "outputs clipped at 0.5" in result.describe()

    def test_own_clips_if_the_clip_is_studied(self):
        clipped = entry("clipped", lambda p: 100 * p, dataclasses.replace(SEEN, clip=0.5))
        result = run(entry("free", lambda p: 100 * p), clipped, allow_difference=("clip",))
        assert result.errors[0] == pytest.approx((100 * X - Y) ** 2)
        assert result.errors[1] == pytest.approx((np.clip(100 * X, -0.5, 0.5) - Y) ** 2)


class TestSamePrompts:
    @pytest.mark.parametrize("array", [np.array, torch.tensor])
    @pytest.mark.parametrize(
        "container",
        [
            lambda x: x,
            lambda x: {"a": x},
            lambda x: (None, [x, "a text"]),
            dataclasses.make_dataclass("Two", [("a", object)]),
        ],
    )
    def test_a_contestant_that_changes_them_is_named(self, array, container):
        numbers = array(X)

        def vandal(prompts):
            numbers[0, 0] = 7.0
            return np.zeros_like(Y)

        with pytest.raises(ValueError, match="contestant 'vandal' changed the prompts"):
            run(entry("first", lambda p: Y), entry("vandal", vandal), prompts=container(numbers))

    def test_tuning_may_not_change_its_data_either(self):
        def tune(prompts, targets):
            targets += 1
            return np.zeros_like

        with pytest.raises(ValueError, match="contestant 'vandal' changed"):
            run(entry("vandal", None, tune=tune), tuning=(OTHER[0], OTHER[1].copy()))

    def test_torch_and_numpy_agree(self):
        as_array = run(entry("x", lambda p: p / 2), tunable(), tuning=OTHER)
        parameter = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
        as_tensor = run(
            entry("x", lambda p: p * parameter),
            tunable(),
            prompts=torch.tensor(X),
            targets=torch.tensor(Y),
            tuning=tuple(map(torch.tensor, OTHER)),
        )
        assert np.array_equal(as_array.errors, as_tensor.errors)
        assert as_array.tuned == as_tensor.tuned
        half = run(entry("x", lambda p: torch.ones(12, 4, dtype=torch.bfloat16)))
        assert half.errors[0] == pytest.approx((1 - Y) ** 2)

    def test_small_number_types_do_not_overflow(self):
        """In uint8, 0 - 200 is 56 and 200 squared is 64; the error is 40000."""
        goals = np.full((12, 4), 200, np.uint8)
        for kind in (np.uint8, np.float16, bool):
            guesses = np.zeros((12, 4), kind)
            result = run(entry(predict=lambda p, g=guesses: g), targets=goals)
            assert (result.errors == 40_000).all()

    @pytest.mark.parametrize(("error", "factor"), [("risk", 1.0), ("loss", 0.5)])
    @pytest.mark.parametrize("shape", [(12,), (12, 4), (12, 2, 2)])
    def test_the_convention(self, error, factor, shape):
        goals = Y.ravel()[: np.prod(shape)].reshape(shape)
        result = run(entry(predict=lambda p: np.ones(shape)), targets=goals, error=error)
        total = sum(factor * (1 - y) ** 2 for y in goals.ravel())
        assert result.errors.shape == (1, 12, shape[1] if len(shape) > 1 else 1)
        assert result.errors.sum() == pytest.approx(total)
        text = result.describe()
        assert ("half the squared error" in text) == (error == "loss")
        assert ("summed over 2 coordinates" in text) == (len(shape) == 3)


NOT_NUMBERS = [None, "a", [], [[1.0], [1.0, 2.0]], 3.0, np.ones((12, 4)) * 1j, object()]


@pytest.mark.parametrize("tuned", [False, True])
@pytest.mark.parametrize(
    "answer",
    [
        *NOT_NUMBERS,
        np.full((12, 4), np.nan),
        np.where(np.arange(4) == 2, np.inf, 0) * np.ones((12, 4)),
        np.full((12, 4), 1e200),
        np.zeros((12, 5)),
        np.zeros((12, 4, 1)),
        np.zeros(12),
        np.zeros((11, 4)),
        torch.zeros(1, 4),
    ],
)
def test_predictions_that_cannot_be_compared(answer, tuned):
    predict, tune = lambda p: answer, tune_grid(lambda v: lambda p: answer, [1, 2])
    bad = entry("the bad one", None, tune=tune) if tuned else entry("the bad one", predict)
    with pytest.raises(ValueError, match="contestant 'the bad one'"):
        run(entry(), bad, tuning=OTHER)


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.binary(max_size=2)
)
JUNK = st.one_of(JUNK, st.lists(JUNK, max_size=3), st.dictionaries(st.text(max_size=2), JUNK))


@settings(deadline=None, max_examples=150, derandomize=True)
@given(junk=JUNK, place=st.integers(0, 13))
def test_fuzz_of_bad_arguments(junk, place):
    """Junk for any argument gives a ValueError that names it, never another exception."""
    grid = tune_grid(lambda v: np.zeros_like, [1, 2])
    calls = {
        "contestants": lambda: contest(junk, X, Y, information=SEEN),
        "contestants ": lambda: contest([junk], X, Y, information=SEEN),
        "targets": lambda: contest([entry()], X, junk, information=SEEN),
        "information": lambda: contest([entry()], X, Y, information=junk),
        "tuning": lambda: run(tunable(), tuning=junk if junk is not None else 0),
        "tuning ": lambda: run(tunable(), tuning=(OTHER[0], junk)),
        "error": lambda: run(entry(), error=junk),
        "allow_difference": lambda: run(entry(), allow_difference=junk or 0),
        "newest_pair": lambda: Information(junk if junk not in (0, 1) else 2, "in", None),
        "query_token": lambda: Information(True, junk, None),
        "predict": lambda: Contestant("a", junk, SEEN, tune=None if junk is not None else junk),
        "tune": lambda: Contestant("a", None, SEEN, tune=junk),
        "make": lambda: tune_grid(junk, [1, 2]),
        "per_position": lambda: tune_grid(grid.make, [1, 2], junk if junk not in (0, 1) else 2),
    }
    name = list(calls)[place]
    with pytest.raises(ValueError, match=name.strip()):
        calls[name]()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: run(entry("a"), entry("a")), "contestants must have different names, got 'a' twi"),
        (lambda: run(), "contestants must be a list"),
        (lambda: run(entry(), allow_difference=("newest",)), "allow_difference must name fields"),
        (lambda: run(entry(), targets=Y[:1]), "targets must have shape .* at least 2 prompts"),
        (lambda: run(entry(), targets=np.ones((2, 0))), "targets must have shape"),
        (lambda: run(entry(), targets=np.ones((2, 1, 1, 1))), "targets must have shape"),
        (lambda: Information(True, "in", -1.0), "clip must be above 0"),
        (lambda: Contestant(" ", np.zeros_like, SEEN), "name must be a text"),
        (lambda: Contestant("a", None, SEEN), "'a' must have either predict or tune, got neither"),
        (lambda: entry("a", tune=np.sum), "'a' must have either predict or tune, got both"),
        (lambda: Contestant("a", np.sum, "all"), "information of contestant 'a' must be"),
        (lambda: tune_grid(np.sum, [1.0]), "grid must hold at least 2 values"),
        (lambda: tune_grid(np.sum, 3), "grid must be a list of values"),
        (
            lambda: run(entry("a", None, tune=lambda p, t: 3), tuning=OTHER),
            "tune of contestant 'a' must return a predictor, got 3",
        ),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
