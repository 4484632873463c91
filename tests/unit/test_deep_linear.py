"""Stacked linear attention against gradient steps written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icl_lib.models.constructions import preconditioned_step
from icl_lib.models.deep_linear import DeepLinear
from icl_lib.models.single_layer import predict
from icl_lib.theory import solvers

F64 = torch.float64


def prompt(batch=(4,), n=6, d=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    xs = torch.randn(*batch, n, d, generator=generator, dtype=F64)
    ys = torch.randn(*batch, n, generator=generator, dtype=F64)
    return xs, ys, torch.randn(*batch, d, generator=generator, dtype=F64)


def model(d=3, layers=2, seed=1, **options):
    """Return a stack with random weights in every matrix."""
    generator = torch.Generator().manual_seed(seed)
    deep = DeepLinear(d, layers, **options).double()
    with torch.no_grad():
        for parameter in deep.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator, dtype=F64))
    return deep


@settings(deadline=None, max_examples=20)
@given(n=st.integers(1, 6), d=st.integers(1, 4), batch=st.lists(st.integers(1, 3), max_size=2))
def test_one_layer_is_a_preconditioned_step(n, d, batch):
    data = prompt(batch, n, d)
    deep = model(d, 1, move_inputs=False)
    # the layer has x^T A b, the construction b^T A x
    expected = predict(*data, *preconditioned_step(deep.a[0].detach().T))
    assert torch.allclose(deep(*data), expected, atol=1e-12)
    assert deep(*data).shape == tuple(batch)


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_layers_are_gradient_steps(layers):
    """Equal multiples of the identity: plain gradient descent from zero."""
    xs, ys, x_query = prompt()
    deep = DeepLinear(3, layers, move_inputs=False, scale=0.25 * layers).double()
    expected = solvers.gradient_descent(xs, ys, x_query, 0.25, steps=layers)
    assert np.abs(deep(xs, ys, x_query).detach().numpy() - expected).max() < 1e-12


def test_two_preconditioned_steps_by_hand():
    """w_1 = A_0^T b, w_2 = w_1 + A_1 (b - Lambda-hat w_1), written with the model's order."""
    xs, ys, x_query = prompt()
    deep = model(layers=2, move_inputs=False)
    first, second = deep.a.detach().numpy()
    for i in range(4):
        x, y = xs[i].numpy(), ys[i].numpy()
        w = first @ (x.T @ y) / 6
        w = w + second @ (x.T @ (y - x @ w)) / 6
        expected = x_query[i].numpy() @ w
        assert deep(xs, ys, x_query)[i].item() == pytest.approx(expected, abs=1e-12)


def deep_by_loops(xs, ys, x_query, a, b):
    """The class's two update formulas, token by token, simultaneous within a layer."""
    n = len(xs)
    points = [*xs, x_query]
    labels = [*ys, 0.0]
    for a_l, b_l in zip(a, b, strict=True):
        moment = sum(points[j] * labels[j] for j in range(n)) / n
        new_labels = [y - x @ a_l @ moment for x, y in zip(points, labels, strict=True)]
        new_points = []
        for x in points:
            shift = sum((points[j] @ x) * (b_l @ points[j]) for j in range(n)) / n
            new_points.append(x - shift)
        points, labels = new_points, new_labels
    return -labels[-1]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_moving_inputs_by_loops(layers):
    xs, ys, x_query = prompt()
    deep = model(layers=layers)
    a, b = deep.a.detach().numpy(), deep.b.detach().numpy()
    for i in range(4):
        expected = deep_by_loops(xs[i].numpy(), ys[i].numpy(), x_query[i].numpy(), a, b)
        assert deep(xs, ys, x_query)[i].item() == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("move_inputs", [False, True])
def test_the_query_does_not_influence_the_examples(move_inputs):
    """Attention reads labelled tokens only: the answer is linear in the query."""
    xs, ys, x_query = prompt()
    deep, other = model(layers=3, move_inputs=move_inputs), prompt(seed=5)[2]
    both = deep(xs, ys, 2.0 * x_query - 3.0 * other)
    assert torch.allclose(both, 2.0 * deep(xs, ys, x_query) - 3.0 * deep(xs, ys, other), atol=1e-11)


def test_the_labels_enter_linearly():
    xs, ys, x_query = prompt()
    deep = model(layers=3)
    assert torch.allclose(deep(xs, -4.0 * ys, x_query), -4.0 * deep(xs, ys, x_query), atol=1e-11)


def test_start():
    deep = DeepLinear(3, 4, scale=0.2)
    assert set(deep.state_dict()) == {"a", "b"}
    assert torch.equal(deep.a, 0.05 * torch.eye(3).repeat(4, 1, 1))
    assert deep.b.shape == (4, 3, 3) and deep.b.abs().max() == 0
    assert set(DeepLinear(3, 4, move_inputs=False).state_dict()) == {"a"}


def test_gradcheck():
    data = [t.requires_grad_() for t in prompt((2,), 3, 2)]
    deep = model(2, 2)
    names = ["a", "b"]

    def forward(a, b, *rest):
        return torch.func.functional_call(deep, dict(zip(names, (a, b), strict=True)), rest)

    parameters = [p.detach().clone().requires_grad_() for p in (deep.a, deep.b)]
    assert torch.autograd.gradcheck(forward, (*parameters, *data))


def test_bad_input():
    with pytest.raises(ValueError, match="d must be an integer"):
        DeepLinear(0, 1)
    with pytest.raises(ValueError, match="layers must be an integer"):
        DeepLinear(2, 0)
    xs, ys, x_query = prompt()
    with pytest.raises(ValueError, match="ys must have shape"):
        model()(xs, ys[:, 1:], x_query)
    with pytest.raises(ValueError, match="x_query must have shape"):
        model()(xs, ys, x_query[:, :2])
