"""How the network that finds lung fields is trained (``imaging.lung_fields`` runs it, in numpy).

Learns from radiographs with masks of the lungs; all of it is (ours).
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lungsynth.core.errors import LungSynthError
from lungsynth.imaging.lung_fields import SIDE, WEIGHTS_NAME, local_contrast, network_input
from lungsynth.io.lung_fields import read_lung_fields
from lungsynth.io.radiograph_reading import read_radiograph
from lungsynth.nn.recipe import NetworkRecipe
from lungsynth.nn.weights import load_weights, save_weights

MASK_ENDING = "_mask"
"""The mask of ``NAME.png`` is ``NAME_mask.png``: 0 outside the lungs."""
LEVELS = 4


@dataclass(frozen=True)
class LungFieldsConfig:
    """The network and how it is trained."""

    widths: tuple[int, ...] = (12, 20, 28, 36)
    batch_size: int = 12
    total_steps: int = 500
    learning_rate: float = 2e-3
    warm_part: float = 0.1
    turn: float = 0.08  # standard deviations: radians, logarithm of the scale, part of the side
    zoom: float = 0.13
    shift: float = 0.05
    gamma: float = 0.35
    most_opacities: int = 3
    border_chance: float = 0.15
    noise: float = 0.03

    def __post_init__(self) -> None:
        if len(self.widths) != LEVELS:
            msg = f"widths must be {LEVELS} (the levels of the network); got {self.widths}"
            raise ValueError(msg)


PRESETS = {
    "default": LungFieldsConfig(),
    "tiny": LungFieldsConfig(widths=(4, 4, 4, 4), batch_size=2, total_steps=4),
}


class LungFieldsNet(nn.Module):
    """The U-Net of ``imaging.lung_fields.run_network``."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        into = 2
        for level, width in enumerate(widths):
            self.add_module(f"down{level}a", nn.Conv2d(into, width, 3, padding=1))
            self.add_module(f"down{level}b", nn.Conv2d(width, width, 3, padding=1))
            into = width
        for level in reversed(range(LEVELS - 1)):
            width = widths[level]
            self.add_module(f"up{level}a", nn.Conv2d(into + width, width, 3, padding=1))
            self.add_module(f"up{level}b", nn.Conv2d(width, width, 3, padding=1))
            into = width
        self.head = nn.Conv2d(into, 3, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias if module.bias is not None else torch.empty(0))

    def forward(self, values: Tensor) -> Tensor:
        """Return logits (B, 3, S, S) of inputs (B, 2, S, S)."""
        skipped = []
        for level in range(LEVELS):
            values = self._block(f"down{level}", values)
            if level < LEVELS - 1:
                skipped.append(values)
                values = functional.max_pool2d(values, 2)
        for level in reversed(range(LEVELS - 1)):
            values = functional.interpolate(values, scale_factor=2, mode="nearest")
            values = self._block(f"up{level}", torch.cat([values, skipped[level]], dim=1))
        logits: Tensor = self.head(values)
        return logits

    def _block(self, name: str, values: Tensor) -> Tensor:
        for part in "ab":
            values = self.get_submodule(f"{name}{part}")(values).relu()
        return values


class LungFieldsRecipe(NetworkRecipe):
    """Trains the network on radiographs and masks.

    Args:
        config: What is trained and how.
        images: Grey, (N, 64, 64) in [-1, 1], dense tissue bright.
        labels: 0 outside, 1 lung on the left, 2 lung on the right of the picture, same shape.
        fabric: A launched Fabric.
    """

    stateful = ("network", "optimizer")

    def __init__(
        self,
        config: LungFieldsConfig,
        images: NDArray[np.float32],
        labels: NDArray[np.int64],
        fabric: Any,  # noqa: ANN401 - Fabric is optional
    ) -> None:
        super().__init__(config, fabric)
        self.images, self.labels = images, labels
        self.network: LungFieldsNet = LungFieldsNet(config.widths).to(fabric.device)
        self.optimizer = self.adam(self.network.parameters(), config.learning_rate, (0.9, 0.999))

    def step(self, rng: np.random.Generator) -> dict[str, float]:
        """Train on one batch and return its losses."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate_factor * self._rate()
        count = self.config.batch_size * self.fabric.world_size
        rows = rng.integers(len(self.images), size=count)
        drawn = [draw_example(self.config, self.images[n], self.labels[n], rng) for n in rows]
        own = drawn[self.own_part(self.config.batch_size)]
        values = torch.from_numpy(np.stack([one[0] for one in own])).to(self.fabric.device)
        wanted = torch.from_numpy(np.stack([one[1] for one in own])).to(self.fabric.device)
        with self.fabric.autocast():
            logits = self.network(values).float()
        entropy = functional.cross_entropy(logits, wanted)
        dice = dice_loss(logits, wanted)
        self.descend(self.optimizer, entropy + dice)
        return {"cross_entropy": float(entropy.detach()), "dice": float(dice.detach())}

    def _rate(self) -> float:
        """Up over the first part of the steps, then down by a cosine."""
        part = (self.step_count + 0.5) / self.config.total_steps
        warm = self.config.warm_part
        if part < warm:
            return float(self.config.learning_rate * part / warm)
        left = 0.5 * (1 + np.cos(np.pi * min(1.0, (part - warm) / (1 - warm))))
        return float(self.config.learning_rate * max(1e-3, left))

    def data_summary(self) -> dict[str, object]:
        """Return how many radiographs, and a fingerprint."""
        digest = hashlib.sha256(self.images.tobytes() + self.labels.tobytes()).hexdigest()
        return {"radiographs": len(self.images), "sha256": digest}

    def save_weights(self, path: Path) -> None:
        """Write the network as safetensors."""
        save_weights(path, WEIGHTS_NAME, asdict(self.config), self.network.state_dict())


def dice_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return 1 minus the mean Dice overlap of both lungs.

    Args:
        logits: (B, 3, S, S).
        wanted: Labels 0 to 2, (B, S, S).
    """
    found = logits.softmax(dim=1)[:, 1:]
    truth = functional.one_hot(wanted, 3).permute(0, 3, 1, 2)[:, 1:].float()
    both = (found * truth).sum(dim=(2, 3))
    total = (found + truth).sum(dim=(2, 3))
    return 1 - ((2 * both + 1) / (total + 1)).mean()


