"""A GPT-style softmax transformer that reads x and y as separate tokens.

Source: the architecture of Garg et al. 2022, Section 3 (a GPT-2 decoder with a linear read-in and
a scalar read-out), which Zhang et al. 2024, Section 4.3 and Appendix E, train for their Figure 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from icl_lib._tensor_checks import check_generator, check_shape, instance, real_tensors, size
from icl_lib.layers.softmax import SoftmaxAttention
from icl_lib.tasks.tokens import interleave


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of an :class:`InContextTransformer`.

    ``max_points`` is the largest number of inputs in a prompt, the query included: the model has
    a learned position embedding for each of its 2 * max_points - 1 tokens.

    Raises
    ------
    ValueError
        If a size is not a positive integer, or ``heads`` do not divide ``width``.
    """

    d: int
    width: int = 64
    layers: int = 3
    heads: int = 2
    max_points: int = 51

    def __post_init__(self):
        for name in ("d", "width", "layers", "heads", "max_points"):
            size(name, getattr(self, name))
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads = {self.heads}, got {self.width}")


class Block(nn.Module):
    """Pre-norm transformer block on tokens (B, T, width): attention, then an MLP.

    ReLU stands where GPT-2 has GELU: on one CPU thread a training step is a sixth faster.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        width, heads = size("width", width), size("heads", heads)
        self.norm_attention = nn.LayerNorm(width)
        self.attention = SoftmaxAttention(width, heads)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T, width) to tokens of the same shape."""
        _, tokens = real_tensors(weights=self.norm_mlp.weight, tokens=tokens)
        check_shape("tokens", tokens, "B", "T", *self.norm_mlp.normalized_shape)
        tokens = tokens + self.attention(self.norm_attention(tokens))
        return tokens + self.mlp(self.norm_mlp(tokens))


class InContextTransformer(nn.Module):
    """Predict every y_i of a prompt from x_1, y_1, ..., x_{i-1}, y_{i-1}, x_i.

    Source: Garg et al. 2022, Section 3. Linear layers start uniform on +-1/sqrt(fan-in), positions
    N(0, 0.3^2), drawn from ``generator`` or, where that is None, from torch's global generator: at
    this small scale GPT-2's N(0, 0.02^2) sits on the first plateau of the loss for
    most of the training that one CPU core can afford.
    """

    def __init__(self, config: TransformerConfig, generator: torch.Generator | None = None):
        super().__init__()
        instance("config", config, TransformerConfig), check_generator(generator, optional=True)
        self.config = config
        self.read_in = nn.Linear(config.d, config.width)
        self.positions = nn.Embedding(2 * config.max_points - 1, config.width)
        self.blocks = nn.ModuleList(Block(config.width, config.heads) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.read_out = nn.Linear(config.width, 1)
        self._initialise(generator)

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator | None) -> None:
        """Draw the weights from ``generator`` alone; LayerNorms keep their identity start."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                bound = module.in_features**-0.5
                module.weight.uniform_(-bound, bound, generator=generator)
                module.bias.uniform_(-bound, bound, generator=generator)
        self.positions.weight.normal_(0.0, 0.3, generator=generator)

    def forward(self, xs: Tensor, ys: Tensor) -> Tensor:
        """Return predictions (B, n): entry i is the prediction of y_i from the first i pairs.

        Parameters
        ----------
        xs : (B, n, d) inputs, the query last
        ys : (B, n-1) or (B, n) labels; the last label is never read

        Raises
        ------
        ValueError
            If the shapes do not fit or the prompt is longer than the position table.
        """
        _, xs, ys = real_tensors(weights=self.read_in.weight, xs=xs, ys=ys)
        check_shape("xs", xs, "B", "n", self.config.d)
        if xs.shape[1] > self.config.max_points:
            raise ValueError(
                f"xs must hold at most max_points = {self.config.max_points} inputs, "
                f"got {xs.shape[1]}"
            )
        tokens = interleave(xs, ys)  # (B, 2n-1, d)
        stream = self.read_in(tokens) + self.positions.weight[: tokens.shape[1]]
        for block in self.blocks:
            stream = block(stream)
        return self.read_out(self.norm(stream[:, 0::2])).squeeze(-1)

    def predict_query(self, xs: Tensor, ys: Tensor, x_query: Tensor) -> Tensor:
        """Return the prediction (B,) for ``x_query`` (B, d) after n examples xs, ys."""
        _, xs, ys, x_query = real_tensors(
            weights=self.read_in.weight, xs=xs, ys=ys, x_query=x_query
        )
        check_shape("xs", xs, "B", "n", self.config.d)
        check_shape("ys", ys, *xs.shape[:2])
        check_shape("x_query", x_query, xs.shape[0], xs.shape[2])
        return self(torch.cat([xs, x_query.unsqueeze(1)], dim=1), ys)[:, -1]
