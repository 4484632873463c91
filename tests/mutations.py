"""The mutations that no tool makes: (file in icl_lib, text that occurs once, replacement).

In `theory/` and `layers/` they span several tokens or know what a formula means (a transpose, the
order of a product, a factor or a term left out, the wrong one of two names): `mutations_sample.py`
draws from all smaller changes there.
"""

from __future__ import annotations

import re
from pathlib import Path

from mutations_raw import RAW_ELEMENTS

UNIT = Path(__file__).resolve().parent / "unit"
BAD_INPUT = "test_bad_input_theory.py"
TRANSFORMER = [
    "test_activations.py",
    "test_transformer_config.py",
    "test_transformer_constructed.py",
    "test_transformer_elements.py",
    "test_transformer_pairs.py",
]

TESTS = {
    "theory/optimum.py": [
        "test_theory_priors.py",
        "test_theory_optimum.py",
        "test_theory_theorem_4_2.py",
        BAD_INPUT,
    ],
    "theory/shifts.py": ["test_theory_shifts.py", BAD_INPUT],
    "theory/random_covariance.py": ["test_theory_random_covariance.py", BAD_INPUT],
    "theory/gradient_flow.py": ["test_theory_gradient_flow.py", BAD_INPUT],
    "theory/landscape.py": ["test_theory_landscape.py", BAD_INPUT],
    "theory/solvers.py": ["test_theory_solvers.py", BAD_INPUT],
    "theory/sequences.py": ["test_theory_sequences.py", "test_theory_step_sizes.py"],
    "layers/recursive_mesa.py": ["test_mesa.py", "test_mesa_peers.py"],
    "layers/mesa.py": ["test_mesa_precision.py", "test_mesa.py", "test_mesa_peers.py"],
    "models/transformer.py": TRANSFORMER,
    "models/blocks.py": TRANSFORMER,
    "layers/attention.py": TRANSFORMER,
    "layers/tape.py": TRANSFORMER,
    "models/constructions.py": ["test_constructions.py", "test_copying_layer.py"],
    "analysis/probing.py": ["test_probing.py"],
    "exercises/_comparison.py": ["test_exercise_mistakes.py"],
    "exercises/_outputs.py": ["test_exercise_mistakes.py"],
    "experiments/curves.py": ["test_raw_experiments.py"],
    "experiments/networks.py": ["test_adapted_experiments.py"],
    "experiments/run.py": ["test_adapted_experiments.py", "test_experiments.py"],
    "experiments/judging.py": ["test_adapted_experiments.py", "test_experiments.py"],
}

