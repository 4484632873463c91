"""The attention layer of every transformer in the book: linear, softmax or mesa, many heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from icl_lib._tensor_checks import check_shape, flag, one_of, real_dtype, real_tensors, size
from icl_lib.layers.linear import multi_head_linear_attention
from icl_lib.layers.mesa import mesa_attention
from icl_lib.layers.softmax import attention_scores, causal_softmax
from icl_lib.layers.tape import Tape, check_tape

KINDS = ("linear", "softmax", "mesa")


def sinusoidal_positions(length: int, width: int, dtype=torch.float32) -> Tensor:
    """Return the positional encoding (T, width): sines, then cosines, of geometric frequencies.

    Source: Vaswani et al. 2017, Section 3.5, with t = 0 for the first position.
    Convention: all sines come first; the original interleaves them, a permutation of coordinates.

    Raises
    ------
    ValueError
        If a size is not a positive integer or ``dtype`` is neither float32 nor float64.

    Examples
    --------
    >>> sinusoidal_positions(2, 2)
    tensor([[0.0000, 1.0000],
            [0.8415, 0.5403]])
    """
    length, width, dtype = size("length", length), size("width", width), real_dtype(dtype)
    half = (width + 1) // 2
    rates = 10_000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width].to(dtype)


class AttentionLayer(nn.Module):
    """One multi-head attention layer: sum over heads of P_h applied to the head's output.

    Source: Vaswani et al. 2017, Section 3.2; von Oswald et al. 2023, the definition of a
    self-attention layer. ``w_q``, ``w_k``, ``w_v`` (H, n_a, width) and ``p`` (H, width, n_a) act on
    column vectors, as in the latter. The weights are empty until somebody fills them.

    Parameters
    ----------
    kind : "linear", "softmax" (scores over sqrt(n_a)) or "mesa"; a mesa layer has ``log_lambda``
        (H,) too: lambda = exp(log_lambda) is positive whatever the optimiser does
    width, heads, key_size : of a token, their number H, n_a of a head
    positions : whether queries and keys see the position's sinusoidal code below the token: their
        matrices are then (H, n_a, 2 width), while values see the token alone
    unit_keys : whether queries and keys are divided by their Euclidean norm
    biases : whether queries, keys, values (``b_q``, ``b_k``, ``b_v`` (H, n_a)) and the output
        (``b_p`` (width,)) have one
    fused : whether softmax runs in PyTorch's fused kernel, three times faster than the formula of
        :func:`icl_lib.layers.softmax.softmax_attention` on 224 tokens and equal up to rounding

    Raises
    ------
    ValueError
        If ``kind`` is unknown, a size is not a positive integer or an option not True or False.
    """

    w_q: nn.Parameter
    w_k: nn.Parameter
    w_v: nn.Parameter
    b_q: nn.Parameter
    b_k: nn.Parameter
    b_v: nn.Parameter

    def __init__(
        self,
        kind: str,
        width: int,
        heads: int,
        key_size: int,
        *,
        positions: bool = False,
        unit_keys: bool = False,
        biases: bool = False,
        fused: bool = True,
    ):
        super().__init__()
        self.kind = one_of("kind", kind, KINDS)
        size("width", width)
        size("heads", heads)
        size("key_size", key_size)
        self.positions, self.unit_keys = flag("positions", positions), flag("unit_keys", unit_keys)
        self.biases, self.fused = flag("biases", biases), flag("fused", fused)
        for name in "qkv":
            seen = 2 * width if positions and name != "v" else width
            setattr(self, f"w_{name}", nn.Parameter(torch.empty(heads, key_size, seen)))
        for name in "qkv" if biases else "":
            setattr(self, f"b_{name}", nn.Parameter(torch.empty(heads, key_size)))
        self.p = nn.Parameter(torch.empty(heads, width, key_size))
        self.b_p = nn.Parameter(torch.empty(width)) if biases else None
        if kind == "mesa":
            self.log_lambda = nn.Parameter(torch.zeros(heads))

    def forward(self, tokens: Tensor, tape: Tape | None = None) -> Tensor:
        """Return the layer's update (B, T, width) for tokens (B, T, width).

        ``tape`` sees "heads", each head's output (B, T, H, n_a) before P_h, and of softmax layers
        "scores" (B, H, T, T), before the mask, and "weights", whose rows sum to one. A row belongs
        to the token that attends.

        Raises
        ------
        ValueError
            If the shape or the dtype does not fit (see :mod:`icl_lib.layers` on precision).
        """
        tape = check_tape(tape)
        projections = self.project(tokens)
        if self.kind == "linear":
            mixed = multi_head_linear_attention(projections)
        else:
            queries, keys, values = projections.permute(2, 0, 3, 1, 4).unbind()  # (B, H, T, n_a)
            if self.kind == "softmax":
                mixed = self._softmax(queries, keys, values, tape)
            else:
                mixed = mesa_attention(queries, keys, values, self.log_lambda.exp())
            mixed = mixed.transpose(1, 2).flatten(2)
        mixed = tape("heads", mixed.unflatten(-1, self.w_v.shape[:2])).flatten(-2)
        return F.linear(mixed, self.p.transpose(0, 1).flatten(1), self.b_p)  # (width, H n_a)

    def project(self, tokens: Tensor) -> Tensor:
        """Return queries, keys and values (B, T, 3, H, n_a) of tokens (B, T, width).

        A token's code enters as W (token, code) = W_token token + W_code code, the same for all B.
        """
        _, tokens = real_tensors(weights=self.w_v, tokens=tokens)
        width = self.w_v.shape[-1]
        check_shape("tokens", tokens, "B", "T", width)
        weights = torch.cat([self.w_q[..., :width], self.w_k[..., :width], self.w_v]).flatten(0, 1)
        bias = torch.cat([self.b_q, self.b_k, self.b_v]).flatten() if self.biases else None
        parts = (3, *self.w_v.shape[:2])
        if self.kind == "linear":
            columns = weights @ tokens.flatten(0, 1).T  # what linear heads read fastest
            columns = columns if bias is None else columns + bias[:, None]
            projected = columns.view(*parts, *tokens.shape[:2]).permute(3, 4, 0, 1, 2)
        else:
            projected = F.linear(tokens, weights, bias).unflatten(-1, parts)
        return self._matched(projected, tokens) if self.positions or self.unit_keys else projected

    def _matched(self, projected: Tensor, tokens: Tensor) -> Tensor:
        """Return the projections with codes added to queries and keys, and their length set."""
        matchers, values = projected[:, :, :2], projected[:, :, 2:]
        if self.positions:
            length, width = tokens.shape[1:]
            codes = sinusoidal_positions(length, width, tokens.dtype).to(tokens.device)
            w_code = torch.stack([self.w_q, self.w_k])[..., width:]  # (2, H, n_a, width)
            matchers = matchers + torch.einsum("jhaw,tw->tjha", w_code, codes)
        if self.unit_keys:
            matchers = F.normalize(matchers, dim=-1)
        return torch.cat([matchers, values], dim=2)

    def _softmax(self, queries: Tensor, keys: Tensor, values: Tensor, tape: Tape) -> Tensor:
        """Return the heads' outputs (B, H, T, n_a); scores and weights only for who wants them."""
        patched = any(tape.replaces(name) for name in ("scores", "weights"))
        if tape.wants("scores") or tape.wants("weights") or not self.fused:
            scores = tape("scores", attention_scores(queries, keys))
            weights = tape("weights", causal_softmax(scores))
        if patched or not self.fused:
            return weights @ values
        # also where the weights are only looked at: looking must not change the result's last bits
        return F.scaled_dot_product_attention(queries, keys, values, is_causal=True)

    def products(self) -> tuple[Tensor, Tensor]:
        """Return A = W_k^T W_q and B = P W_v, (H, width, width) each.

        The function of a linear layer without biases depends on its weights through these alone.
        """
        return self.w_k.transpose(1, 2) @ self.w_q, self.p @ self.w_v
