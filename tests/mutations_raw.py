"""Mutations of what is built on the models on raw elements; see `mutations.py`."""

from __future__ import annotations

_INSPECTION = [
    ("[..., first - lag :].mean(-1)", "[..., first:].mean(-1)"),
    ("stop_at_layer=layer)", "stop_at_layer=layer - 1)"),
    ("stream[:, -1].unbind(-1)", "stream[:, 0].unbind(-1)"),
    ("torch.stack(norms).mean((0, 1))", "torch.stack(norms).sum(0).mean(0)"),
    ('name = "blocks.0.weights"', 'name = "blocks.0.scores"'),
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
    ("replace_layer(index, self", "replace_layer(0, self"),
    ('parts = ("attention_input", "attention")', 'parts = ("attention", "attention")'),
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
    ("cast(Prompt, _below(frozen, 1)).eos if config.fixed_eos else None", "None"),
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
