"""An independent judge: how well a 3-D network tells generated nodules from real ones.

It is trained on pairs of other patients, for a fixed number of epochs with nothing chosen on the
pairs that it is tested on. Each batch holds both versions of its nodules, turned and shifted
alike: what surrounds a nodule is the same in both and can't be learnt by heart as a clue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lungsynth.core.errors import LungSynthError
from lungsynth.evaluation.nodule_net import (
    SHIFT_VOXELS,
    NoduleNet,
    crop,
    draw_turn,
    half_precision,
    seeded_torch,
    to_tensor,
    turned,
    windows,
)
from lungsynth.evaluation.pairs import Pairs
from lungsynth.evaluation.statistics import area_under_curve, bootstrap_by_group
from lungsynth.nn.device import choose_device

TEST_TURNS: tuple[tuple[int, tuple[int, ...]], ...] = (
    (0, ()),
    (0, (4,)),
    (2, ()),
    (2, (4,)),
    (1, (2,)),
    (1, (2, 4)),
    (3, (2,)),
    (3, (2, 4)),
)
"""Views over which the judge's opinion is averaged."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class JudgeConfig:
    """How the judge is built and trained; all (ours).

    Four times the learning rate, or dropout of .3, and it often learns nothing of differences as
    fine as mcgan's: its loss stays at log 2, and its AUC flatters the generator.
    """

    epochs: int = 24
    batch_pairs: int = 16
    learning_rate: float = 5e-4
    weight_decay: float = 0.02
    width: int = 24
    dropout: float = 0.0
    seeds: tuple[int, ...] = (0, 1, 2)
    resamples: int = 2000


@dataclass(frozen=True, eq=False)
class Verdict:
    """What the judges say; 0.5 is "can't tell", 1 is "always can".

    Args:
        auc: Of each seed's judge.
        ensemble_auc: Of the mean of their logits.
        interval_95: Bootstrap interval of that, by patient.
        pair_accuracy: How often, shown both versions of a nodule, they point at the generated.
        real_logits: Mean logits of the real versions, (N,).
        generated_logits: Of the generated ones, (N,).
    """

    auc: tuple[float, ...]
    ensemble_auc: float
    interval_95: tuple[float, float]
    pair_accuracy: float
    real_logits: Floats
    generated_logits: Floats

    @property
    def mean_auc(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(self.auc))


def judge(
    fit: Pairs,
    held: Pairs,
    config: JudgeConfig = JudgeConfig(),
    *,
    device: str = "auto",
    on_progress: Callable[[int, int], None] | None = None,
) -> Verdict:
    """Train judges on some pairs and ask them about others.

    Args:
        fit: Pairs to train on.
        held: Pairs of other patients to test on.
        config: How.
        device: "auto", "cpu" or "cuda".
        on_progress: Called with how many epochs are done, and of how many.

    Raises:
        LungSynthError: If a patient is in both.
    """
    shared = set(fit.patient.tolist()) & set(held.patient.tolist())
    if shared:
        msg = (
            f"patient {min(shared)} has nodules to train and to test the judge on; split by patient"
        )
        raise LungSynthError(msg)
    total = config.epochs * len(config.seeds)
    real, generated, auc = [], [], []
    for turn, seed in enumerate(config.seeds):

        def on_epoch(done: int, before: int = turn * config.epochs) -> None:
            if on_progress is not None:
                on_progress(before + done, total)

        network = train_judge(fit, config, seed, device=device, on_epoch=on_epoch)
        real.append(logits(network, held.real, held.centre))
        generated.append(logits(network, held.generated, held.centre))
        auc.append(area_under_curve(generated[-1], real[-1]))
    mean_real, mean_generated = np.mean(real, axis=0), np.mean(generated, axis=0)
    rng = np.random.default_rng(0)
    return Verdict(
        auc=tuple(auc),
        ensemble_auc=area_under_curve(mean_generated, mean_real),
        interval_95=bootstrap_interval(
            mean_generated, mean_real, held.patient, rng, resamples=config.resamples
        ),
        pair_accuracy=pair_accuracy(mean_generated, mean_real),
        real_logits=mean_real,
        generated_logits=mean_generated,
    )


