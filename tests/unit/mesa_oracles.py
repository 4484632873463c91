"""Independent references for the tests of the mesa-layer: every prefix is solved on its own."""

from __future__ import annotations

import importlib.util
from importlib.metadata import distribution
from math import prod

import numpy as np
import scipy.linalg
import torch

F64 = torch.float64


def example(batch=(), length=7, d=3, d_v=2, seed=0, dtype=F64):
    """Return queries, keys, values and forgetting factors between 0.6 and 1."""
    generator = torch.Generator().manual_seed(seed)
    sizes = (d, d, d_v)
    q, k, v = (torch.randn(*batch, length, s, generator=generator, dtype=F64) for s in sizes)
    gamma = 0.6 + 0.4 * torch.rand(*batch, length, generator=generator, dtype=F64)
    return [part.to(dtype) for part in (q, k, v, gamma)]


def by_cho_solve(q, k, v, lam, gamma=None):
    """One sequence in NumPy: a weighted ridge regression a prefix, solved with ``cho_solve``."""
    q, k, v = (np.asarray(part, dtype=float) for part in (q, k, v))
    length, d = k.shape
    gamma = np.ones(length) if gamma is None else np.asarray(gamma, dtype=float)
    outputs = []
    for t in range(length):
        weights = np.array([prod(gamma[s + 1 : t + 1]) for s in range(t + 1)])
        system = (k[: t + 1].T * weights) @ k[: t + 1] + prod(gamma[: t + 1]) / lam * np.eye(d)
        cross = (v[: t + 1].T * weights) @ k[: t + 1]
        outputs.append(cross @ scipy.linalg.cho_solve(scipy.linalg.cho_factor(system), q[t]))
    return np.array(outputs)


def by_autograd(q, k, v, lam, gamma=None):
    """The same (..., T, d_v) in torch, through ``torch.linalg.cholesky``, to be differentiated."""
    lam = torch.as_tensor(lam, dtype=k.dtype)[..., None, None]
    system = torch.eye(k.shape[-1], dtype=k.dtype) / lam
    cross = 0.0
    outputs = []
    for t in range(k.shape[-2]):
        decay = 1.0 if gamma is None else gamma[..., t, None, None]
        system = decay * system + k[..., t, :, None] * k[..., t, None, :]
        cross = decay * cross + v[..., t, :, None] * k[..., t, None, :]
        solved = torch.cholesky_solve(q[..., t, :, None], torch.linalg.cholesky(system))
        outputs.append((cross @ solved)[..., 0])
    return torch.stack(outputs, dim=-2)


def gradients(function, *inputs):
    """Return the output and the gradients of a fixed weighted sum of it."""
    leaves = [torch.as_tensor(x).clone().requires_grad_() for x in inputs]
    output = function(*leaves)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(5), dtype=F64)
    return output.detach(), torch.autograd.grad((output * weights).sum(), leaves)


def relative_error(got, expected) -> float:
    """Return the largest deviation over the largest entry."""
    return float((got - expected).abs().max() / expected.abs().max())


def fla_reference():
    """Return fla's plain-torch MesaNet functions from the installed file; fla is not imported."""
    name = "fla/ops/mesa_net/naive.py"
    file = next(file for file in distribution("fla-core").files if str(file) == name)
    spec = importlib.util.spec_from_file_location("fla_mesa_net_naive", file.locate())
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
