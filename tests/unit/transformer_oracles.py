"""Small transformers on raw elements, and a second, plain implementation of them."""

from __future__ import annotations

import math

import torch

from icl_lib.layers.softmax import softmax_attention
from icl_lib.models.config import TransformerConfig
from icl_lib.models.transformer import Transformer

F64 = torch.float64


def build(layers=("softmax",), seed=0, **options):
    """A small float64 model with large weights; lambdas and LayerNorms are not at their start."""
    options = {"n": 3, "width": 8, "heads": 2, "key_size": 4, "init_std": 0.3} | options
    generator = torch.Generator().manual_seed(seed)
    model = Transformer(TransformerConfig.elements(layers, **options), generator).double()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:
                weight += 0.3 * torch.randn(weight.shape, generator=generator, dtype=F64)
    return model


def elements(batch=2, length=6, n=3, seed=9):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, length, n, generator=generator, dtype=F64)


def vaswani(length, width):
    """PE(t, 2i) = sin(t / 10000^(2i/width)), PE(t, 2i+1) = cos(same), as in the paper."""
    table = torch.empty(length, width, dtype=F64)
    for t in range(length):
        for j in range(width):
            angle = t / 10_000 ** (2 * (j // 2) / width)
            table[t, j] = math.cos(angle) if j % 2 else math.sin(angle)
    return table


def sines_first(table):
    return torch.cat([table[:, 0::2], table[:, 1::2]], dim=1)


def heads_of(block, seen, positions, unit):
    """Yield each head's index, queries, keys and values (B, T, n_a), codes written below tokens."""
    matched = seen
    if positions:
        codes = sines_first(vaswani(seen.shape[1], seen.shape[2]))
        matched = torch.cat([seen, codes.expand(len(seen), -1, -1)], dim=-1)
    layer = block.attention
    for head in range(len(layer.p)):
        q, k = (torch.einsum("aw,btw->bta", w[head], matched) for w in (layer.w_q, layer.w_k))
        v = torch.einsum("aw,btw->bta", layer.w_v[head], seen)
        if layer.biases:
            q, k, v = q + layer.b_q[head], k + layer.b_k[head], v + layer.b_v[head]
        if unit:
            q, k = (x / x.square().sum(-1, keepdim=True).sqrt() for x in (q, k))
        yield head, q, k, v


def mix(kind, q, k, v, lam):
    """One head: softmax by its formula, linear and mesa by a loop over prefixes."""
    if kind == "softmax":
        return softmax_attention(q, k, v, causal=True)
    rows = []
    for t in range(q.shape[1]):
        keys, values, query = k[:, : t + 1], v[:, : t + 1], q[:, t, :, None]
        cross = torch.einsum("bti,btj->bij", values, keys)
        if kind == "mesa":
            gram = (
                torch.einsum("bti,btj->bij", keys, keys) + torch.eye(k.shape[-1], dtype=F64) / lam
            )
            query = torch.linalg.solve(gram, query)
        rows.append((cross @ query)[..., 0])
    return torch.stack(rows, dim=1)


def normalise(norm, stream):
    """Apply PyTorch's own LayerNorm with the weights of ``norm``."""
    layer = torch.nn.LayerNorm(stream.shape[-1], dtype=F64)
    layer.load_state_dict(norm.state_dict())
    return layer(stream)


def reference(model, states):
    """The predictions (B, T, n), one head and one sub-layer after the other."""
    config = model.config
    stream = torch.einsum("wn,btn->btw", model.embed.weight, states)
    for index, block in enumerate(model.blocks):
        kind = config.layers[index]
        seen = normalise(block.attention_norm, stream) if config.layer_norm else stream
        update = torch.zeros_like(stream)
        unit = config.unit_keys and index > 0
        for head, q, k, v in heads_of(block, seen, index == 0, unit):
            lam = block.attention.log_lambda[head].exp() if kind == "mesa" else None
            update = update + mix(kind, q, k, v, lam) @ block.attention.p[head].T
        stream = stream + update
        if config.mlp:
            seen = normalise(block.mlp_norm, stream) if config.layer_norm else stream
            hidden = torch.nn.functional.linear(seen, block.mlp.up.weight)
            hidden = torch.nn.functional.gelu(hidden, approximate="tanh")
            stream = stream + torch.nn.functional.linear(hidden, block.mlp.down.weight)
        if config.clip is not None:
            bound = torch.full_like(stream, config.clip)
            stream = torch.minimum(torch.maximum(stream, -bound), bound)
    return torch.einsum("nw,btw->btn", model.readout.weight, stream)
