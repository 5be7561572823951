"""The 3-D ResNets that tell malignant nodules from benign ones [yang2019, 2.3 and 3].

Departures from the paper: MONAI's ResNets without weights learnt on video, since none are at hand
that may be shipped or relied on; crops of 32 mm at 1 mm, for the real cubes end at 48 mm, in two
windows; mirrored and turned beside shifted and scaled; steps of equal number in every arm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lungsynth.core.errors import LungSynthError
from lungsynth.evaluation.classes import Labelled
from lungsynth.evaluation.nodule_net import (
    SHIFT_VOXELS,
    crop,
    draw_turn,
    half_precision,
    seeded_torch,
    to_tensor,
    turned,
    windows,
)
from lungsynth.evaluation.statistics import auc_with_covariance
from lungsynth.nn.device import choose_device

NETWORKS = ("resnet10", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
"""Names in MONAI."""
VIEWS: tuple[tuple[int, tuple[int, ...]], ...] = ((0, ()), (0, (4,)), (2, ()), (2, (4,)))
"""Over which a network's opinion is averaged."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ClassifierConfig:
    """How a classifier is built and trained; all (ours) where the departures above say nothing.

    Args:
        network: One of ``NETWORKS``.
        width: Channels relative to the published network's; half of them learn as well from a few
            hundred nodules, at a quarter of the cost.
        steps: Of the optimizer, in every arm alike.
        batch_size: Nodules a step.
        checks: How often the validation split is asked; the step with its highest area under the
            ROC curve is kept, as in the paper.
        learning_rate: Highest of one cycle.
        weight_decay: Of AdamW.
        scale: Nodules are made larger or smaller by up to this factor.
    """

    network: str = "resnet10"
    width: float = 0.5
    steps: int = 600
    batch_size: int = 16
    checks: int = 12
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    scale: float = 1.1

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            msg = f"unknown network '{self.network}'; there are {', '.join(NETWORKS)}"
            raise LungSynthError(msg)
        if min(self.steps, self.batch_size, self.checks) < 1:
            msg = (
                "steps, batch_size and checks must be 1 or more; got "
                f"{self.steps}, {self.batch_size} and {self.checks}"
            )
            raise LungSynthError(msg)


def build_network(config: ClassifierConfig) -> nn.Module:
    """Return a network from crops (B, 2, 32, 32, 32) to logits (B, 1), not trained.

    Raises:
        LungSynthError: If MONAI is not installed.
    """
    try:
        from monai.networks import nets
    except ImportError:
        msg = "the malignancy classifiers need MONAI; install lungsynth[study]"
        raise LungSynthError(msg) from None
    make: Callable[..., nn.Module] = getattr(nets, config.network)
    # 16^3 after the first layer and no pooling on top of it: a nodule of 6 mm is 3 voxels then
    network = make(
        spatial_dims=3,
        n_input_channels=2,
        num_classes=1,
        conv1_t_size=5,
        conv1_t_stride=2,
        no_max_pool=True,
        shortcut_type="B",
        widen_factor=config.width,
    )
    return network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload,no-any-return]


