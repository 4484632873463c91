"""Runs on top of a trained model that stays fixed: prompts and linear imitations of layers.

Source: von Oswald et al. 2023, Figures 5, 8 and 18; for Chapters 15 and 16.
"""

from __future__ import annotations

from typing import cast

from icl_lib.experiments.catalogue import elements
from icl_lib.experiments.data import FewShotPrompts
from icl_lib.experiments.judging import HalfSquaredError, LayerDistances
from icl_lib.experiments.networks import PromptConfig, TwinsConfig
from icl_lib.experiments.run import Published, Run
from icl_lib.models.config import TransformerConfig
from icl_lib.training import TrainConfig

PAIRS = 40  # labelled pairs in a prompt while it is tuned
PREFIX = 20
ZERO_LOSS = 10 / 6  # 1/2 n / 3 for n = 10 inputs uniform on [-1, 1]

PUBLISHED_EOS = Published(
    "von Oswald et al. 2023, Figure 8",
    steps=5000,
    batch=64,
    lr=1e-3,
    note="Adam; batch 64 in the code and 256 in the text",
)
PUBLISHED_PREFIX = Published(
    "von Oswald et al. 2023, Figure 8", steps=5000, batch=128, lr=1e-3, note="20 vectors, Adam"
)
PUBLISHED_TWINS = Published(
    "von Oswald et al. 2023, Figures 5 and 19",
    steps=15000,
    lr=1e-3,
    schedule="constant",
    note="AdamW",
)
BASES = {run.family: run for run, _ in elements.FAMILIES}


def prompt(name: str, base: Run, steps: int, prefix: int = 0, eos: Run | None = None) -> Run:
    """Return a run that tunes an EOS vector, or ``prefix`` vectors with the EOS of the run ``eos``.

    Both come before the frozen model of the run ``base``.
    """
    return Run(
        name=f"{name}-s0",
        task=FewShotPrompts(),
        model=PromptConfig(prefix=prefix, fixed_eos=eos is not None),
        training=TrainConfig(steps=steps, lr=1e-2, warmup=50, clip_norm=1.0, log_every=50),
        evaluation=HalfSquaredError(examples=1024),
        seed=0,
        published=PUBLISHED_EOS if eos is None else PUBLISHED_PREFIX,
        batch=16,
        length=PAIRS,
        known_zero_loss=ZERO_LOSS,
        below=(base,) if eos is None else (base, eos),
    )


def twins(name: str, base: Run, steps: int) -> Run:
    """Return a run that distils every softmax layer of ``base`` into a linear one, all at once."""
    original = cast(TransformerConfig, base.model)
    return Run(
        name=f"{name}-s0",
        task=base.task,
        model=TwinsConfig(original),
        training=TrainConfig(steps=steps, lr=3e-3, warmup=200, clip_norm=1.0, log_every=100),
        evaluation=LayerDistances(),
        seed=0,
        published=PUBLISHED_TWINS,
        batch=32,
        length=base.length,
        known_zero_loss=float(len(original.layers)),  # linear layers that write nothing: 1 each
        below=(base,),
    )


EOS = {kind: prompt(f"eos-{kind}", BASES[f"long-{kind}"], 1000) for kind in ("hybrid", "softmax7")}

# one run a family, with the number of seeds that are trained
FAMILIES = [
    *((run, 1) for run in EOS.values()),
    *(
        (prompt(f"prefix-{kind}", BASES[f"long-{kind}"], 1000, prefix=PREFIX, eos=eos), 1)
        for kind, eos in EOS.items()
    ),
    (twins("twins-n4", BASES["softmax7-n4"], 3000), 1),
    (twins("twins-n10", BASES["softmax7"], 3000), 1),
    (twins("twins2-n20", BASES["softmax2-n20"], 3000), 1),
]
