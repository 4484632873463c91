"""Seeds and their offset: today's streams at 0, and none of them at any other offset."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_experiments import LINEAR, TINY

from icl_lib.experiments import named
from icl_lib.experiments.__main__ import main
from icl_lib.experiments.catalogue.registry import get
from icl_lib.tasks.dynamics import FixedTeacher, NonlinearDynamics
from icl_lib.tasks.randomness import (
    OFFSET_VARIABLE,
    generators,
    numpy_generator,
    seed_offset,
    torch_generator,
    weights_generator,
)

SEEDS = [0, 1, 77, 1_000_003, 2**40]
WEIGHTS_0 = 4_324_601_099_084_218_337
PROMPTS_0 = [7896617691693857887, 6195319269190327588, 1180918054825871008]
STREAMS = {
    "numpy": lambda seed: [numpy_generator(seed).integers(2**62)],
    "torch": lambda seed: [_next(torch_generator(seed))],
    "weights": lambda seed: [_next(weights_generator(seed))],
    "prompts": lambda seed: [_next(stream) for stream in generators(seed)],
    "later prompts": lambda seed: [_next(stream) for stream in generators(seed, 7)],
}


@pytest.fixture(autouse=True)
def no_offset(monkeypatch):
    monkeypatch.delenv(OFFSET_VARIABLE, raising=False)


def _next(generator: torch.Generator) -> int:
    return int(torch.randint(2**62, (1,), generator=generator))


class TestWithoutOffset:
    """The published numbers of the book hang on these streams."""

    @pytest.fixture(params=[None, "0", "00"], autouse=True)
    def zero(self, request, monkeypatch):
        if request.param is not None:
            monkeypatch.setenv(OFFSET_VARIABLE, request.param)

    @pytest.mark.parametrize("seed", SEEDS)
    def test_numpy(self, seed):
        expected = np.random.default_rng(seed).standard_normal(5)
        assert np.array_equal(numpy_generator(seed).standard_normal(5), expected)

    @pytest.mark.parametrize("seed", SEEDS)
    def test_torch(self, seed):
        expected = torch.randn(5, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(torch.randn(5, generator=torch_generator(seed)), expected)

    @pytest.mark.parametrize("seed", SEEDS)
    def test_weights_and_prompts(self, seed):
        def seeds(words, count):
            state = np.random.SeedSequence(words).generate_state(count, dtype=np.uint64)
            return [int(word) >> 1 for word in state]

        assert [weights_generator(seed).initial_seed()] == seeds([seed, 0, 1], 1)
        assert [g.initial_seed() for g in generators(seed, 3)] == seeds([seed, 3], 3)

    def test_known_draws(self):
        """Values written down once, so that a change here and above is noticed too."""
        assert numpy_generator(0).integers(1000, size=3).tolist() == [850, 636, 511]
        assert torch.randint(1000, (3,), generator=torch_generator(0)).tolist() == [44, 239, 933]
        assert weights_generator(0).initial_seed() == WEIGHTS_0
        assert [g.initial_seed() for g in generators(0)] == PROMPTS_0


class TestOffset:
    @pytest.mark.parametrize("stream", STREAMS)
    def test_changes_every_stream(self, stream, monkeypatch):
        draws = []
        for offset in ("0", "1", "2"):
            monkeypatch.setenv(OFFSET_VARIABLE, offset)
            draws += STREAMS[stream](4)
            assert STREAMS[stream](4) == draws[-len(STREAMS[stream](4)) :], "a pure function"
        assert len(set(draws)) == len(draws)

    def test_meets_no_other_seed(self, monkeypatch):
        """Offset 1 of seed 0 is not seed 1, nor any other stream of another seed or offset."""
        first = []
        for offset in range(4):
            monkeypatch.setenv(OFFSET_VARIABLE, str(offset))
            for seed in range(50):
                first.append(numpy_generator(seed).bit_generator.state["state"]["state"])
                first.append(torch_generator(seed).initial_seed())
                first.append(weights_generator(seed).initial_seed())
                first += [g.initial_seed() for step in range(4) for g in generators(seed, step)]
        assert len(set(first)) == len(first)

    def test_is_no_word_of_a_longer_seed(self, monkeypatch):
        """NumPy pads short seeds with zeros: the offset must not be one more word of the seed."""
        plain = {
            numpy_generator(low + (high << 32)).bit_generator.state["state"]["state"]
            for low in range(4)
            for high in range(6)
        }
        for offset in range(1, 6):
            monkeypatch.setenv(OFFSET_VARIABLE, str(offset))
            for seed in range(4):
                assert numpy_generator(seed).bit_generator.state["state"]["state"] not in plain

    @pytest.mark.parametrize("text", ["-1", "1.5", "", "one", " 1", "²"])
    def test_bad_values(self, text, monkeypatch):
        monkeypatch.setenv(OFFSET_VARIABLE, text)
        for draw in (seed_offset, *(lambda s=s: s(0) for s in STREAMS.values())):
            with pytest.raises(ValueError, match=f"ICL_SEED_OFFSET must be an integer.*{text}"):
                draw()


@pytest.mark.parametrize("make", [numpy_generator, torch_generator, weights_generator])
@pytest.mark.parametrize("bad", [-1, 1.5, True, None])
def test_bad_seeds(make, bad):
    with pytest.raises(ValueError, match="seed must be an integer"):
        make(bad)


class TestExperiments:
    def test_the_offset_draws_other_test_sets_and_weights(self, monkeypatch):
        states, errors, weights = [], [], []
        model = TINY.build_model()
        for offset in ("0", "1"):
            monkeypatch.setenv(OFFSET_VARIABLE, offset)
            states.append(LINEAR.test_set()[0])
            errors.append(TINY.evaluate(model)["normalised_error"])
            weights += [next(run.build_model().parameters()) for run in (LINEAR, TINY)]
        assert not torch.equal(*states) and errors[0] != errors[1]
        assert not torch.equal(weights[0], weights[2]) and not torch.equal(weights[1], weights[3])

    @pytest.mark.parametrize("name", ["lsa1-k20-s0", "softmax3-s0", "eos-hybrid-s0", "twins-n4-s0"])
    def test_checkpoints_stay_what_they_are(self, name, monkeypatch):
        before = named.load(name)[0].state_dict()
        monkeypatch.setenv(OFFSET_VARIABLE, "1")
        after = named.load(name)[0].state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before)

    def test_so_do_the_systems_that_they_learned(self, monkeypatch):
        before = FixedTeacher().teacher, *NonlinearDynamics().weights
        monkeypatch.setenv(OFFSET_VARIABLE, "1")
        after = FixedTeacher().teacher, *NonlinearDynamics().weights
        assert all(map(torch.equal, before, after))

    @pytest.mark.parametrize("command", ["train", "verify"])
    @pytest.mark.parametrize("offset", ["1", "none"])
    def test_no_run_is_written_or_judged(self, command, offset, monkeypatch, tmp_path, capsys):
        monkeypatch.setenv("ICL_CHECKPOINTS", str(tmp_path))
        monkeypatch.setenv(OFFSET_VARIABLE, offset)
        assert main([command, get("lsa1-k20-s0").name]) == 1
        assert "ICL_SEED_OFFSET" in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []
