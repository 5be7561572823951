"""How the nodule detectors are trained: shifted and flipped radiographs, losses of the papers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from lungsynth.core.errors import LungSynthError
from lungsynth.data.nodule_cases import NoduleCase, read_marked, summary
from lungsynth.detectors.nodules.config import PRESETS, NoduleDetectorConfig
from lungsynth.detectors.nodules.detector import (
    NoduleDetector,
    build_network,
    load_nodule_detector,
    network_boxes,
    network_image,
)
from lungsynth.nn.recipe import NetworkRecipe

MOMENTUM = 0.9
LARGEST_GRADIENT = 5.0
"""(ours) Norm to which gradients are cut: without pre-trained weights first steps are wild."""
LEAST_SIDE = 2.0
"""Boxes of which a shift leaves less than this inside the image are dropped."""


@dataclass(frozen=True)
class Augmentation:
    """What is done to one radiograph before it is learnt from."""

    flipped: bool
    shift: tuple[int, int]  # rows, columns, in pixels of the network's image


def draw_augmentation(config: NoduleDetectorConfig, rng: np.random.Generator) -> Augmentation:
    """Draw whether it is flipped and how far it is shifted, each half the time [shen2022, IV.C]."""
    flipped = bool(rng.random() < 0.5)
    most = config.shift_part * config.image_side if rng.random() < 0.5 else 0.0
    rows, columns = np.rint(rng.uniform(-most, most, 2)).astype(int).tolist()
    return Augmentation(flipped, (rows, columns))


def augment(image: Tensor, boxes: Tensor, done: Augmentation) -> tuple[Tensor, Tensor]:
    """Return image (1, S, S) and boxes (N, 4) shifted (what comes in repeats the rim), flipped."""
    side = image.shape[-1]
    down, right = done.shift
    padded = pad(
        image[None],
        (max(right, 0), max(-right, 0), max(down, 0), max(-down, 0)),
        mode="replicate",
    )[0]
    image = padded[:, max(-down, 0) :, max(-right, 0) :][:, :side, :side]
    boxes = (boxes + boxes.new_tensor([right, down, right, down])).clamp(0, side)
    boxes = boxes[(boxes[:, 2:] - boxes[:, :2]).min(dim=1).values >= LEAST_SIDE]
    if done.flipped:
        image = image.flip(-1)
        boxes = torch.stack(
            [side - boxes[:, 2], boxes[:, 1], side - boxes[:, 0], boxes[:, 3]], dim=1
        )
    return image, boxes


class NoduleDetectorRecipe(NetworkRecipe):
    """Trains a detector.

    Args:
        config: Its hyper-parameters.
        cases: What it learns from.
        fabric: A launched ``lightning_fabric.Fabric``.
        start: A detector to go on from; None starts from nothing.

    Raises:
        LungSynthError: If there is no nodule to learn from.
    """

    stateful = ("network", "optimizer")

    def __init__(
        self,
        config: NoduleDetectorConfig,
        cases: Sequence[NoduleCase],
        fabric: Any,  # noqa: ANN401 - Fabric is optional
        start: NoduleDetector | None = None,
    ) -> None:
        super().__init__(config, fabric)
        if not any(case.nodules for case in cases):
            msg = "a nodule detector needs radiographs with nodules to learn from; there is none"
            raise LungSynthError(msg)
        self.cases = cases
        network = build_network(config)
        if start is not None:
            network.load_state_dict(start.network.state_dict())
        self.network = network.to(fabric.device)
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        if config.optimizer == "sgd":
            made = torch.optim.SGD(
                parameters, config.learning_rate, MOMENTUM, weight_decay=config.weight_decay
            )
        else:
            made = torch.optim.AdamW(
                parameters, config.learning_rate, weight_decay=config.weight_decay
            )  # type: ignore[assignment]
        self.optimizer = fabric.setup_optimizers(made)
        side = config.image_side
        self._images = [network_image(case.pixels, side).half() for case in cases]
        self._boxes = [network_boxes(case.boxes, case.pixels.shape, side) for case in cases]

    def draw_batch(self, rng: np.random.Generator) -> list[tuple[int, Augmentation]]:
        """Draw radiographs, and what is done to them; of all processes."""
        count = self.config.batch_size * self.fabric.world_size
        rows = rng.integers(len(self.cases), size=count).tolist()
        return [(row, draw_augmentation(self.config, rng)) for row in rows]

    def step(self, rng: np.random.Generator) -> dict[str, float]:
        """Train on one batch drawn from ``rng`` and return the losses by name."""
        drawn = self.draw_batch(rng)[self.own_part(self.config.batch_size)]
        device = self.fabric.device
        made = [augment(self._images[row].float(), self._boxes[row], done) for row, done in drawn]
        images = torch.stack([image for image, _ in made]).to(device)
        self.network.train()
        with self.fabric.autocast():
            losses = self.network.losses(images, [boxes.to(device) for _, boxes in made])
        total = torch.stack(list(losses.values())).sum()
        self.descend(self.optimizer, total, largest_gradient=LARGEST_GRADIENT)
        return {name: float(value.detach()) for name, value in losses.items()}

    def data_summary(self) -> dict[str, object]:
        """Return what it is trained on, as JSON can hold it."""
        return summary(self.cases)

    def detector(self) -> NoduleDetector:
        """Return what is being trained, to be used; it shares the network."""
        return NoduleDetector(self.network, self.config, device=self.fabric.device)

    def save_weights(self, path: Path) -> None:
        """Write the network as safetensors."""
        self.detector().save(path)


def build_retinanet(
    data: Path,
    preset: str,
    fabric: Any,  # noqa: ANN401 - Fabric is optional
    init: Path | None,
) -> NoduleDetectorRecipe:
    """Return the recipe of RetinaNet on a folder of boxed radiographs."""
    return _build("retinanet", data, preset, fabric, init)


def build_faster_rcnn(
    data: Path,
    preset: str,
    fabric: Any,  # noqa: ANN401 - Fabric is optional
    init: Path | None,
) -> NoduleDetectorRecipe:
    """Return the recipe of Faster R-CNN on a folder of boxed radiographs."""
    return _build("faster-rcnn", data, preset, fabric, init)


def _build(
    kind: str,
    data: Path,
    preset: str,
    fabric: Any,  # noqa: ANN401 - Fabric is optional
    init: Path | None,
) -> NoduleDetectorRecipe:
    config = preset_of(kind, preset)
    start = None
    if init is not None:
        start = load_nodule_detector(init, kind, "cpu")
        structure = asdict(start.config)
        trained = ("optimizer", "learning_rate", "weight_decay", "total_steps", "batch_size")
        config = NoduleDetectorConfig(**{**structure, **{n: getattr(config, n) for n in trained}})
    return NoduleDetectorRecipe(config, read_marked(data, "train"), fabric, start)


def preset_of(kind: str, preset: str) -> NoduleDetectorConfig:
    """Return a preset.

    Raises:
        LungSynthError: If there is none of that name.
    """
    if preset not in PRESETS[kind]:
        msg = f"{kind} has no preset '{preset}'; there are {', '.join(PRESETS[kind])}"
        raise LungSynthError(msg)
    return PRESETS[kind][preset]
