"""The GPT-style model on prompts: what it may see, what its weights depend on, and bad input."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icl_lib.layers.attention import AttentionLayer
from icl_lib.models.blocks import MLP, Block
from icl_lib.models.config import TransformerConfig
from icl_lib.models.transformer import Transformer

F64 = torch.float64
SMALL = TransformerConfig.gpt(d=2, width=8, layers=2, heads=2, max_points=6)


def model(config=SMALL, seed=0):
    return Transformer(config, torch.Generator().manual_seed(seed)).double()


def prompt(batch=3, n=5, d=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    xs = torch.randn(batch, n, d, generator=generator, dtype=F64)
    return xs, torch.randn(batch, n, generator=generator, dtype=F64)


def by_hand(net, xs, ys):
    """The forward pass of one prompt with torch's own attention, token after token."""
    n, width, heads = len(xs), net.config.width, net.config.heads
    rows = []
    for i in range(n):
        rows.append(xs[i])
        if i < n - 1:
            label = torch.zeros(net.config.n, dtype=F64)
            label[0] = ys[i]
            rows.append(label)
    stream = (
        torch.stack([net.embed.weight @ row + net.embed.bias for row in rows])
        + net.positions[: len(rows)]
    )
    for block in net.blocks:
        normed = torch.nn.functional.layer_norm(
            stream, (width,), block.attention_norm.weight, block.attention_norm.bias
        )
        layer = block.attention
        stream = stream + layer.b_p
        for head in range(heads):
            q, k, v = (
                normed @ getattr(layer, f"w_{x}")[head].T + getattr(layer, f"b_{x}")[head]
                for x in "qkv"
            )
            mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            stream = stream + mixed @ layer.p[head].T
        normed = torch.nn.functional.layer_norm(
            stream, (width,), block.mlp_norm.weight, block.mlp_norm.bias
        )
        hidden = (normed @ block.mlp.up.weight.T + block.mlp.up.bias).clamp(min=0)
        stream = stream + hidden @ block.mlp.down.weight.T + block.mlp.down.bias
    normed = torch.nn.functional.layer_norm(stream, (width,), net.norm.weight, net.norm.bias)
    return (normed @ net.readout.weight.T + net.readout.bias)[::2, 0]


def test_forward_by_hand():
    net, (xs, ys) = model(), prompt()
    for i in range(3):
        assert torch.allclose(net(xs, ys)[i], by_hand(net, xs[i], ys[i]), atol=1e-12)


@settings(deadline=None, max_examples=15)
@given(batch=st.integers(1, 3), n=st.integers(1, 6), last=st.booleans())
def test_shapes_and_the_unread_last_label(batch, n, last):
    xs, ys = prompt(batch, n)
    net = model()
    out = net(xs, ys if last else ys[:, :-1])
    assert out.shape == (batch, n)
    assert torch.equal(out, net(xs, ys))


@torch.no_grad()
def test_prediction_i_sees_the_pairs_before_it_only():
    net, (xs, ys) = model(), prompt(n=6)
    before = net(xs, ys)
    for i in range(6):
        later_xs, later_ys = xs.clone(), ys.clone()
        later_xs[:, i + 1 :] += 5.0
        later_ys[:, i:] -= 5.0  # the label that entry i predicts included
        after = net(later_xs, later_ys)
        assert torch.equal(after[:, : i + 1], before[:, : i + 1])
        if i < 5:
            assert (after[:, i + 1 :] != before[:, i + 1 :]).all()


@torch.no_grad()
def test_every_earlier_token_is_read():
    net, (xs, ys) = model(), prompt(n=5)
    before = net(xs, ys)[:, -1]
    for i in range(5):
        changed = xs.clone()
        changed[:, i, 1] += 1.0
        assert (net(changed, ys)[:, -1] != before).all()
        if i < 4:
            labels = ys.clone()
            labels[:, i] += 1.0
            assert (net(xs, labels)[:, -1] != before).all()