def draw_example(
    config: LungFieldsConfig,
    image: NDArray[np.float32],
    labels: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Draw a changed radiograph: the network's input (2, 64, 64), and its labels (64, 64)."""
    grey, moved = _draw_moved(config, image, labels, rng)
    unit = np.clip((grey + 1) / 2, 1e-4, 1) ** np.exp(rng.normal(0, config.gamma))
    line = np.linspace(-1, 1, SIDE)
    for _ in range(rng.integers(0, config.most_opacities + 1)):
        column, row = rng.uniform(-0.8, 0.8, 2)
        width, height = rng.uniform(0.04, 0.35, 2)
        spot = np.exp(-(((line[None, :] - column) / width) ** 2))
        spot = spot * np.exp(-(((line[:, None] - row) / height) ** 2))
        unit = unit + rng.uniform(0.05, 0.45) * spot * (1 - 0.5 * unit)
    if rng.random() < config.border_chance:
        quarter, width = int(rng.integers(4)), int(rng.integers(2, SIDE // 7))
        unit, moved = np.rot90(unit, quarter).copy(), np.rot90(moved, quarter).copy()
        unit[:width], moved[:width] = float(rng.integers(2)), 0
        unit, moved = np.rot90(unit, -quarter), np.rot90(moved, -quarter)
    unit = unit + rng.normal(0, rng.uniform(0, config.noise), unit.shape)
    low, high = np.percentile(unit, (1, 99))
    grey = np.clip(2 * (unit - low) / max(high - low, 1e-3) - 1, -1, 1).astype(np.float32)
    return local_contrast(grey), np.ascontiguousarray(moved)


def _draw_moved(
    config: LungFieldsConfig,
    image: NDArray[np.float32],
    labels: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Draw how image and labels are turned, scaled, shifted and mirrored."""
    if rng.integers(2):  # the sides of the picture, not of the patient, are told apart
        image, labels = image[:, ::-1], labels[:, ::-1]
        labels = np.where(labels > 0, 3 - labels, 0)
    angle = rng.normal(0, config.turn)
    scale = np.exp(rng.normal(0, config.zoom, 2) * (1, 0.5))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag([scale[0] * scale[1], scale[0] / scale[1]])
    centre = (SIDE - 1) / 2
    grid = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij")) - centre
    shift = rng.normal(0, config.shift, 2) * SIDE
    at = np.tensordot(matrix, grid, axes=1) + (centre + shift)[:, None, None]
    inside = ((at >= 0) & (at <= SIDE - 1)).all(axis=0)
    nearest = np.clip(np.rint(at).astype(int), 0, SIDE - 1)
    moved = np.where(inside, image[nearest[0], nearest[1]], image.min())
    return moved.astype(np.float32), np.where(inside, labels[nearest[0], nearest[1]], 0)


def read_examples(folder: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Read each ``NAME.png`` that has a ``NAME_mask.png`` beside it, in the order of the names.

    Raises:
        LungSynthError: If there is no such pair, or one cannot be used.
    """
    images, labels = [], []
    for mask_path in sorted(folder.glob(f"*{MASK_ENDING}.png")):
        path = mask_path.with_name(mask_path.name.replace(f"{MASK_ENDING}.png", ".png"))
        if not path.is_file():
            continue
        image = read_radiograph(path)
        left, right = read_lung_fields(mask_path, image)
        row, column = (
            ((np.arange(SIDE) + 0.5) * length / SIDE).astype(int) for length in image.pixels.shape
        )
        at = np.ix_(row, column)
        images.append(network_input(image)[0])
        labels.append((left[at] + 2 * right[at]).astype(np.int64))
    if not images:
        msg = (
            f"{folder}: no radiographs with lung masks there; it holds NAME.png and "
            f"NAME{MASK_ENDING}.png"
        )
        raise LungSynthError(msg)
    return np.stack(images), np.stack(labels)


def build_recipe(
    data: Path,
    preset: str,
    fabric: Any,  # noqa: ANN401 - Fabric is optional
    init: Path | None,
) -> LungFieldsRecipe:
    """Return a recipe on a folder of radiographs and masks.

    Args:
        data: See ``read_examples``.
        preset: A name in ``PRESETS``.
        fabric: A launched Fabric.
        init: Weights to start from.

    Raises:
        LungSynthError: If one of them cannot be used.
    """
    if preset not in PRESETS:
        msg = f"unknown preset '{preset}'; {WEIGHTS_NAME} has {', '.join(PRESETS)}"
        raise LungSynthError(msg)
    recipe = LungFieldsRecipe(PRESETS[preset], *read_examples(data), fabric)
    if init is not None:
        try:
            recipe.network.load_state_dict(load_weights(init, WEIGHTS_NAME).tensors)
        except RuntimeError:
            msg = f"{init}: is of a network with other widths than {recipe.config.widths}"
            raise LungSynthError(msg) from None
    return recipe
