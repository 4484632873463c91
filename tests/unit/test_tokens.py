"""The prompt matrix E, interleaved tokens and the tokens of sequences, entry by entry."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icl_lib.tasks.tokens import (
    check_prompt,
    constructed_tokens,
    interleave,
    prompt_matrix,
    proposition_tokens,
    stacked_observations,
)

SIZES = {
    "n": st.integers(1, 6),
    "d": st.integers(1, 5),
    "batch": st.lists(st.integers(1, 3), max_size=2),
}


def prompt(batch, n, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(*batch, n, d), (*batch, n), (*batch, d)]
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


@settings(deadline=None, max_examples=25)
@given(**SIZES)
def test_prompt_matrix_entry_by_entry(n, d, batch):
    """Eq. (3.4): column i is (x_i, y_i), the last column is (x_query, 0)."""
    xs, ys, x_query = prompt(batch, n, d)
    tokens = prompt_matrix(xs, ys, x_query)
    assert tokens.shape == (*batch, d + 1, n + 1)
    for index in np.ndindex(*batch):
        for i in range(n):
            assert torch.equal(tokens[index][:d, i], xs[index][i])
            assert tokens[index][d, i] == ys[index][i]
        assert torch.equal(tokens[index][:d, n], x_query[index])
        assert tokens[index][d, n] == 0


def test_gram_of_the_prompt_matrix():
    """E E^T / N has the blocks that the digest of the paper lists for linear labels."""
    xs, _, x_query = prompt((), 7, 3)
    w = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    tokens = prompt_matrix(xs, xs @ w, x_query)
    gram = (tokens @ tokens.T / 7).numpy()
    lam_hat = (xs.T @ xs / 7).numpy()
    corner = lam_hat + np.outer(x_query, x_query) / 7
    assert gram[:3, :3] == pytest.approx(corner, abs=1e-14)
    assert gram[:3, 3] == pytest.approx(lam_hat @ w.numpy(), abs=1e-14)
    assert gram[3, 3] == pytest.approx(w.numpy() @ lam_hat @ w.numpy(), abs=1e-14)


@settings(deadline=None, max_examples=25)
@given(**SIZES, extra=st.booleans())
def test_interleave_entry_by_entry(n, d, batch, extra):
    xs, ys, _ = prompt(batch, n, d)
    tokens = interleave(xs, ys if extra else ys[..., :-1])
    assert tokens.shape == (*batch, 2 * n - 1, d)
    for index in np.ndindex(*batch):
        for i in range(n):
            assert torch.equal(tokens[index][2 * i], xs[index][i])
            if i < n - 1:
                assert tokens[index][2 * i + 1, 0] == ys[index][i]
                assert (tokens[index][2 * i + 1, 1:] == 0).all()


def test_interleave_by_hand():
    xs, ys = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([5.0, 6.0])
    assert interleave(xs, ys).tolist() == [[1.0, 2.0], [5.0, 0.0], [3.0, 4.0]]


def test_the_last_label_is_never_a_token():
    xs, ys, _ = prompt((2,), 4, 3)
    changed = ys.clone()
    changed[:, -1] = 1e9
    assert torch.equal(interleave(xs, ys), interleave(xs, changed))


def test_dtype_and_gradient_pass_through():
    xs, ys, x_query = (t.requires_grad_() for t in prompt((2,), 3, 2))
    assert torch.autograd.gradcheck(prompt_matrix, (xs, ys, x_query))
    assert torch.autograd.gradcheck(interleave, (xs, ys))
    assert interleave(xs.float(), ys.float()).dtype == torch.float32


BAD_PROMPTS = [
    ((3,), (3,), (3,), r"xs must have shape \(\.\.\., n, d\), got \(3,\)"),
    ((0, 3), (0,), (3,), r"xs must have shape .* got \(0, 3\)"),
    ((4, 3), (5,), (3,), r"ys must have shape \(4,\), got \(5,\)"),
    ((2, 4, 3), (4,), (2, 3), r"ys must have shape \(2, 4\), got \(4,\)"),
    ((4, 3), (4,), (2,), r"x_query must have shape \(3,\), got \(2,\)"),
    ((2, 4, 3), (2, 4), (3,), r"x_query must have shape \(2, 3\), got \(3,\)"),
]


@pytest.mark.parametrize(("xs", "ys", "x_query", "message"), BAD_PROMPTS)
def test_bad_prompts(xs, ys, x_query, message):
    for function in (check_prompt, prompt_matrix):
        with pytest.raises(ValueError, match=message):
            function(torch.zeros(xs), torch.zeros(ys), torch.zeros(x_query))


@pytest.mark.parametrize("ys", [(2, 2), (2, 5), (4,), (3, 4)])
def test_bad_labels_to_interleave(ys):
    with pytest.raises(ValueError, match=r"ys must have shape \(2, 3\) for xs of shape"):
        interleave(torch.zeros(2, 4, 3), torch.zeros(ys))


def sequence(batch, length, n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*batch, length, n, generator=generator, dtype=torch.float64)


SEQUENCES = {
    "length": st.integers(1, 6),
    "n": st.integers(1, 4),
    "batch": st.lists(st.integers(1, 3), max_size=2),
}


@settings(deadline=None, max_examples=25)
@given(**SEQUENCES)
def test_channels_entry_by_entry(length, n, batch):
    """(0, s_t, s_t, s_{t-1}) and (Phi_0 s_t, s_t, s_{t-1}), with s_0 = 0."""
    states, phi_0 = sequence(batch, length, n), sequence((), n, n, seed=1)
    constructed, proposition = constructed_tokens(states), proposition_tokens(states, phi_0)
    assert constructed.shape == (*batch, length, 4 * n)
    assert proposition.shape == (*batch, length, 3 * n)
    zero = torch.zeros(n, dtype=torch.float64)
    for index in np.ndindex(*batch, length):
        now = states[index]
        before = states[(*index[:-1], index[-1] - 1)] if index[-1] else zero
        assert torch.equal(constructed[index], torch.cat([zero, now, now, before]))
        assert torch.allclose(proposition[index][:n], phi_0 @ now, atol=1e-14)
        assert torch.equal(proposition[index][n:], torch.cat([now, before]))


@settings(deadline=None, max_examples=25)
@given(**SEQUENCES, k=st.integers(1, 8))
def test_stacked_observations_entry_by_entry(length, n, batch, k):
    states = sequence(batch, length, n)
    stacked = stacked_observations(states, k)
    assert stacked.shape == (*batch, length, k * n)
    for index in np.ndindex(*batch, length):
        for lag in range(k):
            got = stacked[index][lag * n : (lag + 1) * n]
            t = index[-1] - lag
            expected = states[(*index[:-1], t)] if t >= 0 else torch.zeros_like(got)
            assert torch.equal(got, expected)


def test_gradients_pass_through_the_tokens_of_sequences():
    states, phi_0 = sequence((2,), 3, 2).requires_grad_(), sequence((), 2, 2).requires_grad_()
    assert torch.autograd.gradcheck(constructed_tokens, (states,))
    assert torch.autograd.gradcheck(proposition_tokens, (states, phi_0))
    assert torch.autograd.gradcheck(lambda s: stacked_observations(s, 3), (states,))


@pytest.mark.parametrize("shape", [(3,), (0, 3), (3, 0)])
def test_bad_states(shape):
    message = r"states must have shape \(..., T, n\)"
    for function in (
        constructed_tokens,
        lambda states: proposition_tokens(states, torch.eye(3)),
        lambda states: stacked_observations(states, 2),
    ):
        with pytest.raises(ValueError, match=message):
            function(torch.zeros(shape))


def test_bad_options_of_the_tokens_of_sequences():
    states = torch.zeros(4, 3)
    for phi_0 in (torch.eye(2), torch.zeros(3), torch.zeros(3, 2)):
        with pytest.raises(ValueError, match=r"phi_0 must have shape \(3, 3\), got"):
            proposition_tokens(states, phi_0)
    for k in (0, -1, 1.5):
        with pytest.raises(ValueError, match="k must be an integer of at least 1"):
            stacked_observations(states, k)