def class_weights(malignant: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the weights of benign and malignant that make both classes count the same.

    Their mean over the nodules is 1.
    """
    share = float(malignant.mean())
    return 0.5 / (1 - share), 0.5 / share


def weighted_loss(logits: Tensor, malignant: Tensor, weights: tuple[float, float]) -> Tensor:
    """Return the weighted cross-entropy, averaged over the batch.

    Args:
        logits: (B,).
        malignant: (B,), 1 or 0.
        weights: Of benign and malignant; (1, 1) is the unweighted loss.
    """
    each = nn.functional.binary_cross_entropy_with_logits(logits, malignant, reduction="none")
    return (each * torch.where(malignant > 0.5, weights[1], weights[0])).mean()


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained classifier.

    Args:
        network: With the weights of its best check.
        best_step: Which step that was.
        val_auc: Area under the ROC curve of the validation split there.
    """

    network: nn.Module
    best_step: int
    val_auc: float

    def logits(self, hu: NDArray[np.int16], centre: Floats) -> Floats:
        """Return opinions (N,) on cubes (N, 48, 48, 48); above 0 is malignant."""
        return _logits(self.network, hu, centre)


def train_classifier(
    train: Labelled,
    val: Labelled,
    config: ClassifierConfig,
    seed: int,
    *,
    weighted: bool = False,
    device: str = "auto",
    on_step: Callable[[int], None] | None = None,
) -> Classifier:
    """Train a classifier, and keep the check that is best on the validation split.

    Args:
        train: Real nodules, or real and generated ones.
        val: Real nodules of other patients.
        config: How.
        seed: Everything random follows from it.
        weighted: Whether both classes count the same in the loss.
        device: "auto", "cpu" or "cuda".
        on_step: Called with how many steps are done.
    """
    target = choose_device(device)
    rng = np.random.default_rng(seed)
    weights = class_weights(train.malignant) if weighted else (1.0, 1.0)
    best: tuple[float, int, dict[str, Tensor]] | None = None
    checks = set(np.linspace(0, config.steps, config.checks + 1).round().astype(int)[1:].tolist())
    with seeded_torch(seed):
        network = build_network(config).to(target)
        optimizer = torch.optim.AdamW(
            network.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, config.learning_rate, total_steps=max(2, config.steps), pct_start=0.2
        )
        order = _draw_order(len(train), config, rng)
        for step in range(1, config.steps + 1):
            network.train()
            rows = order[step - 1]
            loss = _loss_of(network, train, rows, (config, weights), rng)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            if step in checks:
                area = area_of(_logits(network, val.hu, val.centre), val.malignant)
                if best is None or area > best[0]:
                    state = {k: v.detach().clone() for k, v in network.state_dict().items()}
                    best = (area, step, state)
            if on_step is not None:
                on_step(step)
    assert best is not None  # there is a check at the last step
    network.load_state_dict(best[2])
    return Classifier(network, best[1], best[0])


def _loss_of(
    network: nn.Module,
    train: Labelled,
    rows: NDArray[np.int64],
    how: tuple[ClassifierConfig, tuple[float, float]],
    rng: np.random.Generator,
) -> Tensor:
    """Return the loss of one batch, varied at random; ``how`` holds the weights of the classes."""
    config, weights = how
    device = next(network.parameters()).device
    crops = scaled(to_tensor(_augmented(train, rows, rng), device), config.scale, rng)
    with _training_precision(device):
        output = network(crops)
    labels = torch.from_numpy(train.malignant[rows]).float().to(device)
    return weighted_loss(output.float()[:, 0], labels, weights)


def _training_precision(device: torch.device) -> torch.autocast:
    """Return bfloat16 autocast on a GPU alone.

    On a CPU (torch 2.13, AVX-512) the gradient in bfloat16 of the weights of a 3 x 3 x 3
    convolution with stride 1 on maps two voxels deep, as the last stage here has, is what memory
    held before: it differs from call to call, up to 1e35. Maps of one voxel or of three are right.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def area_of(scores: Floats, malignant: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve."""
    return float(auc_with_covariance(scores[None], malignant)[0][0])


def _draw_order(
    count: int, config: ClassifierConfig, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Draw the nodules of each step: all of them once, in another order each time round."""
    size = min(config.batch_size, count)
    rounds = -(-config.steps * size // count)
    every = np.concatenate([rng.permutation(count) for _ in range(rounds)])
    return [every[n * size : (n + 1) * size] for n in range(config.steps)]


def _augmented(
    nodules: Labelled, rows: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return crops (B, 2, 32, 32, 32), shifted, turned and mirrored at random."""
    shift = rng.integers(-SHIFT_VOXELS, SHIFT_VOXELS + 1, size=(len(rows), 3))
    crops = windows(crop(nodules.hu[rows], nodules.centre[rows], shift))
    for n in range(len(rows)):
        crops[n : n + 1] = turned(crops[n : n + 1], *draw_turn(rng))
    return crops


def scaled(crops: Tensor, most: float, rng: np.random.Generator) -> Tensor:
    """Return crops (B, C, D, H, W) enlarged by random factors from 1 / ``most`` to ``most``."""
    if most <= 1:
        return crops
    factors = torch.from_numpy(np.exp(rng.uniform(-1, 1, len(crops)) * np.log(most))).float()
    matrix = torch.zeros(len(crops), 3, 4)
    for axis in range(3):
        matrix[:, axis, axis] = 1 / factors
    grid = nn.functional.affine_grid(matrix, list(crops.shape), align_corners=False)
    return nn.functional.grid_sample(
        crops, grid.to(crops.device), padding_mode="border", align_corners=False
    )


def _logits(network: nn.Module, hu: NDArray[np.int16], centre: Floats) -> Floats:
    device = next(network.parameters()).device
    network.eval()
    views = windows(crop(hu, centre))
    found = []
    with torch.inference_mode(), half_precision(device):
        for first in range(0, len(views), 64):
            batch = views[first : first + 64]
            seen = [network(to_tensor(turned(batch, *view), device)).float() for view in VIEWS]
            found.append(torch.stack(seen).mean(dim=0)[:, 0].cpu().numpy())
    return np.concatenate(found).astype(np.float64)
