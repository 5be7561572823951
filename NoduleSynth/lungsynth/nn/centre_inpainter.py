"""What the synthesizers share whose networks paint the centre of a cube of CT."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lungsynth.core.contracts import BOX_VOXELS, Inpainting
from lungsynth.core.nodule import NoduleSpec
from lungsynth.nn.centre_unet import central
from lungsynth.nn.device import choose_device
from lungsynth.nn.intensities import denormalise, normalise
from lungsynth.nn.network_kinds import NetworkKinds
from lungsynth.nn.noise import draw_noise
from lungsynth.nn.weights import load_weights, shipped_weights


class CentreInpainter(ABC):
    """Base of the synthesizers: generator and segmenter with weights, one nodule at a time.

    Args:
        networks: With their weights. They have ``config``, ``paint``, ``change`` and ``segmenter``.
        device: Where they run.
        weights_sha256: Of the weights file.
    """

    name: str
    kinds: ClassVar[NetworkKinds[Any]]

    def __init__(
        self,
        networks: Any,  # noqa: ANN401 - of either kind of any such system
        device: torch.device,
        weights_sha256: str | None,
    ) -> None:
        self.config = networks.config
        networks.eval().to(device)
        networks.to(memory_format=torch.channels_last_3d)
        self.networks = networks
        self.device = str(device)
        self.weights_sha256 = weights_sha256

    @classmethod
    def load(cls, *, weights: Path | None, device: str, bank: Path | None) -> Self:  # noqa: ARG003 - one signature for all
        """Read weights, those that ship by default.

        Raises:
            LungSynthError: If the weights or the device cannot be used.
        """
        target = choose_device(device)
        path = weights or shipped_weights(f"{cls.name}.safetensors")
        stored = load_weights(path, cls.name)
        return cls(cls.kinds.fit(stored, path), target, stored.sha256)

    def save(self, path: Path) -> None:
        """Write the weights with their configuration."""
        self.kinds.write(path, self.networks)

    def box_mm(self, diameter_mm: float) -> float:
        """Return the side of the box in mm."""
        side: float = self.config.box_mm(diameter_mm)
        return side

    @abstractmethod
    def condition(self, spec: NoduleSpec) -> tuple[Tensor, Mapping[str, str]]:
        """Return what the generator is told of a nodule (1, F), and details for the report.

        To the networks a box always has the size that the asked diameter gives it: in one that
        calibration rescaled, the nodule fills as much of it, and so follows it.
        """

    @torch.inference_mode()
    def inpaint(
        self,
        context_hu: NDArray[np.float32],
        specs: Sequence[NoduleSpec],
        box_mm: Sequence[float],  # noqa: ARG002 - see ``condition`` on rescaled boxes
    ) -> Inpainting:
        """Fill the centres; see ``CtSynthesizer.inpaint``.

        Items go through the networks one by one: convolutions add up in another order in a batch,
        and the same spec must give the same voxels in whatever batch it comes.
        """
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            filled = [
                self._inpaint_one(cube, spec) for cube, spec in zip(context_hu, specs, strict=True)
            ]
        return Inpainting(
            hu=np.stack([f[0] for f in filled]),
            mask=np.stack([f[1] for f in filled]),
            details=[f[2] for f in filled],
        )

    def _inpaint_one(
        self, cube_hu: NDArray[np.float32], spec: NoduleSpec
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], Mapping[str, str]]:
        device = torch.device(self.device)
        cube = normalise(torch.from_numpy(cube_hu)[None, None]).to(device)
        told, details = self.condition(spec)
        noise = draw_noise(self.config.latent_features, [spec.latent_seed]).to(device)
        cube = cube.contiguous(memory_format=torch.channels_last_3d)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(spec.latent_seed)  # for networks with a dropout that stays on
            painted = self.networks.paint(cube, told.to(device), noise)
        centre = central(cube, BOX_VOXELS) + self.networks.change(cube, painted)
        mask = self.networks.segmenter(centre).sigmoid()
        return (
            denormalise(painted)[0, 0].float().cpu().numpy(),
            mask[0, 0].float().cpu().numpy(),
            details,
        )
