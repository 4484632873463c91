"""GPT-style models on linear-regression prompts, for Chapters 1, 7 and 8.

Trained on prompts with a fixed covariance (the identity) or with a random one (diagonal, Exp(1)
entries), with N examples. Source: Zhang et al. 2024, Section 4.3 and Appendix E, at a scale that
one CPU core can train: d = 5 instead of 20 with N/d near the paper's 2, 3.5 and 5 (N = 10, 18, 25),
3 layers instead of 12, width 64 instead of 256, 5 000 steps instead of 500 000.
"""

from __future__ import annotations

from icl_lib.experiments.data import RegressionPrompts
from icl_lib.experiments.judging import NormalisedError
from icl_lib.experiments.run import Published, Run
from icl_lib.models.config import TransformerConfig
from icl_lib.training import TrainConfig

TRAINING = TrainConfig(steps=5000, lr=1e-3, warmup=400, clip_norm=3.0, log_every=200)
PUBLISHED = Published(
    "Zhang et al. 2024, Section 4.3 and Appendix E",
    steps=500_000,
    note="d = 20, N = 40, 70 or 100, 12 layers, width 256, 8 heads",
)


def gpt(d: int, covariance: str, n_train: int, max_points: int) -> Run:
    """Return the first seed of a family, with N = ``n_train`` examples before the query."""
    return Run(
        name=f"gpt-d{d}-{covariance}-n{n_train}-s0",
        task=RegressionPrompts(d, covariance),
        model=TransformerConfig.gpt(d, max_points=max_points),
        training=TRAINING,
        evaluation=NormalisedError(power=float(d)),
        seed=0,
        published=PUBLISHED,
        length=n_train,
        known_zero_loss=float(d),  # E y^2 = d for both laws
    )


# one run a family, with the number of seeds that are trained
FAMILIES = [
    (gpt(5, "fixed", 10, 51), 3),
    (gpt(5, "fixed", 18, 51), 3),
    (gpt(5, "fixed", 25, 51), 3),
    (gpt(5, "random", 10, 51), 3),
    (gpt(5, "random", 18, 51), 3),
    (gpt(5, "random", 25, 51), 2),
    (gpt(8, "fixed", 20, 33), 3),
]
