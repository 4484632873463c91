"""RevAlg-d: read off, averaged and run, against Kronecker products and loops."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from icl_lib.models.compressed import (
    Coefficients,
    CompressedModel,
    ProductModel,
    Products,
    block_means,
    effective_coefficients,
    expand,
    explained_share,
    interpolate,
    products,
    read_off,
)
from icl_lib.models.config import TransformerConfig
from icl_lib.models.transformer import Transformer

F64 = torch.float64


def build(layers=2, seed=0, **options):
    options = {"n": 3, "heads": 2, "key_size": 5, "init_std": 0.3} | options
    config = TransformerConfig.constructed(("linear",) * layers, **options)
    return Transformer(config, torch.Generator().manual_seed(seed)).double()


def states(batch=2, length=6, n=3, seed=9):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, length, n, generator=generator, dtype=F64)


def random_scalars(layers=2, heads=2, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return Coefficients(
        *(0.4 * torch.randn(2, layers, heads, 4, 4, generator=generator, dtype=F64))
    )


def by_kron(model, scalars, inputs):
    """e_t <- clip(e_t + sum_h B_h sum_{t'<=t} e_t' (e_t'^T A_h e_t)), one sequence, in NumPy."""
    n, clip = model.config.n, model.config.clip or np.inf
    stream = model.streams(inputs[None])[0][0].detach().numpy()
    for a, b in zip(scalars.key_query.numpy(), scalars.value.numpy(), strict=True):
        after = stream.copy()
        for t, head in product(range(len(stream)), range(len(a))):
            key_query, value = np.kron(a[head], np.eye(n)), np.kron(b[head], np.eye(n))
            for s in range(t + 1):
                after[t] += value @ stream[s] * (stream[s] @ key_query @ stream[t])
        stream = after.clip(-clip, clip)
    return stream[:, :n]


class TestForwardPass:
    @pytest.mark.parametrize("options", [{}, {"clip": None}, {"clip": 0.7}])
    def test_compressed_model_by_kronecker_products(self, options):
        model = build(**options)
        for scalars in (read_off(products(model)), random_scalars()):
            got = CompressedModel(model.config, scalars)(states())
            for b in range(2):
                expected = by_kron(model, scalars, states()[b])
                assert got[b].numpy() == pytest.approx(expected, abs=1e-11)

    @pytest.mark.parametrize("options", [{}, {"clip": None}, {"reads": "two-channel"}])
    def test_product_model_is_its_model(self, options):
        model = build(3, **options)
        got = ProductModel(model.config, products(model))(states())
        assert torch.allclose(got, model(states()), atol=1e-11)

    def test_compressed_model_is_the_product_model_of_expanded_scalars(self):
        model = build(3)
        weights = products(model)
        scalars = read_off(weights)
        full = ProductModel(model.config, interpolate(weights, scalars, 1.0))
        assert torch.allclose(
            CompressedModel(model.config, scalars)(states()), full(states()), atol=1e-12
        )

    def test_twelve_scalars_of_one_layer(self):
        """f_t = sum over h, u, w, r of p_h^u a_h^{wr} (sum_{t'<=t} u_t' w_t'^T) r_t, in {c, p}."""
        model = build(1, reads="two-channel", clip=None)
        scalars = read_off(products(model))
        got = CompressedModel(model.config, scalars)(states())[0].numpy()
        now = states()[0].numpy()
        channels = {2: now, 3: np.vstack([np.zeros(3), now[:-1]])}  # c: s_t, p: s_{t-1}
        used = set()
        for t in range(6):
            expected = np.zeros(3)
            for head, (u, w, r) in product(range(2), product((2, 3), repeat=3)):
                p, a = scalars.value[0, head, 0, u], scalars.key_query[0, head, w, r]
                used |= {("p", head, u), ("a", head, w, r)}
                moment = sum(np.outer(channels[u][s], channels[w][s]) for s in range(t + 1))
                expected += float(p) * float(a) * moment @ channels[r][t]
            assert got[t] == pytest.approx(expected, abs=1e-12)
        assert len(used) == 12

    def test_nothing_to_train(self):
        model = build()
        for small in (
            ProductModel(model.config, products(model)),
            CompressedModel(model.config, read_off(products(model))),
        ):
            assert not list(small.parameters())
            assert set(small.state_dict()) == {"key_query", "value"}


class TestReadOff:
    def test_block_means_by_loops(self):
        matrix = build().blocks[0].attention.products()[0].detach()
        for head, i, j in product(range(2), range(4), range(4)):
            block = matrix[head, 3 * i : 3 * i + 3, 3 * j : 3 * j + 3]
            expected = sum(block[k, k] for k in range(3)) / 3
            assert float(block_means(matrix)[head, i, j]) == pytest.approx(float(expected))

    def test_scalars_come_back(self):
        """A model whose products are a_h x I and b_h x I gives back a_h and b_h."""
        scalars = random_scalars(1)
        model = build(1, n=2, key_size=8)
        with torch.no_grad():
            block = model.blocks[0].attention
            block.w_q.copy_(
                torch.stack([torch.kron(a, torch.eye(2)) for a in scalars.key_query[0]])
            )
            block.p.copy_(torch.stack([torch.kron(b, torch.eye(2)) for b in scalars.value[0]]))
            block.w_k.copy_(torch.eye(8).expand(2, 8, 8))
            block.w_v.copy_(torch.eye(8).expand(2, 8, 8))
        got = read_off(products(model))
        for mine, expected in zip(got, scalars, strict=True):
            assert torch.allclose(mine, expected, atol=1e-14)
        inputs = states(n=2)
        small = CompressedModel(model.config, got)
        assert torch.allclose(small(inputs), model(inputs), atol=1e-12)  # nothing is lost here
        for matrix in products(model):
            assert torch.allclose(explained_share(matrix), torch.ones(1, 2, dtype=F64))

    def test_expand_equals_kron(self):
        scalars = random_scalars().value
        got = expand(scalars, 3)
        for layer, head in product(range(2), range(2)):
            expected = np.kron(scalars[layer, head].numpy(), np.eye(3))
            assert got[layer, head].numpy() == pytest.approx(expected)

    def test_explained_share(self):
        """The squared norm splits into the kept part and the rest; it lies in [0, 1]."""
        for matrix in products(build()):
            share = explained_share(matrix)
            rest = matrix - expand(block_means(matrix), 3)
            lost = rest.square().sum((-2, -1)) / matrix.square().sum((-2, -1))
            assert torch.allclose(share, 1 - lost) and ((share > 0) & (share < 1)).all()
        bare = torch.kron(torch.ones(4, 4, dtype=F64), torch.tensor([[1.0, 2.0], [3.0, -1.0]]))
        assert float(explained_share(bare.double())) == pytest.approx(0.0, abs=1e-15)

    def test_effective_coefficients_by_loops(self):
        scalars = random_scalars(2, 3)
        got = effective_coefficients(scalars)
        assert got.shape == (2, 4, 4, 4, 4)
        for layer, out, value, key, query in product(range(2), *[range(4)] * 4):
            expected = sum(
                float(scalars.value[layer, h, out, value])
                * float(scalars.key_query[layer, h, key, query])
                for h in range(3)
            )
            assert float(got[layer, out, value, key, query]) == pytest.approx(expected)

    def test_heads_that_cancel_change_nothing(self):
        """Only the sum over heads counts: swapped signs and a split head give the same model."""
        scalars = random_scalars(1, 2)
        a, b = scalars
        other = Coefficients(
            torch.cat([-a, a[:, :1], a[:, :1]], 1), torch.cat([-b, b[:, :1], -b[:, :1]], 1)
        )
        config = build(1).config
        assert torch.allclose(effective_coefficients(other), effective_coefficients(scalars))
        got, expected = (CompressedModel(config, s)(states()) for s in (other, scalars))
        assert torch.allclose(got, expected, atol=1e-12)


class TestInterpolation:
    def test_shares(self):
        weights = products(build())
        scalars = random_scalars()
        for share in (0, 0.25, 0.5, 1):
            mixed = interpolate(weights, scalars, share)
            for got, full, part in zip(mixed, weights, scalars, strict=True):
                expected = (1 - share) * full + share * expand(part, 3)
                assert torch.allclose(got, expected, atol=1e-14)
        for got, half in zip(
            interpolate(weights, scalars), interpolate(weights, scalars, 0.5), strict=True
        ):
            assert torch.equal(got, half)

    def test_products_are_averaged_not_factors(self):
        """The factors are not unique; the interpolated model must not depend on their choice."""
        first, second = build(), build()
        with torch.no_grad():
            for block in second.blocks:
                block.attention.w_q.mul_(3.0)
                block.attention.w_k.div_(3.0)
        for a, b in zip(
            *(interpolate(products(m), random_scalars()) for m in (first, second)), strict=True
        ):
            assert torch.allclose(a, b, atol=1e-13)

    @pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
    def test_bad_share(self, share):
        with pytest.raises(ValueError, match="share must be between 0 and 1, got"):
            interpolate(products(build()), random_scalars(), share)


def test_products_carry_no_gradient():
    assert isinstance(products(build()), Products)
    assert all(
        not part.requires_grad and part.shape == (2, 2, 12, 12) for part in products(build())
    )


@pytest.mark.parametrize("kind", ["softmax", "mesa"])
def test_only_linear_layers_have_products(kind):
    model = Transformer(TransformerConfig.constructed(("linear", kind), n=2))
    with pytest.raises(ValueError, match="model must have linear layers only, got"):
        products(model)


@pytest.mark.parametrize("shape", [(12,), (12, 8), (10, 10), (2, 8, 12)])
def test_bad_matrices(shape):
    for function in (block_means, explained_share):
        with pytest.raises(ValueError, match=r"matrix must have shape \(..., 4n, 4n\), got"):
            function(torch.zeros(shape))
