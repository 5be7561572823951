"""Losses and samples for TensorBoard, where it is installed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = "tensorboard"
logger = logging.getLogger(__name__)


class Board:
    """Writes what ``tensorboard --logdir RUN`` shows; nothing where it is not installed.

    Args:
        output: Folder of the run.
        step: Steps done; what an earlier session wrote of later ones is hidden.
    """

    def __init__(self, output: Path, step: int) -> None:
        self._writer: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            logger.info("no log for TensorBoard: it is not installed")
            return
        purge = step + 1 if (output / FOLDER).exists() else None
        self._writer = SummaryWriter(output / FOLDER, purge_step=purge)

    def losses(self, step: int, losses: Mapping[str, float]) -> None:
        """Write the losses of a step."""
        if self._writer is not None:
            for name, value in losses.items():
                self._writer.add_scalar(f"losses/{name}", value, step)

    def samples(self, step: int, picture: NDArray[np.uint8]) -> None:
        """Write a picture of samples, RGB."""
        if self._writer is not None:
            self._writer.add_image("samples", picture, step, dataformats="HWC")

    def close(self) -> None:
        """Write out what is left."""
        if self._writer is not None:
            self._writer.close()