@torch.no_grad()
def test_a_prefix_predicts_the_same():
    net, (xs, ys) = model(), prompt(n=6)
    full = net(xs, ys)
    for n in range(1, 6):
        assert torch.allclose(net(xs[:, :n], ys[:, :n]), full[:, :n], atol=1e-13)
        assert torch.allclose(
            net.predict_query(xs[:, :n], ys[:, :n], xs[:, n]), full[:, n], atol=1e-13
        )


@torch.no_grad()
def test_positions_tell_the_order_of_the_examples():
    net, (xs, ys) = model(), prompt(n=4)
    order = torch.tensor([1, 0, 2, 3])
    assert (net(xs[:, order], ys[:, order])[:, 3] != net(xs, ys)[:, 3]).all()
    # one layer without positions sees the earlier tokens as a set
    single = model(TransformerConfig.gpt(d=2, width=8, layers=1, heads=2, max_points=6))
    single.positions.data.zero_()
    swapped = single(xs[:, order], ys[:, order])[:, 2:]
    assert torch.allclose(swapped, single(xs, ys)[:, 2:], atol=1e-12)


class TestInitialisation:
    def test_depends_on_the_generator_alone(self):
        torch.manual_seed(1)
        first = model(seed=3).state_dict()
        torch.manual_seed(2)
        torch.rand(100)
        second = model(seed=3).state_dict()
        other = model(seed=4).state_dict()
        assert all(torch.equal(first[name], second[name]) for name in first)
        drawn = [name for name in first if "norm" not in name]
        assert all((first[name] != other[name]).any() for name in drawn)

    def test_law(self):
        config = TransformerConfig.gpt(d=5, width=64, layers=1, heads=2, max_points=200)
        net = Transformer(config, torch.Generator().manual_seed(0))
        for module in net.modules():
            if isinstance(module, torch.nn.Linear):
                bound = module.in_features**-0.5
                assert module.weight.abs().max() <= bound
                # uniform on +-b has variance b^2 / 3, and the variance of its square is 4 b^4 / 45
                square, count = module.weight.square(), module.weight.numel()
                spread = 5 * bound**2 * (4 / 45 / count) ** 0.5
                assert square.mean().item() == pytest.approx(bound**2 / 3, abs=spread)
                assert module.bias.abs().max() <= bound and module.bias.abs().max() > 0
            if isinstance(module, torch.nn.LayerNorm):
                assert (module.weight == 1).all() and (module.bias == 0).all()
        positions = net.positions
        count = positions.numel()
        assert positions.mean().item() == pytest.approx(0.0, abs=5 * 0.3 / count**0.5)
        assert positions.std().item() == pytest.approx(0.3, rel=5 / (2 * count) ** 0.5)

    def test_weights_of_the_generator(self):
        """Seeds mean what they always meant: the packed matrices of other code, drawn in order."""
        net, source = Transformer(SMALL, torch.Generator().manual_seed(0)), torch.Generator()
        source.manual_seed(0)

        def drawn(rows, columns):
            """A linear map's weight, then its bias."""
            bound = columns**-0.5
            parts = (torch.empty(rows, columns), torch.empty(rows))
            return [part.uniform_(-bound, bound, generator=source) for part in parts]

        expected = [drawn(8, 2)]
        got = [[net.embed.weight, net.embed.bias]]
        for block in net.blocks:
            layer, mlp = block.attention, block.mlp
            expected += [drawn(24, 8), drawn(8, 8), drawn(32, 8), drawn(8, 32)]
            weights = torch.cat([layer.w_q, layer.w_k, layer.w_v]).flatten(0, 1)
            biases = torch.cat([layer.b_q, layer.b_k, layer.b_v]).flatten()
            got += [[weights, biases], [torch.cat([*layer.p], dim=1), layer.b_p]]
            got += [[mlp.up.weight, mlp.up.bias], [mlp.down.weight, mlp.down.bias]]
        expected, got = [*expected, drawn(1, 8)], [*got, [net.readout.weight, net.readout.bias]]
        for pair, wanted in zip(got, expected, strict=True):
            assert torch.equal(pair[0], wanted[0]) and torch.equal(pair[1], wanted[1])
        positions = torch.empty(11, 8).normal_(0.0, 0.3, generator=source)
        assert torch.equal(net.positions, positions)


