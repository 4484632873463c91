"""Named runs of Part 3: attention stacks and learned iterations on random dynamical systems.

Source: von Oswald et al. 2023, Tables 1-3 and released settings; ``PAPER_SETTINGS`` holds the
published settings beside which ours are smaller (one CPU thread for a few minutes a run).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from icl_lib._checks import positive_int
from icl_lib.models.compressed import (
    CompressedModel,
    ProductModel,
    interpolate,
    products,
    read_off,
)
from icl_lib.models.config import TransformerConfig
from icl_lib.models.learned_inverse import LearnedInverse
from icl_lib.models.transformer import Transformer
from icl_lib.tasks.dynamics import ContractingDynamics, FixedTeacher, LinearDynamics
from icl_lib.tasks.randomness import generators, weights_generator
from icl_lib.training import TrainConfig

EVALUATION_SEED = 1_000_003  # no training seed: evaluation sequences are never trained on
EVALUATION_SEQUENCES = 2048
CURVE_SEQUENCES = 512
LENGTH = 50
TASKS = {"linear": LinearDynamics, "contracting": ContractingDynamics, "fixed": FixedTeacher}

PAPER_SETTINGS = {
    "lsa1": "batch 256, lr 1e-4 constant, weight decay 0.1, init std 2e-4, 5000 steps",
    "lsa2": "batch 256, lr 1e-4 constant, weight decay 0.1, init std 2e-4, 5000 steps",
    "lsa4": "batch 256, lr 1e-4 constant, weight decay 0.1, init std 2e-4, 10000 steps",
    "lsa6": "batch 256 (512 for compression), lr 1e-4 constant, weight decay 0.1, init std 2e-4, "
    "15000 steps",
    "mesa1": "batch 256, lr 4e-4 constant, weight decay 0.1, init std 2e-4, 5000 steps",
    "chebyshev": "batch 256, AdamW with peak lr 3e-4, 20000 steps",
}


@dataclass(frozen=True)
class SequenceExperiment:
    """One run: a model trained to predict the next state of random dynamical systems.

    ``task`` is "linear", "contracting" or "fixed"; ``model`` is the stack of layers, or the number
    of steps of a :class:`LearnedInverse`. ``snapshots`` lists the steps whose weights are judged
    afterwards, for the curves of interpolation and compression.
    """

    name: str
    task: str
    model: TransformerConfig | int
    training: TrainConfig
    seed: int
    batch: int = 64
    length: int = LENGTH
    snapshots: tuple[int, ...] = ()

    metric = "loss"
    below = ()  # the runs whose checkpoints this one is trained on
    tasks = tuple(TASKS)

    def __post_init__(self):
        if self.task not in self.tasks:
            raise ValueError(f"task must be one of {self.tasks}, got {self.task!r}")
        positive_int("seed", self.seed, minimum=0)
        positive_int("batch", self.batch)
        positive_int("length", self.length)

    @property
    def family(self) -> str:
        """The name without its seed."""
        return self.name.rsplit("-s", 1)[0]

    @property
    def paper(self) -> str:
        """The published settings of this kind of run, in words."""
        kind = self.family.removeprefix("contracting-").removeprefix("fixed-")
        return next(text for key, text in PAPER_SETTINGS.items() if kind.startswith(key))

    @cached_property
    def dynamics(self) -> LinearDynamics:
        """The task whose sequences are learned."""
        return TASKS[self.task]()

    def build_model(self) -> nn.Module:
        """Return the untrained model; its initial weights depend on the seed alone."""
        if isinstance(self.model, int):
            return LearnedInverse(self.model)
        return Transformer(self.model, weights_generator(self.seed))

    def loss_at(self, model: nn.Module, step: int) -> Tensor:
        """Return the training loss of one step.

        Convention: half the squared error, summed over coordinates, averaged over sequences and
        positions (von Oswald et al. 2023, training objective; the released code's scaling).
        """
        sequences = self.dynamics.sample(self.batch, self.length, generators(self.seed, step))
        return sequence_loss(model(sequences.inputs), sequences.targets)

    @cached_property
    def test_set(self):
        """The fixed sequences on which every seed of the family is judged."""
        return self.dynamics.sample(EVALUATION_SEQUENCES, self.length, generators(EVALUATION_SEED))

    @cached_property
    def zero_loss(self) -> float:
        """The loss of predicting zero, measured on the test set."""
        return float(sequence_loss(torch.zeros(()), self.test_set.targets))

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Return the loss on the test set with its standard error over sequences."""
        with torch.no_grad():
            predictions = predict(model, self.test_set.inputs)
        each = (predictions - self.test_set.targets).square().sum(-1).mean(-1) / 2
        return {
            "loss": float(each.mean()),
            "standard_error": float(each.std() / EVALUATION_SEQUENCES**0.5),
        }

    def curves(self, model: nn.Module, snapshots: list[tuple[int, dict]]) -> dict:
        """Return test losses over training: of the model, interpolated, and compressed.

        "interpolated" is the average of the products at that step and the scalars of the *final*
        model, as in the paper; "compressed" is RevAlg-d read off at that step.
        """
        if not snapshots or set(self.model.layers) != {"linear"}:
            return {}
        final = read_off(products(model))
        inputs, targets = (part[:CURVE_SEQUENCES] for part in self.test_set_pair)
        moving = Transformer(self.model)
        rows = []
        for step, weights in snapshots:
            moving.load_state_dict(weights)
            now, config = products(moving), self.model
            models = (
                moving,
                ProductModel(config, interpolate(now, final)),
                CompressedModel(config, read_off(now)),
            )
            with torch.no_grad():
                losses = [float(sequence_loss(predict(m, inputs), targets)) for m in models]
            rows.append([step, *losses])
        columns = ("steps", "model", "interpolated", "compressed")
        return dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))

    @property
    def test_set_pair(self) -> tuple[Tensor, Tensor]:
        """The inputs and the targets of the test set, (S, T, n) each."""
        return self.test_set.inputs, self.test_set.targets

    def with_seed(self, seed: int) -> SequenceExperiment:
        """Return the same run with another seed."""
        return replace(self, name=f"{self.family}-s{seed}", seed=seed)

    def configuration(self) -> dict:
        """Return the run as plain data, for the checkpoint's metadata."""
        return asdict(self)


