"""What the mesa-layer is compared with: three other ways to compute the same outputs."""

from __future__ import annotations

import importlib.util
from importlib.metadata import PackageNotFoundError, distribution

import torch
from torch import Tensor

from icl_lib.layers.mesa import mesa_attention, recursive_mesa

NAIVE_FILE = "fla/ops/mesa_net/naive.py"


def direct(queries: Tensor, keys: Tensor, values: Tensor, lam: Tensor) -> Tensor:
    """Return the outputs from all H_t at once: a running sum, then one batched solve."""
    outer = keys.unsqueeze(-1) * keys.unsqueeze(-2)
    ridge = torch.eye(keys.shape[-1], dtype=keys.dtype) / lam[:, None, None, None]
    solved = torch.linalg.solve(outer.cumsum(-3) + ridge, queries.unsqueeze(-1)).squeeze(-1)
    return (solved @ keys.mT).tril() @ values


def load_naive():
    """Return flash-linear-attention's ``naive_mesa_net_exact`` with our arguments, or None.

    The file is loaded by its path: importing the package needs a GPU compiler.
    """
    try:
        file = next(f for f in distribution("fla-core").files if str(f) == NAIVE_FILE)
    except (PackageNotFoundError, StopIteration):
        return None
    spec = importlib.util.spec_from_file_location("fla_mesa_net_naive", file.locate())
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def naive(queries: Tensor, keys: Tensor, values: Tensor, lam: Tensor) -> Tensor:
        q, k, v = (part.transpose(1, 2) for part in (queries, keys, values))
        ridge = (1 / lam).unsqueeze(-1).expand(-1, keys.shape[-1])
        none = torch.zeros(q.shape[:-1])  # log gamma = 0
        return module.naive_mesa_net_exact(q, k, v, none, ridge, none + 1)[0].transpose(1, 2)

    return naive


def rivals() -> dict:
    """Return the forms by name, ours first."""
    forms = {"ours": mesa_attention, "direct": direct, "scan": recursive_mesa}
    naive = load_naive()
    return forms if naive is None else {**forms, "naive": naive}


def peak_bytes(form: str, rows: int, length: int, size: int) -> float:
    """Return about how many bytes a form holds at its peak, float32: what skips it."""
    states, scores = rows * length * size**2, rows * length**2
    return (
        4.0
        * {
            "ours": 12 * rows * length * size,
            "naive": 6 * states,  # both sums, the factors, a product, and gradients
            "direct": 4 * states + 3 * scores,
            "scan": 5 * scores,
        }[form]
    )


GROWTH = {"naive": 16, "direct": 6, "scan": 5}  # of the time, from T to 4 T, at most
