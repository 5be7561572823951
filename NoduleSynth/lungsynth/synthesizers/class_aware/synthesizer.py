"""The synthesizer: class-aware networks with weights, as the insertion engine uses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lungsynth.core.contracts import BOX_VOXELS, Inpainting
from lungsynth.core.nodule import NoduleSpec
from lungsynth.nn.centre_unet import central
from lungsynth.nn.device import choose_device
from lungsynth.nn.intensities import denormalise, normalise
from lungsynth.nn.noise import draw_noise
from lungsynth.nn.weights import load_weights, shipped_weights
from lungsynth.synthesizers.class_aware.build import fit_networks
from lungsynth.synthesizers.class_aware.conditions import (
    ATTENUATIONS,
    class_name,
    condition_vector,
    draw_mean_hu,
    draw_rating,
)
from lungsynth.synthesizers.class_aware.networks import ClassAwareNetworks
from lungsynth.synthesizers.class_aware.paper import PaperNetworks
from lungsynth.synthesizers.class_aware.recipe_base import write_networks

WEIGHTS_FILE = "class-aware.safetensors"


class ClassAware:
    """The synthesizer: generators and a segmenter with weights.

    Args:
        networks: With their weights.
        device: Where they run.
        weights_sha256: Of the weights file.
    """

    name = "class-aware"

    def __init__(
        self,
        networks: ClassAwareNetworks | PaperNetworks,
        device: torch.device,
        weights_sha256: str | None,
    ) -> None:
        self.config = networks.config
        networks.eval().to(device)
        networks.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.networks = networks
        self.device = str(device)
        self.weights_sha256 = weights_sha256

    @classmethod
    def load(cls, *, weights: Path | None, device: str, bank: Path | None) -> ClassAware:  # noqa: ARG003 - one signature for all
        """Read weights, those that ship by default.

        Raises:
            LungSynthError: If the weights or the device cannot be used.
        """
        target = choose_device(device)
        path = weights or shipped_weights(WEIGHTS_FILE)
        stored = load_weights(path, "class-aware")
        return cls(fit_networks(stored, path), target, stored.sha256)

    def save(self, path: Path) -> None:
        """Write the weights with their configuration."""
        write_networks(path, self.networks)

    def box_mm(self, diameter_mm: float) -> float:
        """Return the side of the box in mm."""
        return self.config.box_mm(diameter_mm)

    @torch.inference_mode()
    def inpaint(
        self,
        context_hu: NDArray[np.float32],
        specs: Sequence[NoduleSpec],
        box_mm: Sequence[float],  # noqa: ARG002 - see the note on rescaled boxes
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
        rating = draw_rating(spec)
        mean_hu = draw_mean_hu(spec, rating)
        # To the networks a box always has the size that the asked diameter gives it: in one that
        # calibration rescaled, the nodule fills as much of it, and so follows it.
        condition = condition_vector(
            np.array([spec.diameter_mm]),
            np.array([ATTENUATIONS.index(spec.attenuation)]),
            np.array([mean_hu]),
            np.array([self.box_mm(spec.diameter_mm)]),
            np.array([rating]),
        ).to(device)
        noise = draw_noise(self.config.latent_features, [spec.latent_seed]).to(device)
        cube = cube.contiguous(memory_format=torch.channels_last_3d)
        painted = self.networks.paint(cube, condition, noise)
        centre = central(cube, BOX_VOXELS) + self.networks.change(cube, painted)
        mask = self.networks.segmenter(centre).sigmoid()
        details = {
            "malignancy": class_name(rating),
            "malignancy_rating": f"{rating:.2f}",
            "malignancy_from": "asked" if spec.malignancy is not None else "drawn",
            "drawn_mean_hu": f"{mean_hu:.0f}",
        }
        return (
            denormalise(painted)[0, 0].float().cpu().numpy(),
            mask[0, 0].float().cpu().numpy(),
            details,
        )
