"""A trained nodule detector: from radiographs of any size to boxes in their own pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import ROBUST_PERCENTILES
from lungsynth.data.radiograph_pixels import RadiographScale
from lungsynth.detectors.nodules.config import NoduleDetectorConfig
from lungsynth.detectors.nodules.faster_rcnn import FasterRCNN
from lungsynth.detectors.nodules.retinanet import RetinaNet
from lungsynth.nn.device import choose_device
from lungsynth.nn.weights import load_weights, save_weights

SCALE = RadiographScale("percentile", *ROBUST_PERCENTILES)
"""How stored values become what the networks see: as synthesizers see them."""
Network = RetinaNet | FasterRCNN


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in one radiograph, best first.

    Args:
        boxes: (N, 4), left, top, right, bottom, in pixels of the radiograph.
        scores: (N,), 0 to 1.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]


class NoduleDetector:
    """Finds nodules.

    Args:
        network: Of a kind that ``config`` names.
        config: How it was built.
        device: Where it is.
        sha256: Of the weights file; None for a network just made.
    """

    def __init__(
        self,
        network: Network,
        config: NoduleDetectorConfig,
        *,
        device: torch.device | str = "cpu",
        sha256: str | None = None,
    ) -> None:
        self.network, self.config = network, config
        self.device, self.sha256 = torch.device(device), sha256

    def detect(
        self,
        images: Sequence[NDArray[Any]],
        *,
        batch_size: int = 4,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[Detections]:
        """Return what is in each radiograph (rows, columns), denser brighter, any dtype."""
        self.network.eval()
        found: list[Detections] = []
        for first in range(0, len(images), batch_size):
            some = images[first : first + batch_size]
            batch = torch.stack([network_image(pixels, self.config.image_side) for pixels in some])
            made = self.network.detect(batch.to(self.device))
            for pixels, (boxes, scores) in zip(some, made, strict=True):
                rows, columns = pixels.shape
                factor = np.array([columns, rows, columns, rows]) / self.config.image_side
                found.append(
                    Detections(boxes.double().cpu().numpy() * factor, scores.double().cpu().numpy())
                )
            if on_progress is not None:
                on_progress(len(found), len(images))
        return found

    def save(self, path: Path) -> None:
        """Write its weights."""
        save_weights(path, self.config.kind, asdict(self.config), self.network.state_dict())


def build_network(config: NoduleDetectorConfig) -> Network:
    """Return an untrained network of the kind that the configuration names."""
    return RetinaNet(config) if config.kind == "retinanet" else FasterRCNN(config)


def network_image(pixels: NDArray[Any], side: int) -> Tensor:
    """Return what the networks see of a radiograph, (1, side, side) in [-1, 1].

    Its rows and columns are scaled each to the side: boxes are scaled likewise, see
    ``network_boxes``.
    """
    image = torch.from_numpy(np.ascontiguousarray(SCALE.apply(pixels), dtype=np.float32))[None]
    if image.shape[-2:] == (side, side):
        return image
    return interpolate(image[None], (side, side), mode="bilinear", antialias=True)[0]


def network_boxes(boxes: NDArray[np.float64], shape: tuple[int, ...], side: int) -> Tensor:
    """Return boxes (N, 4) in pixels of an image (rows, columns) as those of ``network_image``."""
    rows, columns = shape
    factor = side / np.array([columns, rows, columns, rows])
    return torch.from_numpy((np.reshape(boxes, (-1, 4)) * factor).astype(np.float32))


def load_nodule_detector(path: Path, kind: str, device: str = "auto") -> NoduleDetector:
    """Read a detector's weights.

    Args:
        path: Of ``lungsynth train retinanet`` or ``faster-rcnn``, or of ``lungsynth mine``.
        kind: "retinanet" or "faster-rcnn".
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        LungSynthError: If the file is missing or broken, or belongs to something else.
    """
    stored = load_weights(path, kind)
    values: dict[str, Any] = dict(stored.config)
    try:
        config = NoduleDetectorConfig(**values)
        network = build_network(config)
        network.load_state_dict(stored.tensors)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        msg = f"{path}: the weights do not fit the networks of this version ({reason})"
        raise LungSynthError(msg) from None
    target = choose_device(device)
    return NoduleDetector(network.to(target), config, device=target, sha256=stored.sha256)