_OPTIMUM = [
    ("if root.shape[1] < len(covariance):", "if root.shape[1] < 0:"),
    ("if shift == 0:", "if shift < 0:"),
    ("shift = per_n * (np.trace(prior @ covariance) +", "shift = per_n * (np.trace(covariance) +"),
    ("system = (1 + per_n) * prior @ covariance", "system = (1 + per_n) * covariance @ prior"),
    ("w_kq[:-1, :-1] = matrix / scale", "w_kq[:-1, :-1] = matrix"),
    ("scale = math.sqrt(np.linalg.norm", "scale = (np.linalg.norm"),
    ("spread = np.trace(whitened @ whitened)", "spread = np.trace(whitened)"),
    ("* spread + own_axis)", "* spread)"),
    ("np.trace(moment @ covariance) * spread +", "np.trace(covariance) * spread +"),
    ("b_moment = (1 + per_m) * covariance", "b_moment = covariance"),
    ("per_m * label_var * covariance", "label_var * covariance"),
    ("2 * matrix @ query @ prior @ covariance", "2 * matrix @ covariance @ prior @ query"),
    ("return np.linalg.solve(covariance, cross_moment)", "return covariance @ cross_moment"),
    ("sigma @ precision @ precision @ covariance)", "sigma @ precision @ precision)"),
    ("return math.ceil(", "return 1 + math.floor("),
]
_SHIFTS = [
    (
        "preconditioner, test_covariance, n_test, noise",
        "preconditioner, test_covariance, n_train, noise",
    ),
    ("w=w, noise_var=noise_var).total", "w=w, noise_var=noise_var).variance"),
    ("return (d / k - 1) ** 2", "return (1 - k / d) ** 2"),
    ("eigenvalues * (eigenvalues - 1) ** 2)", "(eigenvalues - 1) ** 2)"),
]
_RANDOM = [
    ("per_n * m2 * (m1.sum() - m1)", "per_n * m2 * m1.sum()"),
    ("np.diag(law.xi / law.gamma)", "np.diag(law.gamma / law.xi)"),
    ("12 + 2 * (d - 1)", "12 + 2 * d"),
    ("(1 + per_n) * diagonals.max", "diagonals.max"),
]
_FLOW = [
    ("return flat * residual, np.sum", "return residual, np.sum"),
    ("math.sqrt(2 / (math.sqrt(len(matrix))", "math.sqrt(2 / (len(matrix)"),
    ("@ precision) * np.trace(precision)", "@ precision)"),
    ("rates = u**2 * np.outer(scales * eig", "rates = np.outer(scales * eig"),
]
_LANDSCAPE = [
    ("second = (1 + per_n) * squared", "second = squared"),
    ("return (1 + per_n) * _dot(back", "return _dot(back"),
    ("((v @ lam) * (lam @ v))", "((v @ lam) * (v @ lam))"),
]
_SOLVERS = [
    ("cutoff = max(xs.shape[-2:]) * np.finfo(float).eps", "cutoff = 1e-3"),
    ("system = x_t @ xs + penalty", "system = x_t @ xs / xs.shape[-2] + penalty"),
    ("w = w - step_size / xs.shape[-2] *", "w = w - step_size *"),
    ("[..., :k]", "[..., -k:]"),
]
_SINGLE_LAYER = [
    ("@ w_kq @ tokens / rho", "@ w_kq @ tokens"),
    ("scores = tokens.transpose(-1, -2) @ w_kq @", "scores = tokens.transpose(-1, -2) @ w_kq.T @"),
    ("return tokens + w_pv @ tokens @ scores", "return tokens + w_pv.T @ tokens @ scores"),
    ("z = x_query @ u11.transpose(-1, -2)", "z = x_query @ u11"),
    (
        "own = (x_query @ u12) * (x_query * z).sum(-1)",
        "own = (x_query @ u21) * (x_query * z).sum(-1)",
    ),
    ("sum(-1) + labels + own)", "sum(-1) + labels)"),
    ("sum(-1) + labels + own)", "sum(-1) + own)"),
    ("w_kq[:d, :d] = sigma * gram", "w_kq[:d, :d] = sigma * theta"),
    ("self.w_k.T @ self.w_q", "self.w_k @ self.w_q"),
    (
        "self.u * self.u11 + torch.outer(self.u12, self.u21)",
        "self.u * self.u11 + torch.outer(self.u21, self.u12)",
    ),
]
_CONSTRUCTIONS = [
    ("w_pv[-1, -1] = 1.0", "w_pv[-1, -1] = 2.0"),
    ("w_kq[:d, :d] = preconditioner", "w_kq[:d, :d] = preconditioner.T"),
    ("[cosine.diag(), -sine.diag()]", "[cosine.diag(), sine.diag()]"),
    ("sharpness * step_back(width)", "sharpness * step_back(width).T"),
    ("layer.p[0] = _blocks(n, 4, {(3, 0)", "layer.p[0] = _blocks(n, 4, {(2, 0)"),
]
_DEEP_LINEAR = [
    ("known, residual) / n", "known, residual)"),
    ("labels = labels - torch.einsum", "labels = labels + torch.einsum"),
    (
        "points - points @ covariance @ self.b[layer].T",
        "points - points @ covariance @ self.b[layer]",
    ),
    ("return -labels[..., -1]", "return labels[..., -1]"),
]
_TRANSFORMER = [
    ("stream[:, 0::2]", "stream[:, 1::2]"),
    ("stream.clamp(-clip, clip)", "stream.clamp(-2 * clip, clip)"),
    ("self.positions[: stream.shape[1]]", "self.positions[-stream.shape[1] :]"),
    ('config.positions == "sinusoidal" and index == 0,', 'config.positions == "sinusoidal",'),
    ("unit_keys=config.unit_keys and index > 0,", "unit_keys=config.unit_keys,"),
    ("replaced = copy.deepcopy(self)", "replaced = self"),
    ("self.blocks[:depth]", "self.blocks"),
    ("Tape(frozenset(keep), patch)", "Tape(frozenset(keep))"),
]
_BLOCKS = [
    ("self.attention_norm(stream))", "stream)"),
    ("self.mlp(self.mlp_norm(stream))", "self.mlp(stream)"),
    ('stream = stream + tape("attention"', 'stream = tape("attention"'),
    ('approximate="tanh"', 'approximate="none"'),
    ("module.p.copy_(drawn.transpose(0, 1))", "module.p.copy_(drawn.view_as(module.p))"),
    ("part is readout and init_std is None", "part is readout"),
    ("bias.zero_()", "bias.fill_(0.1)"),
    ("positions.normal_(0.0, std,", "positions.normal_(0.0, std**2,"),
]
_ATTENTION = [
    ("dtype=torch.float64) / half)", "dtype=torch.float64) / width)"),
    ("[angles.sin(), angles.cos()]", "[angles.cos(), angles.sin()]"),
    ("torch.stack([self.w_q, self.w_k])[", "torch.stack([self.w_k, self.w_q])["),
    ("is_causal=True", "is_causal=False"),
    ("normalize(matchers, dim=-1)", "normalize(matchers, dim=-2)"),
    ("columns + bias[:, None]", "columns"),
    ("[self.b_q, self.b_k, self.b_v]", "[self.b_k, self.b_q, self.b_v]"),
    ("if patched or not self.fused:", "if not self.fused:"),
    ("self.w_k.transpose(1, 2) @ self.w_q", "self.w_q.transpose(1, 2) @ self.w_k"),
]
_TAPE = [
    (
        "value = _replaced(name, self.patch[name], value)",
        "_replaced(name, self.patch[name], value)",
    ),
    ("in self.keep or self.replaces(name)", "in self.keep"),
    ("part = copy.copy(self)", "part = self"),
]
_LAYERS_LINEAR = [
    ("(keys.transpose(-1, -2) @ values) / normaliser", "(keys.transpose(-1, -2) @ values)"),
    (
        "causal_mask(scores.shape[-1], scores.device)) @",
        "causal_mask(scores.shape[-1], scores.device).T) @",
    ),
]
_LAYERS_SOFTMAX = [
    ("/ math.sqrt(keys.shape[-1])", "/ keys.shape[-1]"),
    ("device=device).tril()", "device=device).tril(-1)"),
]

