"""What a sweep varies: seeds, settings, and names that can be read back."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icl_lib.experiments.named import EXPERIMENTS, get
from icl_lib.experiments.sweeps.settings import (
    grid,
    name_of,
    parse_name,
    parse_seeds,
    read_value,
    with_settings,
    write_value,
)
from icl_lib.training import TrainConfig

LSA = "lsa2-k20-s1"


class TestSeeds:
    @pytest.mark.parametrize(
        ("text", "seeds"),
        [("0-3", [0, 1, 2, 3]), ("7", [7]), ("0,3,1-2", [0, 3, 1, 2]), ("1,0-2", [1, 0, 2])],
    )
    def test_good(self, text, seeds):
        assert parse_seeds(text) == seeds

    @pytest.mark.parametrize("text", ["", "3-1", "a", "-1", "1-", "0-1000", "1.5", "0 1"])
    def test_bad(self, text):
        with pytest.raises(ValueError, match="--seeds"):
            parse_seeds(text)


class TestGrid:
    def test_every_combination(self):
        combinations = grid(["training.lr=1e-3,3e-3", "batch=8,16,32"])
        assert len(combinations) == len({tuple(each.items()) for each in combinations}) == 6
        assert {each["training.lr"] for each in combinations} == {"1e-3", "3e-3"}

    def test_nothing_set_is_one_run(self):
        assert grid([]) == [{}]

    @pytest.mark.parametrize("texts", [["batch"], ["=1"], ["batch="], ["batch=1,"], ["b=1", "b=2"]])
    def test_bad(self, texts):
        with pytest.raises(ValueError, match="--set"):
            grid(texts)


plain_values = st.one_of(
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
)


class TestValues:
    @given(plain_values)
    def test_there_and_back(self, value):
        back = read_value(type(value), write_value(value))
        assert back == value and type(back) is type(value)

    @given(st.lists(st.sampled_from(["linear", "softmax", "mesa"]), min_size=1).map(tuple))
    def test_tuples(self, layers):
        assert read_value(tuple[str, ...], write_value(layers)) == layers

    def test_one_of_two_types(self):
        kind = get_type_hints(TrainConfig)["clip_norm"]
        assert read_value(kind, "none") is None
        assert read_value(kind, "1") == 1.0 and type(read_value(kind, "1")) is float

    @pytest.mark.parametrize(
        ("kind", "text"), [(int, "1.5"), (float, "fast"), (bool, "1"), (tuple[int, ...], "1~x")]
    )
    def test_bad(self, kind, text):
        with pytest.raises(ValueError):
            read_value(kind, text)


class TestNames:
    @given(
        st.integers(0, 999_999),
        st.dictionaries(
            st.from_regex(r"[a-z_]{1,8}(\.[a-z_]{1,8})?", fullmatch=True),
            st.text(st.characters(exclude_categories=["Cs"])),
            max_size=3,
        ),
    )
    def test_there_and_back(self, seed, settings):
        name = name_of(f"lsa1-k20-s{seed}", settings)
        assert parse_name(name) == ("lsa1-k20", seed, settings)
        assert re.fullmatch(r"[A-Za-z0-9._~+=%-]+", name)  # for file names and keys of stores

    def test_order_does_not_matter(self):
        settings = {"training.lr": "0.1", "batch": "8"}
        assert name_of("a-s0", settings) == name_of("a-s0", dict(reversed(settings.items())))

    @pytest.mark.parametrize("name", ["", "lsa1-k20", "lsa1-k20-s0+", "lsa1-k20-s0+batch", "+a=1"])
    def test_bad(self, name):
        with pytest.raises(ValueError, match="name"):
            parse_name(name)


class TestWithSettings:
    def test_dotted_paths(self):
        run = get(LSA)
        got = with_settings(run, {"training.lr": "3e-3", "model.heads": "2", "length": "20"})
        expected = replace(
            run,
            name="lsa2-k20-s1+length=20+model.heads=2+training.lr=0.003",
            training=replace(run.training, lr=3e-3),
            model=replace(run.model, heads=2),
            length=20,
        )
        assert got == expected and type(got) is type(run)

    def test_the_books_own_value_is_the_books_run(self):
        run = get(LSA)
        same = {"training.lr": repr(run.training.lr), "batch": str(run.batch)}
        assert with_settings(run, same) is run

    def test_depth(self):
        got = with_settings(get(LSA), {"model.layers": "linear~linear~linear"})
        assert got.model.layers == ("linear",) * 3
        assert parse_name(got.name)[2] == {"model.layers": "linear~linear~linear"}

    def test_a_field_of_a_configuration(self):
        assert with_settings(get("chebyshev2-s0"), {"model.steps": "3"}).model.steps == 3

    def test_fewer_steps_leave_snapshots_out(self):
        run = get(LSA)
        got = with_settings(run, {"training.steps": "300"})
        assert got.snapshots == tuple(step for step in run.snapshots if step <= 300) != ()

    def test_settings_of_the_name_make_the_same_run(self):
        got = with_settings(get(LSA), {"training.steps": "300", "training.clip_norm": "none"})
        family, seed, settings = parse_name(got.name)
        assert with_settings(get(f"{family}-s{seed}"), settings) == got

    def test_every_field_of_every_family_can_be_named(self):
        for name in EXPERIMENTS:
            steps = get(name).training.steps // 2
            assert with_settings(get(name), {"training.steps": str(steps)}).name != name

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"learning_rate": "1"}, r"no field 'learning_rate', expected one of .*'training'"),
            ({"training.rate": "1"}, r"TrainConfig has no field 'rate', expected one of .*'lr'"),
            ({"batch.size": "1"}, "batch of Run has no fields"),
            ({"seed": "1"}, "chosen by --seeds"),
            ({"name": "x"}, "name is no setting"),
            ({"training.lr": "fast"}, "training.lr must be float, got 'fast'"),
            ({"training.lr": "-1"}, "lr must be"),
            ({"task": "chess"}, "task must be .*RegressionPrompts .*got 'chess'"),
        ],
    )
    def test_refused(self, settings, message):
        with pytest.raises(ValueError, match=message):
            with_settings(get(LSA), settings)