def train_judge(
    pairs: Pairs,
    config: JudgeConfig,
    seed: int,
    *,
    device: str = "auto",
    on_epoch: Callable[[int], None] | None = None,
) -> NoduleNet:
    """Return one judge, trained; its logit is high for what it takes to be generated."""
    target = choose_device(device)
    rng = np.random.default_rng(seed)
    with seeded_torch(seed):
        network = NoduleNet(1, width=config.width, dropout=config.dropout).to(target)

        def output(chosen: NDArray[np.int64]) -> Tensor:
            crops = to_tensor(_both_versions(pairs, chosen, rng), target)
            with half_precision(target):
                found: Tensor = network(crops)
            return found.float()[:, 0]

        learn_pairs(network, len(pairs), config, rng, output, on_epoch=on_epoch)
    return network


class PairTraining(Protocol):
    """How a judge learns from pairs."""

    @property
    def epochs(self) -> int:
        """Over all pairs."""
        ...

    @property
    def batch_pairs(self) -> int:
        """Pairs in a step."""
        ...

    @property
    def learning_rate(self) -> float:
        """Highest, of one cycle."""
        ...

    @property
    def weight_decay(self) -> float:
        """Of every parameter."""
        ...


def learn_pairs(
    network: nn.Module,
    count: int,
    config: PairTraining,
    rng: np.random.Generator,
    output: Callable[[NDArray[np.int64]], Tensor],
    *,
    on_epoch: Callable[[int], None] | None = None,
) -> None:
    """Train a network to tell both versions of pairs apart.

    Args:
        network: Which learns.
        count: How many pairs there are.
        config: How.
        rng: Draws their order.
        output: From indices of pairs (B,) to logits (2B,), the real versions first.
        on_epoch: Called with how many epochs are done.
    """
    optimizer = torch.optim.AdamW(
        network.parameters(), config.learning_rate, weight_decay=config.weight_decay
    )
    batches = max(1, count // config.batch_pairs)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.epochs * batches, pct_start=0.15
    )
    for epoch in range(config.epochs):
        network.train()
        for chosen in np.array_split(rng.permutation(count), batches):
            loss = pair_loss(output(chosen))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        if on_epoch is not None:
            on_epoch(epoch + 1)


def pair_loss(output: Tensor) -> Tensor:
    """Return the cross-entropy of logits (2B,), the real versions first, then the generated."""
    labels = (torch.arange(len(output), device=output.device) >= len(output) // 2).float()
    return nn.functional.binary_cross_entropy_with_logits(output, labels)


def _both_versions(
    pairs: Pairs, chosen: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return crops (2B, 2, 32, 32, 32), the real versions first; each pair is turned alike."""
    shift = rng.integers(-SHIFT_VOXELS, SHIFT_VOXELS + 1, size=(len(chosen), 3))
    centre = pairs.centre[chosen]
    real = windows(crop(pairs.real[chosen], centre, shift))
    generated = windows(crop(pairs.generated[chosen], centre, shift))
    for n in range(len(chosen)):
        turn = draw_turn(rng)
        real[n : n + 1] = turned(real[n : n + 1], *turn)
        generated[n : n + 1] = turned(generated[n : n + 1], *turn)
    return np.concatenate([real, generated])


def logits(network: NoduleNet, cubes: NDArray[np.int16], centre: Floats) -> Floats:
    """Return a judge's opinion (N,) of cubes, averaged over turned and mirrored views."""
    device = next(network.parameters()).device
    network.eval()
    views = windows(crop(cubes, centre))
    found = []
    with torch.inference_mode(), half_precision(device):
        for first in range(0, len(views), 64):
            batch = views[first : first + 64]
            seen = [network(to_tensor(turned(batch, *t), device)).float() for t in TEST_TURNS]
            found.append(torch.stack(seen).mean(dim=0)[:, 0].cpu().numpy())
    return np.concatenate(found).astype(np.float64)


def pair_accuracy(generated: Floats, real: Floats) -> float:
    """Return how often the generated version of a nodule scores higher, ties counting half."""
    return float(np.mean((generated > real) + 0.5 * (generated == real)))


def bootstrap_interval(
    generated: Floats,
    real: Floats,
    patient: NDArray[np.str_],
    rng: np.random.Generator,
    *,
    resamples: int = 2000,
) -> tuple[float, float]:
    """Return the 95 % interval of the AUC over resampled patients.

    A drawn patient comes with both versions of all their nodules.
    """
    found = bootstrap_by_group(
        lambda drawn: area_under_curve(generated[drawn], real[drawn]),
        patient,
        rng,
        resamples=resamples,
    )
    return found.low, found.high
