"""The hand-written copying layer: one step back in position codes, its limit, what follows it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformer_oracles import F64, elements

from icl_lib.layers.attention import sinusoidal_positions
from icl_lib.models.constructions import (
    apply_layer,
    copying_layer,
    gradient_step_layer,
    step_back,
)
from icl_lib.tasks.tokens import constructed_tokens
from icl_lib.theory import sequences


def before_copying(states):
    zero = torch.zeros_like(states)
    return torch.cat([zero, states, states, zero], dim=-1)


def position_kernel(length, width, sharpness):
    """Softmax weights (T, T) of logits c sum_i cos((t - 1 - t') rate_i) / sqrt(width), t' <= t."""
    rates = np.array([10_000 ** (-2 * i / width) for i in range(width // 2)])
    t = np.arange(length)
    gaps = t[:, None] - 1 - t[None, :]
    logits = sharpness * np.cos(gaps[..., None] * rates).sum(-1) / np.sqrt(width)
    masses = np.tril(np.exp(logits - logits.max(1, keepdims=True)))
    return masses / masses.sum(1, keepdims=True)


class TestStepBack:
    @settings(deadline=None, max_examples=25)
    @given(half=st.integers(1, 20))
    def test_turns_every_code_back_by_one(self, half):
        codes, back = sinusoidal_positions(400, 2 * half, F64), step_back(2 * half)
        assert torch.allclose(codes[1:] @ back.T, codes[:-1], rtol=0, atol=1e-12)
        assert torch.allclose(back @ back.T, torch.eye(2 * half, dtype=F64), atol=1e-13)
        assert float(torch.linalg.det(back)) == pytest.approx(1.0)

    def test_before_the_first_position(self):
        """code(-1) has the sines of the negative angles."""
        first, second = sinusoidal_positions(2, 6, F64)
        expected = torch.cat([-second[:3], second[3:]])
        assert torch.allclose(step_back(6) @ first, expected, atol=1e-14)

    def test_types_and_bad_widths(self):
        assert step_back(4, torch.float32).dtype == torch.float32 and step_back(4).dtype == F64
        with pytest.raises(ValueError, match="width must be even, got 5"):
            step_back(5)
        with pytest.raises(ValueError, match="width must be an integer of at least 1"):
            step_back(0)


class TestCopyingLayer:
    @pytest.mark.parametrize(("n", "sharpness"), [(1, 3.0), (3, 0.5), (3, 20.0), (5, 60.0)])
    def test_its_weights_are_a_kernel_of_distances(self, n, sharpness):
        """The codes' inner products are sums of cosines, whatever the elements are."""
        states = elements(length=30, n=n)
        got = copying_layer(n, sharpness)(before_copying(states))
        weights = position_kernel(30, 4 * n, sharpness)
        expected = np.einsum("ts,bsn->btn", weights, states.numpy())
        assert got[..., 3 * n :].numpy() == pytest.approx(expected, abs=1e-12)
        assert not got[..., : 3 * n].any()  # no other channel is written to

    def test_the_error_is_the_softmax_tail_and_vanishes(self):
        states, errors = elements(length=40), []
        previous = torch.cat([states[:, :1], states[:, :-1]], dim=1)
        largest = states.norm(dim=-1).max()
        for sharpness in (10.0, 40.0, 160.0, 640.0):
            copied = copying_layer(3, sharpness)(before_copying(states))[..., 9:]
            error = (copied - previous).norm(dim=-1).max(0).values.numpy()
            weights = position_kernel(40, 12, sharpness)
            hits = np.array([1.0, *weights.diagonal(-1)])
            assert (error <= 2 * float(largest) * (1 - hits) + 1e-12).all()
            errors.append(error.max())
        assert errors[0] > 0.1 and errors[-1] < 1e-12
        assert errors == sorted(errors, reverse=True)

    def test_the_first_token_copies_itself(self):
        states = elements()
        copied = copying_layer(3, 0.7)(before_copying(states))[:, 0, 9:]
        assert torch.allclose(copied, states[:, 0], atol=1e-14)

    def test_makes_the_constructed_tokens(self):
        states = elements(length=20)
        tokens = before_copying(states)
        made = tokens + copying_layer(3, 1000.0)(tokens)
        expected = constructed_tokens(states)
        expected[:, 0, 9:] = states[:, 0]  # s_0 := s_1 in place of 0
        assert torch.allclose(made, expected, rtol=0, atol=1e-12)

    def test_one_softmax_head_that_stays_as_it_is(self):
        layer = copying_layer(2, 1.0)
        assert layer.kind == "softmax" and layer.w_q.shape == (1, 8, 16)
        assert all(w.dtype == F64 and not w.requires_grad for w in layer.parameters())

    @pytest.mark.parametrize("eta", [0.05, 0.4])
    def test_with_proposition_1_it_is_a_gradient_step_on_raw_elements(self, eta):
        """Two hand-written layers: -eta grad L_t(0) s_t with s_0 := s_1, by autograd."""
        states = elements(length=9)
        tokens = before_copying(states)
        tokens = tokens + copying_layer(3, 1000.0)(tokens)
        three = torch.cat([tokens[..., :6], tokens[..., 9:]], dim=-1)
        got = apply_layer(three, gradient_step_layer(3, eta))[..., :3]
        for b in range(2):
            for t in range(9):
                phi = torch.zeros(3, 3, dtype=F64, requires_grad=True)
                s = states[b]
                pairs = [(s[0], s[0])] + [(s[i - 1], s[i]) for i in range(1, t + 1)]
                loss = sum((after - phi @ x).square().sum() / 2 for x, after in pairs)
                (gradient,) = torch.autograd.grad(loss, phi)
                assert torch.allclose(got[b, t], -eta * gradient @ s[t], rtol=0, atol=1e-11)

    def test_the_first_pair_is_all_that_differs_from_proposition_1(self):
        states, eta = elements(length=9), 0.3
        tokens = before_copying(states)
        tokens = tokens + copying_layer(3, 1000.0)(tokens)
        three = torch.cat([tokens[..., :6], tokens[..., 9:]], dim=-1)
        got = apply_layer(three, gradient_step_layer(3, eta))[..., :3].numpy()
        s = states.numpy()
        extra = eta * np.einsum("bn,bm,btm->btn", s[:, 0], s[:, 0], s)
        assert got == pytest.approx(sequences.gradient_step(s, eta) + extra, abs=1e-11)

    @pytest.mark.parametrize(
        ("n", "sharpness", "message"),
        [
            (0, 1.0, "n must be an integer"),
            (1.5, 1.0, "n must be an integer"),
            (2, 0.0, "sharpness must be above 0"),
            (2, float("nan"), "sharpness must be a finite number"),
        ],
    )
    def test_bad_arguments(self, n, sharpness, message):
        with pytest.raises(ValueError, match=message):
            copying_layer(n, sharpness)