def test_parameter_count():
    d, width, layers, points = 2, 8, 2, 6
    norms = 2 * width
    attention = 3 * width * width + 3 * width + width * width + width
    mlp = 4 * width * width + 4 * width + 4 * width * width + width
    expected = (d + 1) * width + (2 * points - 1) * width
    expected += layers * (2 * norms + attention + mlp) + norms + width + 1
    assert sum(p.numel() for p in model().parameters()) == expected


def test_state_dict_keys():
    """The checkpoints rely on these names."""
    keys = set(Transformer(SMALL).state_dict())
    linear = ["attention_norm", "mlp_norm", "mlp.up", "mlp.down"]
    block = [f"{name}.{kind}" for name in linear for kind in ("weight", "bias")]
    block += [f"attention.{kind}_{name}" for name in "qkv" for kind in "wb"]
    block += ["attention.p", "attention.b_p"]
    expected = {f"blocks.{i}.{name}" for i in range(2) for name in block}
    expected |= {
        f"{name}.{kind}" for name in ("embed", "norm", "readout") for kind in ("weight", "bias")
    }
    assert keys == expected | {"positions"}


def test_block_is_residual():
    attention = AttentionLayer("softmax", 8, 2, 4, biases=True)
    block = Block(attention, 8, MLP(8, 32, "relu", True), layer_norm=True).double()
    with torch.no_grad():
        for weight in block.parameters():
            weight.fill_(0.5)
        for weight in (attention.p, attention.b_p, *block.mlp.down.parameters()):
            weight.zero_()
    tokens = torch.randn(2, 4, 8, dtype=F64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block(tokens), tokens)


def test_gradcheck():
    config = TransformerConfig.gpt(d=1, width=4, layers=1, heads=2, max_points=2)
    net, (xs, ys) = model(config), prompt(1, 2, 1)
    names = [name for name, _ in net.named_parameters()]

    def forward(xs, ys, *parameters):
        named = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(net, named, (xs, ys))

    parameters = [p.detach().clone().requires_grad_() for p in net.parameters()]
    inputs = (xs.requires_grad_(), ys.requires_grad_(), *parameters)
    assert torch.autograd.gradcheck(forward, inputs, fast_mode=True)


@pytest.mark.parametrize("name", ["d", "width", "layers", "heads", "max_points"])
@pytest.mark.parametrize("bad", [0, -1, 2.0, True])
def test_bad_sizes(name, bad):
    with pytest.raises(ValueError, match=f"{name} must be an integer of at least 1"):
        TransformerConfig.gpt(**({"d": 2} | {name: bad}))


def test_bad_prompts():
    net, (xs, ys) = model(), prompt(n=4)
    for bad in (xs[0], xs[..., :1], torch.zeros(3, 4, 3).double()):
        with pytest.raises(ValueError, match=r"xs must have shape \(B, n, 2\), got"):
            net(bad, ys)
    with pytest.raises(ValueError, match="xs must hold at most max_points = 6 inputs, got 7"):
        net(*prompt(n=7))
    for bad in (ys[:, :2], ys[0], ys[:2]):
        with pytest.raises(ValueError, match="ys must have shape"):
            net(xs, bad)


def test_width_must_fit_the_heads():
    with pytest.raises(ValueError, match="width must be a multiple of heads = 3, got 8"):
        Transformer(TransformerConfig.gpt(d=2, width=8, heads=3))
