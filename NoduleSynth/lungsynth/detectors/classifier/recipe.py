"""How the classifier is trained, and what it is trained on."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import affine_grid, binary_cross_entropy_with_logits, grid_sample

from lungsynth.core.errors import LungSynthError
from lungsynth.data.radiograph_pixels import RadiographScale
from lungsynth.data.radiographs import RadiographSet, read_squares
from lungsynth.detectors.classifier.classifier import load_classifier
from lungsynth.detectors.classifier.config import (
    PRESETS,
    SYSTEM,
    ClassifierConfig,
    frequent_labels,
    targets,
)
from lungsynth.detectors.contracts import Images
from lungsynth.nn.recipe import NetworkRecipe
from lungsynth.nn.resnet import ResNet
from lungsynth.nn.weights import save_weights


class ClassifierRecipe(NetworkRecipe):
    """Trains a ResNet on images and their labels.

    Args:
        config: With ``labels`` filled in.
        images: (N, S, S) in [-1, 1].
        wanted: 0 or 1 for each image and label, (N, F).
        fabric: A launched Fabric.
        patients: Of the images, for the run's card.
    """

    stateful = ("network", "optimizer")

    def __init__(
        self,
        config: ClassifierConfig,
        images: Images,
        wanted: NDArray[np.float32],
        fabric: Any,  # noqa: ANN401 - Fabric is optional
        patients: tuple[str, ...] = (),
    ) -> None:
        super().__init__(config, fabric)
        self.images, self.wanted, self.patients = images, wanted, patients
        network = ResNet(config.shape, width=config.width, outputs=wanted.shape[1])
        self.network: ResNet = network.to(fabric.device)
        self.optimizer = fabric.setup_optimizers(
            torch.optim.AdamW(
                self.network.parameters(), config.learning_rate, weight_decay=config.weight_decay
            )
        )
        positives = wanted.sum(axis=0)
        # what is rare counts more, but not so much that single images rule
        rare = np.clip((len(wanted) - positives) / np.maximum(positives, 1), 1, 10)
        self.rare = torch.from_numpy(rare.astype(np.float32)).to(fabric.device)

    def step(self, rng: np.random.Generator) -> dict[str, float]:
        """Train on one batch and return its losses."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.step_count)
        self.network.train()
        rows = self.draw_rows(rng)
        change = draw_changes(self.config, len(rows), rng)
        own = self.own_part(self.config.batch_size)
        device = self.fabric.device
        images = torch.from_numpy(self.images[rows[own]])[:, None].to(device)
        images = changed(images, torch.from_numpy(change[own]).to(device))
        wanted = torch.from_numpy(self.wanted[rows[own]]).to(device)
        with self.fabric.autocast():
            logits = self.network(images).float()
        loss = binary_cross_entropy_with_logits(logits, wanted, pos_weight=self.rare)
        self.descend(self.optimizer, loss)
        right = ((logits[:, 0] > 0) == (wanted[:, 0] > 0.5)).float().mean()
        return {"loss": float(loss.detach()), "accuracy": float(right)}

    def draw_rows(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw the images of a step for all processes."""
        count = self.config.batch_size * self.fabric.world_size
        return np.asarray(rng.integers(len(self.images), size=count))

    def data_summary(self) -> dict[str, object]:
        """Return how many images, of whom, with which labels, and a fingerprint."""
        digest = hashlib.sha256(self.images.tobytes() + self.wanted.tobytes()).hexdigest()
        counts = self.wanted.sum(axis=0).astype(int).tolist()
        return {
            "images": len(self.images),
            "labels": dict(zip(self.config.names, counts, strict=True)),
            "patients": sorted(set(self.patients)),
            "sha256": digest,
        }

    def save_weights(self, path: Path) -> None:
        """Write the network as safetensors."""
        save_weights(path, SYSTEM, asdict(self.config), self.network.state_dict())


def learning_rate(config: ClassifierConfig, step: int) -> float:
    """Return the rate of a step: up over the first tenth, then down by a cosine."""
    warm = max(1, config.total_steps // 10)
    if step < warm:
        return config.learning_rate * (step + 1) / warm
    part = min(1.0, (step - warm) / max(1, config.total_steps - warm))
    return config.learning_rate * max(0.01, 0.5 * (1 + math.cos(math.pi * part)))


def draw_changes(
    config: ClassifierConfig, count: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw for each image (count, 6): turn, shifts right and down, zoom, contrast, brightness.

    Radians, parts of the side, factors, and a difference in [-1, 1]'s scale.
    """
    turn = math.radians(config.turn_degrees)
    columns = [
        rng.uniform(-turn, turn, count),
        rng.uniform(-config.shift, config.shift, count),
        rng.uniform(-config.shift, config.shift, count),
        np.exp(rng.uniform(-1, 1, count) * math.log1p(config.zoom)),
        np.exp(rng.uniform(-1, 1, count) * math.log1p(config.contrast)),
        rng.uniform(-config.contrast / 2, config.contrast / 2, count),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def changed(images: Tensor, change: Tensor) -> Tensor:
    """Return images (B, 1, S, S) changed as ``draw_changes`` has drawn (B, 6)."""
    turn, right, down, zoom, contrast, brightness = change.unbind(dim=1)
    cos, sin = turn.cos() / zoom, turn.sin() / zoom
    # the grid says where in the old image each pixel comes from; its side is 2
    rows = [
        torch.stack([cos, -sin, -2 * right], dim=1),
        torch.stack([sin, cos, -2 * down], dim=1),
    ]
    grid = affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    moved = grid_sample(images, grid, padding_mode="border", align_corners=False)
    steeper = moved * contrast[:, None, None, None] + brightness[:, None, None, None]
    return steeper.clamp(-1, 1)


def build_recipe(
    data: Path,
    preset: str,
    fabric: Any,  # noqa: ANN401 - Fabric is optional
    init: Path | None,
) -> ClassifierRecipe:
    """Return a recipe on the training split of a folder of radiographs.

    Args:
        data: In ChestX-ray14's format, see ``data.radiographs``.
        preset: A name in ``PRESETS``.
        fabric: A launched Fabric.
        init: Weights to start from; those of other outputs give all but the last layer.

    Raises:
        LungSynthError: If one of them cannot be used.
    """
    if preset not in PRESETS:
        msg = f"unknown preset '{preset}'; {SYSTEM} has {', '.join(PRESETS)}"
        raise LungSynthError(msg)
    config = PRESETS[preset]
    records = RadiographSet.open(data).select("train")
    config = dataclasses.replace(config, labels=frequent_labels(records, config.least_positives))
    wanted = targets(records, config.names)
    normal = int((wanted[:, 0] == 0).sum())
    if not 0 < normal < len(records):
        msg = (
            f"{data}: a classifier learns from normal and other radiographs; of its "
            f"{len(records)} training images {normal} are normal"
        )
        raise LungSynthError(msg)
    scale = RadiographScale(config.scale_kind, config.scale_low, config.scale_high)
    images = read_squares(records, config.image_size, scale)
    patients = tuple(record.patient for record in records)
    recipe = ClassifierRecipe(config, images, wanted, fabric, patients)
    if init is not None:
        start_from(recipe.network, init, config)
    return recipe


def start_from(network: ResNet, path: Path, config: ClassifierConfig) -> None:
    """Take over weights, without the last layer where the outputs are others.

    Raises:
        LungSynthError: If they are of another network.
    """
    known = load_classifier(path, "cpu")
    tensors = known.network.state_dict()
    if known.names != config.names:
        own = network.state_dict()
        tensors |= {name: own[name] for name in ("fc.weight", "fc.bias")}
    try:
        network.load_state_dict(tensors)
    except RuntimeError:
        msg = (
            f"{path}: is of {known.config.shape} with width {known.config.width}; the preset has "
            f"{config.shape} with width {config.width}"
        )
        raise LungSynthError(msg) from None
