"""Transformers of every kind, and a forward pass that is written out, with all its activations."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from transformer_oracles import F64, elements, heads_of, mix

from icl_lib.models.config import TransformerConfig
from icl_lib.models.transformer import Transformer

KINDS = ("softmax", "linear", "mesa")
SIZES = {"n": 3, "heads": 2, "key_size": 4, "init_std": 0.3}
CONFIGS = {
    "pairs": TransformerConfig.gpt(3, width=8, layers=2, max_points=8),
    "constructed": TransformerConfig.constructed(KINDS, **SIZES),
    "two-channel": TransformerConfig.constructed(("linear",), reads="two-channel", **SIZES),
    "elements": TransformerConfig.elements(KINDS, width=8, clip=0.9, mlp=5, **SIZES),
    # no preset has these together
    "everything": TransformerConfig.elements(
        KINDS,
        **(SIZES | {"width": 8, "mlp": 5, "activation": "relu", "biases": True, "clip": 0.9}),
        **{"layer_norm": True, "final_norm": True, "unit_keys": True, "fused": False},
    ),
    "learned positions": TransformerConfig.elements(
        KINDS, **(SIZES | {"width": 8, "positions": "learned", "max_length": 7, "biases": True})
    ),
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def build(config):
    """A float64 model whose biases, lambdas and LayerNorms are not at their start."""
    generator = torch.Generator().manual_seed(0)
    model = Transformer(config, generator).double()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1 or weight.abs().max() == 0:
                weight += 0.3 * torch.randn(weight.shape, generator=generator, dtype=F64)
    return model


def inputs_of(model):
    states = elements()
    return (states, states[..., 0]) if model.config.reads == "pairs" else (states,)


def normed(module, x):
    if not isinstance(module, torch.nn.LayerNorm):
        return x
    centred = x - x.mean(-1, keepdim=True)
    scale = (centred.square().mean(-1, keepdim=True) + module.eps).sqrt()
    return centred / scale * module.weight + module.bias


def linear(module, x):
    y = torch.einsum("oi,bti->bto", module.weight, x)
    return y if module.bias is None else y + module.bias


def tokens_of(config, states):
    """Tokens (B, T, ...), one after the other."""
    zero = torch.zeros(3, dtype=F64)
    rows = []
    for t in range(6):
        now, before = states[:, t], states[:, t - 1] if t else torch.zeros_like(states[:, 0])
        if config.reads == "pairs":
            rows.append(now)
            label = torch.cat([now[:, :1], zero[:2].expand(2, 2)], dim=1)
            rows += [label] if t < 5 else []
        elif config.reads == "elements":
            rows.append(now)
        else:
            second = now if config.reads == "constructed" else torch.zeros_like(now)
            rows.append(torch.cat([torch.zeros_like(now), second, now, before], dim=1))
    return torch.stack(rows, dim=1)


def by_hand(model):
    """Predictions and all activations, one head and one sub-layer after the other."""
    config, cache = model.config, {}
    stream = tokens_of(config, elements())
    stream = stream if model.embed is None else linear(model.embed, stream)
    if model.positions is not None:
        stream = stream + torch.stack([*model.positions][: stream.shape[1]])
    cache["embed"] = stream
    for k, block in enumerate(model.blocks):
        layer, seen, name = block.attention, normed(block.attention_norm, stream), f"blocks.{k}."
        codes = config.positions == "sinusoidal" and k == 0
        update, heads, scores, weights = torch.zeros_like(stream), [], [], []
        for head, q, k_, v in heads_of(block, seen, codes, config.unit_keys and k > 0):
            lam = layer.log_lambda[head].exp() if layer.kind == "mesa" else None
            heads.append(mix(layer.kind, q, k_, v, lam))
            scores.append(torch.einsum("bta,bsa->bts", q, k_) / q.shape[-1] ** 0.5)
            masses = scores[-1].exp().tril()
            weights.append(masses / masses.sum(-1, keepdim=True))
            update = update + heads[-1] @ layer.p[head].T
        update = update if layer.b_p is None else update + layer.b_p
        cache |= {f"{name}attention_input": seen, f"{name}heads": torch.stack(heads, dim=2)}
        if layer.kind == "softmax":
            cache |= {f"{name}scores": torch.stack(scores, 1)}
            cache |= {f"{name}weights": torch.stack(weights, 1)}
        cache[f"{name}attention"] = update
        stream = stream + update
        if config.mlp:
            hidden = linear(block.mlp.up, normed(block.mlp_norm, stream))
            relu = config.activation == "relu"
            hidden = hidden.clamp(min=0) if relu else F.gelu(hidden, approximate="tanh")
            cache[f"{name}mlp"] = linear(block.mlp.down, hidden)
            stream = stream + cache[f"{name}mlp"]
        if config.clip is not None:
            stream = stream.clip(-config.clip, config.clip)
        cache[f"blocks.{k}"] = stream
    last = normed(model.norm, stream)
    last = last[..., :3] if model.readout is None else linear(model.readout, last)
    return (last[:, ::2, 0] if config.reads == "pairs" else last), cache
