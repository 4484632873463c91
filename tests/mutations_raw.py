"""Mutations of the models on raw elements and of what is built on them; see `mutations.py`."""

from __future__ import annotations

_RAW = [
    ("dtype=torch.float64) / half)", "dtype=torch.float64) / width)"),
    ("[angles.sin(), angles.cos()]", "[angles.cos(), angles.sin()]"),
    ("torch.stack([self.w_q, self.w_k])[", "torch.stack([self.w_k, self.w_q])["),
    ("is_causal=True", "is_causal=False"),
    ("normalize(matchers, dim=-1)", "normalize(matchers, dim=-2)"),
    ("/ keys.shape[-1] ** 0.5", "/ keys.shape[-1]"),
    ('approximate="tanh"', 'approximate="none"'),
    ("positions=index == 0,", "positions=True,"),
    ("unit_keys=config.unit_keys and index > 0,", "unit_keys=config.unit_keys,"),
    ("self.attention(self.attention_norm(stream))", "self.attention(stream)"),
    ("self.mlp(self.mlp_norm(stream))", "self.mlp(stream)"),
    ("stream.clamp(-self.clip, self.clip)", "stream.clamp(-self.clip, None)"),
    ("weight.normal_(0.0, config.init_std,", "weight.normal_(0.0, config.init_std**2,"),
]
_INSPECTION = [
    ("[..., first - lag :].mean(-1)", "[..., first:].mean(-1)"),
    ("model.blocks[:layer]", "model.blocks[: layer - 1]"),
    ("stream[:, -1].unbind(-1)", "stream[:, 0].unbind(-1)"),
    ("torch.stack(norms).mean((0, 1))", "torch.stack(norms).sum(0).mean(0)"),
    ("block.attention_norm(model.embedded(states))", "model.embedded(states)"),
    ("states[:, first - 1 : -1]], dim=-1)", "states[:, first:]], dim=-1)"),
    ("ElementMaps(maps[:n].T, maps[n:].T,", "ElementMaps(maps[n:].T, maps[:n].T,"),
    ("/ tokens.square().sum()", "/ pairs.square().sum()"),
    ("for w in (w_k, w_q))", "for w in (w_q, w_k))"),
    ('"hwk,hkv,avn->hawn", p, w_v, d)', '"hwk,hkv,avn->hawn", p, w_k, d)'),
    ("key_query, written, moved.transpose(1, 2))", "key_query, written, moved)"),
    ("matrices.shape[-1] * means.square()", "means.square()"),
]
_DISTILLATION = [
    (" / target.square().mean()", ""),
    ("stream = block(stream)", "stream = stream + twin(seen)"),
    ("replaced = copy.deepcopy(model)", "replaced = model"),
    ("seen = block.attention_norm(stream).detach()", "seen = stream.detach()"),
    ("block.attention(seen).detach()", "block.attention(seen)"),
    ("positions=layer.positions,", "positions=False,"),
    ("weight.normal_(0.0, init_std,", "weight.normal_(0.0, init_std**0.5,"),
]
_PROMPTING = [
    ("requires_grad=learned", "requires_grad=True"),
    ("nn.Module).eval().requires_grad_(False)", "nn.Module).eval()"),
    ("eos.detach().clone()", "eos.detach()"),
]
_FEW_SHOT = [
    ("xs = 2 * torch.rand(", "xs = 1 * torch.rand("),
    ("xs @ w_star.transpose(-1, -2)", "xs @ w_star"),
    ("tokens.shape[1], len(parts), device", "tokens.shape[1], 2, device"),
    ("queries = queries + len(prefix)", "queries = queries"),
]
_THEORY_FEW_SHOT = [
    ("covariance + w_star @ covariance @ w_star.T", "covariance + w_star.T @ covariance @ w_star"),
    ("covariance @ w_star.T).T", "covariance @ w_star.T)"),
    ("np.cumsum(terms, axis=-3) - terms", "np.cumsum(terms, axis=-3)"),
]
_PROBING = [
    ("2 * np.array(table)[..., 0, 0]", "np.array(table)[..., 0, 0]"),
    ("n_fit=n_fit, ridge=ridge, intercept=False\n", "n_fit=n_fit, ridge=ridge, intercept=True\n"),
]
_RAW_RUNS = [
    ("first_layer_weights(model, maps).mean(0)", "first_layer_weights(model, maps).mean(1)"),
    (
        "moving.load_state_dict(weights)\n            columns",
        "moving.load_state_dict(snapshots[-1][1])\n            columns",
    ),
    ("[states.shape[1] - 1 - j for j", "[j for j"),
]
_ADAPTED_RUNS = [
    ("_below(frozen, 1).eos if config.fixed_eos else None", "None"),
    ("self.twins.install(self.original, k)", "self.twins.install(self.original, 0)"),
]
_RUNS = [
    ("tuple(freeze(load(run)) for", "tuple(load(run) for"),
    ("generators(self.seed, step)", "generators(self.seed, 0)"),
]
_JUDGING = [
    ("predict(states).sum()", "predict(states).mean()"),
    ("[:, -1].square() / self.power", "[:, -1].square()"),
    ("float(loss / reference)", "float(loss)"),
]

RAW_ELEMENTS = {
    "models/raw.py": _RAW,
    "models/inspection.py": _INSPECTION,
    "models/distillation.py": _DISTILLATION,
    "models/prompting.py": _PROMPTING,
    "tasks/few_shot.py": _FEW_SHOT,
    "theory/few_shot.py": _THEORY_FEW_SHOT,
    "analysis/probing.py": _PROBING,
    "experiments/curves.py": _RAW_RUNS,
    "experiments/networks.py": _ADAPTED_RUNS,
    "experiments/run.py": _RUNS,
    "experiments/judging.py": _JUDGING,
}