def sequence_loss(predictions: Tensor, targets: Tensor) -> Tensor:
    """Return 1/2 the squared error (..., T, n), summed over n, averaged over all else: a scalar.

    Raises
    ------
    ValueError
        If ``predictions`` have another shape than ``targets`` and are no single number either.
    """
    if predictions.ndim and predictions.shape != targets.shape:
        raise ValueError(
            f"predictions must have the shape {tuple(targets.shape)} of the targets, "
            f"got {tuple(predictions.shape)}"
        )
    return (predictions - targets).square().sum(-1).mean() / 2


def predict(model: nn.Module, states: Tensor, chunk: int = 32) -> Tensor:
    """Return the model's predictions (B, T, n), computed ``chunk`` sequences at a time.

    Small chunks stay in the processor's cache: about twice as fast as the whole batch.

    Raises
    ------
    ValueError
        If ``chunk`` is no integer of at least 1, or there is no sequence.
    """
    positive_int("chunk", chunk)
    if not isinstance(states, Tensor) or states.ndim < 1 or len(states) == 0:
        raise ValueError(f"states must be a (B, T, n) tensor of sequences, got {states!r}")
    return torch.cat([model(part) for part in states.split(chunk)])


def _training(steps: int, lr: float = 1e-3) -> TrainConfig:
    return TrainConfig(
        steps=steps, lr=lr, warmup=200, weight_decay=0.1, clip_norm=1.0, log_every=100
    )


def _snapshots(steps: int) -> tuple[int, ...]:
    dense = [s for s in range(0, 1000, 100) if s <= steps]
    return (*dense, *range(1000, steps + 1, 250 if steps <= 3000 else 500))


def _linear(
    depth: int, key_size: int, task: str, steps: int, lr: float = 1e-3
) -> SequenceExperiment:
    one = depth == 1
    name = f"lsa{depth}-k{key_size}" if task == "linear" else f"{task}-lsa{depth}-k{key_size}"
    model = TransformerConfig.constructed(
        ("linear",) * depth,
        heads=2 if one else 4,
        key_size=key_size,
        reads="two-channel" if one else "constructed",
    )
    return SequenceExperiment(
        f"{name}-s0", task, model, _training(steps, lr), 0, snapshots=_snapshots(steps)
    )


def _mesa(task: str, steps: int) -> SequenceExperiment:
    name = "mesa1" if task == "linear" else f"{task}-mesa1"
    return SequenceExperiment(
        f"{name}-s0", task, TransformerConfig.constructed(("mesa",)), _training(steps), 0
    )


def _chebyshev(steps: int, task: str) -> SequenceExperiment:
    name = f"chebyshev{steps}" if task == "linear" else f"{task}-chebyshev{steps}"
    training = TrainConfig(steps=2000, lr=1e-2, warmup=200, clip_norm=1.0, log_every=100)
    return SequenceExperiment(f"{name}-s0", task, steps, training, 0)


# one run a family, with the number of seeds that are trained
FAMILIES = [
    (_linear(1, 20, "linear", 2000), 5),
    (_linear(2, 20, "linear", 3000), 3),
    (_linear(2, 40, "linear", 3000), 3),
    (_linear(4, 20, "linear", 2500), 3),
    (_linear(4, 40, "linear", 2500), 3),
    (_linear(6, 20, "linear", 3000), 5),
    (_linear(6, 40, "linear", 3000), 5),
    (_mesa("linear", 3000), 3),
    (_linear(1, 20, "contracting", 2000), 3),
    (_linear(1, 20, "fixed", 5000, lr=3e-3), 3),
    (_linear(2, 20, "contracting", 3000), 1),
    (_linear(2, 20, "fixed", 3000), 1),
    (_linear(4, 20, "contracting", 2500), 1),
    (_linear(4, 20, "fixed", 2500), 1),
    (_linear(6, 20, "contracting", 3000), 1),
    (_linear(6, 20, "fixed", 3000), 1),
    (_mesa("contracting", 3000), 1),
    (_mesa("fixed", 3000), 1),
    (_chebyshev(2, "linear"), 1),
    (_chebyshev(4, "linear"), 1),
    (_chebyshev(6, "linear"), 3),
    (_chebyshev(6, "contracting"), 1),
    (_chebyshev(6, "fixed"), 1),
]

SEQUENCE_EXPERIMENTS = {
    run.name: run for first, seeds in FAMILIES for run in map(first.with_seed, range(seeds))
}