_LAYERS_MESA = [
    ("_split(gamma.double(), chunk, 1.0)", "_split(gamma, chunk, 1.0)"),
    ("hits[..., size:].sub_(v)", "hits[..., size:] += v"),
    ("end[..., :size].div_(decay)", "end[..., :size] *= decay"),
    ("(queries, found[..., :size].mT).tril_()", "(queries, found[..., :size].mT).tril_(-1)"),
    ("torch.neg(adjoint, out=signed[..., n_values:])", "signed[..., n_values:] = adjoint"),
    ("sums[i].add_(sums[i + 1])", "sums[i] += 0 * sums[i + 1]"),
    ("traces.sum(0) / lam.square()", "traces.sum(0) / lam"),
]
_RECURSIVE_MESA = [
    (
        "inverse = (inverse - hit @ hit.mT / bend) / scale",
        "inverse = inverse - hit @ hit.mT / bend",
    ),
    ("d_key = before.mT @ d_hit + d_bend * hit", "d_key = before.mT @ d_hit"),
    ("scores * decay_mask(gamma)", "scores * decay_mask(gamma).sign()"),
]
_DYNAMICS = [
    ("states[:, :-stride] @ power", "states[:, :-stride] @ power.mT"),
    ("power if stride == 1 else power @ power", "power"),
    ("return self.first_scale * (2 * torch.rand(", "return self.first_scale * (1 * torch.rand("),
    ("rates = 0.3 + 0.6 * torch.rand", "rates = 0.1 + 0.6 * torch.rand"),
    ("basis * rates.unsqueeze(-2), left=False", "basis * rates.unsqueeze(-1), left=False"),
]
_COMPRESSED = [
    ("dim1=-3, dim2=-1).mean(-1)  # blocks", "dim1=-3, dim2=-1).sum(-1)  # blocks"),
    ('"lhov,lhkq->lovkq"', '"lhov,lhkq->lovqk"'),
    ("torch.lerp(full, expand(part, n), share)", "torch.lerp(expand(part, n), full, share)"),
    ('"hwr,btrn->bhtwn", key_query', '"hrw,btrn->bhtwn", key_query'),
]
_LEARNED_INVERSE = [
    ("y = y - alpha * (system @", "y = y + alpha * (system @"),
    ("beta * (x - before), x", "beta * (x + before), x"),
]
_THEORY_SEQUENCES = [
    ("/ np.where(size > 0, size, 1.0)", "/ np.where(size > 0, size + 1e-6, 1.0)"),
]

