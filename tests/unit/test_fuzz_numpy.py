"""Every public NumPy function against spoilt arguments: refused by name, or a right result.

`fuzzing` says what is tried and what counts as right, `fuzz_numpy_table` holds the valid arguments
and every public callable. A new function fails `test_every_callable_is_in_the_table` until it has
an entry there.
"""

from __future__ import annotations

import numpy as np
import pytest
from fuzz_numpy_table import TABLE, arguments
from fuzzing import arguments_of, finite, fuzz, public_callables
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from icl_lib.analysis.probing import Probe
from icl_lib.exercises import part1
from icl_lib.theory import _integration

pytestmark = pytest.mark.usefixtures("clean")

PARTS = ("theory", "analysis.probing", "teaching.plotting", "teaching.scrubber", "exercises")
CALLABLES = {
    name.removeprefix("icl_lib."): function
    for name, function in public_callables(*(f"icl_lib.{part}" for part in PARTS)).items()
}
FUZZED = [name for name in TABLE if arguments_of(CALLABLES[name])]


def test_every_callable_is_in_the_table():
    """A new public function must be fuzzed; an entry without a function is out of date."""
    assert sorted(TABLE) == sorted(CALLABLES)


@pytest.fixture(scope="module", autouse=True)
def patience():
    """Let a flow that never ends be refused after a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_integration, "MAX_EVALUATIONS", 2_000)
        yield


def _call(name: str, seed: int, d: int):
    """Return the function and its valid arguments."""
    rng = np.random.default_rng(seed)
    known = arguments(rng, d)
    known |= {argument: build(rng, d) for argument, build in TABLE[name].own.items()}
    function = CALLABLES[name]
    if name == "analysis.probing.Probe.predict":
        function = Probe(known["u11"], known["w"]).predict
    if name.startswith("exercises.checker.Exercises."):
        function = getattr(part1.EXERCISES, name.rpartition(".")[2])
    return function, {argument: known[argument] for argument in arguments_of(function)}


@pytest.mark.parametrize("name", FUZZED)
@settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # a smaller dimension would not make a problem clearer
)
@given(seed=st.integers(0, 10_000), d=st.integers(2, 3))
def test_spoilt_arguments(name, seed, d):
    """The valid call works; every spoilt argument is refused by name or gives a right result."""
    function, valid = _call(name, seed, d)
    assert finite(function(**valid))
    entry, problems = TABLE[name], []
    for argument in valid.keys() - entry.skip.keys():
        allow = entry.allow.get(argument, ())
        problems += fuzz(function, valid, argument, allow=allow, also_names=entry.fits)
    assert not problems, "\n" + "\n".join(sorted(problems))
