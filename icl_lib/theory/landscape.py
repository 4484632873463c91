"""The exact loss over all (d+1)^2 effective parameters, beyond the slice u_12 = u_21 = 0.

The parameters are ``u11`` (d, d), ``u12`` (d,), ``u21`` (d,), ``u`` (a number): the first d columns
of the key-query matrix hold u11 over u21^T, the last row of the value-projection holds (u12^T, u).
Off the slice the loss has spurious minima; the paper's gradient flow starts in the slice.
"""

from __future__ import annotations

import numpy as np

from icl_lib import _checks
from icl_lib.theory import _inputs


def population_loss(u11, u12, u21, u, covariance, n_train, *, check=True):
    """Return the loss L (...) for u11 (..., d, d), u12 (..., d), u21 (..., d) and u (...).

    Tasks are w ~ N(0, I), inputs x ~ N(0, Lambda), prompts of N = ``n_train`` examples.
    Only array operators and sums are used: torch tensors of one floating dtype pass through and
    keep their gradient (then u11, u12, u21, u and covariance must all be tensors). The prediction
    splits into a part odd in w, with preconditioner ``A = u U_11 + u_12 u_21^T``, and an even part
    g that only adds error:
    ``2L = tr(Lambda - 2 Lambda A Lambda + A^T Lambda Gamma A Lambda) + E g^2``.
    Source: derived; in the slice it is Zhang et al. 2024, eq. (5.5) plus tr(Lambda)/2.
    Convention: with the 1/2; the query column is part of E E^T, as in the paper.
    Raises ``ValueError`` where an argument is not finite, the shapes do not fit or the covariance
    is not positive definite; ``check=False`` leaves that out, as ``torch.func`` transforms and
    tight loops need it.

    >>> zero = np.zeros(3)
    >>> float(population_loss(0.5 * np.eye(3), zero, zero, 1.0, np.eye(3), 4))
    0.75
    """
    if _checks.flag("check", check):
        u11, u12, u21, u, covariance = _checked(u11, u12, u21, u, covariance)
    u = np.asarray(u) if isinstance(u, float | int) else u
    per_n = _inputs.inverse_length("n_train", n_train)
    squared = covariance @ covariance
    second = (1 + per_n) * squared + per_n * _trace(covariance) * covariance  # Lambda Gamma
    matrix = u[..., None, None] * u11 + u12[..., :, None] * u21[..., None, :]
    odd = (matrix * (second @ matrix @ covariance - 2 * squared)).sum((-2, -1))
    even = _even_part(u11, u12, u21, u, covariance, per_n)
    return (_trace(covariance) + odd + even) / 2


def _even_part(v, p, r, u, lam, per_n):
    """E g^2, where g = p^T Lhat V x + (p^T x)(x^T V x)/N + u (w^T Lhat w)(r^T x)."""
    image = p @ lam  # Lambda p; shared, since gradient descent comes here thousands of times
    back = _apply(v.mT, image)  # V^T Lambda p
    label = u * _label_moments(image, r, u, v, lam, per_n)
    prompt = _prompt_square(p, image, back, v, lam, per_n)
    return prompt + label + _query_terms(p, image, back, r, u, v, lam, per_n)


def _prompt_square(p, image, back, v, lam, per_n):
    """E (p^T Lhat V x)^2."""
    spread = ((v @ lam) * (lam @ v)).sum((-2, -1))
    return (1 + per_n) * _dot(back, back @ lam) + per_n * spread * _dot(p, image)


def _label_moments(image, r, u, v, lam, per_n):
    """The terms of E g^2 with w^T Lhat w, divided by u: product with p^T Lhat V x, and square."""
    trace, squares = _trace(lam), (lam * lam).sum()
    mixed = trace * image + 2 * per_n * image @ lam
    fourth = trace**2 + 2 * per_n * squares + 2 * ((1 + per_n) * squares + per_n * trace**2)
    weighted = r @ lam
    return 2 * _dot(mixed, _apply(v, weighted)) + u * fourth * _dot(r, weighted)


def _query_terms(p, image, back, r, u, v, lam, per_n):
    """The terms of E g^2 with (p^T x)(x^T V x)/N: its product with a linear form, its square."""
    once = (v + v.mT) / 2 @ lam  # S Lambda
    linear = back + u[..., None] * _trace(lam) * r
    t1, t2 = _trace(once), (once * once.mT).sum((-2, -1))
    bent = _apply(once, p)  # S Lambda p
    a, q1, q2 = _dot(p, image), _dot(image, bent), _dot(image, _apply(once, bent))
    cross = _dot(linear, image) * t1 + 2 * _dot(linear, bent @ lam)
    square = a * (t1**2 + 2 * t2) + 4 * q1 * t1 + 8 * q2
    return 2 * per_n * cross + per_n**2 * square


def _apply(matrix, vector):
    return (matrix @ vector[..., None])[..., 0]


def _dot(a, b):
    return (a * b).sum(-1)


def _trace(matrix):
    return matrix.diagonal(0, -2, -1).sum(-1)


def _checked(u11, u12, u21, u, covariance) -> tuple:
    """The five arguments: NumPy arrays as float64, torch tensors as they came."""
    given = {"u11": u11, "u12": u12, "u21": u21, "u": u, "covariance": covariance}
    if any(hasattr(value, "detach") for value in given.values()):
        plain = {name: _plain(name, value, covariance) for name, value in given.items()}
    else:
        plain = given = {name: _checks.finite_array(name, value) for name, value in given.items()}
    d = len(_checks.covariance_matrix("covariance", plain["covariance"]))
    leading = plain["u"].shape
    for name, own in (("u11", (d, d)), ("u12", (d,)), ("u21", (d,))):
        shape = plain[name].shape
        if shape[-len(own) :] != own:
            raise ValueError(f"{name} must have shape (..., {str(own)[1:]}, got shape {shape}")
        try:
            leading = np.broadcast_shapes(leading, shape[: -len(own)])
        except ValueError:
            raise ValueError(
                f"{name} must have leading axes that fit the others, {leading}, got shape {shape}"
            ) from None
    return tuple(given.values())


def _plain(name: str, value, covariance) -> np.ndarray:
    """A tensor among tensors as an array, to be checked and no more."""
    if not hasattr(value, "detach") or value.dtype != getattr(covariance, "dtype", value.dtype):
        raise ValueError(
            f"{name} must be a torch tensor of the dtype of covariance where any argument is one, "
            f"got {_checks.shown(value)}"
        )
    array = _checks.finite_array(name, value.detach().cpu())
    if not value.dtype.is_floating_point:
        raise ValueError(f"{name} must hold floating-point numbers, got {value.dtype}")
    return array