_COMPARISON = [
    ("if all(fits):", "if any(fits):"),
    ("first = fits.index(False)", "first = fits.index(False) + 1"),
    ("given = copy.deepcopy(case)", "given = case"),
]
_OUTPUTS = [
    ("if [part.shape for part in got] != [part.shape for part in expected]:", "if False:"),
    ('return "it has the opposite sign on every input."', "pass"),
    ("if largest < 0.01:", "if largest < 0.0:"),
    ("if not np.isfinite(array).all():", "if False:"),
]

_BY_FILE = {
    "theory/optimum.py": _OPTIMUM,
    "theory/shifts.py": _SHIFTS,
    "theory/random_covariance.py": _RANDOM,
    "theory/gradient_flow.py": _FLOW,
    "theory/landscape.py": _LANDSCAPE,
    "theory/solvers.py": _SOLVERS,
    "models/single_layer.py": _SINGLE_LAYER,
    "models/constructions.py": _CONSTRUCTIONS,
    "models/deep_linear.py": _DEEP_LINEAR,
    "models/transformer.py": _TRANSFORMER,
    "models/blocks.py": _BLOCKS,
    "layers/attention.py": _ATTENTION,
    "layers/tape.py": _TAPE,
    "layers/linear.py": _LAYERS_LINEAR,
    "layers/softmax.py": _LAYERS_SOFTMAX,
    "layers/mesa.py": _LAYERS_MESA,
    "layers/recursive_mesa.py": _RECURSIVE_MESA,
    "tasks/dynamics.py": _DYNAMICS,
    "models/compressed.py": _COMPRESSED,
    "models/learned_inverse.py": _LEARNED_INVERSE,
    "theory/sequences.py": _THEORY_SEQUENCES,
    "exercises/_comparison.py": _COMPARISON,
    "exercises/_outputs.py": _OUTPUTS,
    **RAW_ELEMENTS,
}
MUTATIONS = [(file, *pair) for file, pairs in _BY_FILE.items() for pair in pairs]


def tests_of(file: str) -> list[str]:
    """Return the unit test files for a file of icl_lib: listed above, or those that import it."""
    if file in TESTS:
        return TESTS[file]
    folder, module = file.removesuffix(".py").split("/")
    pattern = re.compile(rf"from icl_lib\.{folder}(\.{module} import| import .*\b{module}\b)")
    paths = sorted(UNIT.glob("test_*.py"))
    return [path.name for path in paths if pattern.search(path.read_text(encoding="utf-8"))]
