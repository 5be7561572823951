"""3D MCGAN [1]: lung nodules in CT by position, size and attenuation.

[1] Han et al., Pathology-aware generative adversarial networks for medical image augmentation,
arXiv:2106.01915 (2020), section 6.2.1 and Fig. 17.

Departures of the default preset (all ours; ``paper`` keeps to the paper, see mcgan_paper.py):
only the centre is decoded; continuous conditions (diameter, its ratio to the box, mean HU) beside
the six classes; a 16-d latent and per-layer noise instead of dropout; hinge losses with spectral
normalisation instead of LSGAN and WGAN-GP; the noise box fades out towards its faces, where the
old tissue shows through; the critics see what is left of the centre once the volume's own voxels
have held it; a segmenter trained on the real masks measures each nodule, and the generator is
also told by how much it missed the diameter and density asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lungsynth.core.contracts import BOX_VOXELS, GRID_VOXELS, Inpainting
from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import ATTENUATION_HU_RANGE, Attenuation, NoduleSpec
from lungsynth.imaging.voi import box_taper
from lungsynth.nn.centre_unet import LAYER_NOISE_SIDES, CentreSegmenter, CentreUNet, central
from lungsynth.nn.device import choose_device
from lungsynth.nn.patch_critics import PatchCritic
from lungsynth.nn.weights import load_weights, save_weights, shipped_weights

ATTENUATIONS = tuple(Attenuation)
CONDITION_FEATURES = 9
SIZE_CLASSES_MM = (10.0, 20.0)  # small, medium, large [1, 6.2.1]
HU_CENTRE, HU_SCALE = -400.0, 600.0
WEIGHTS_FILE = "mcgan.safetensors"
DENSITY_BY_LOG2_DIAMETER = {
    Attenuation.SOLID: (-272.0, 84.0, 150.0),
    Attenuation.PART_SOLID: (-454.0, 47.0, 130.0),
    Attenuation.GROUND_GLASS: (-675.0, 2.0, 75.0),
}
"""Mean HU inside the mask of the real training nodules: at 8 mm, per doubling, deviation (ours)."""


@dataclass(frozen=True)
class MCGANConfig:
    """Hyper-parameters of the default preset; those of [1, 6.2.1] are marked with it."""

    width: int = 24
    segmenter_width: int = 8
    critic_width: int = 24
    latent_features: int = 16
    taper_voxels: int = 4
    box_per_diameter: float = 1.6  # covers the extent of 95 % of real masks, with the margin
    box_margin_mm: float = 3.0
    batch_size: int = 8
    generator_learning_rate: float = 2e-4  # [1]
    critic_learning_rate: float = 5e-4
    segmenter_learning_rate: float = 1e-3
    adam_beta1: float = 0.0
    l1_weight_start: float = 10.0
    l1_weight_end: float = 0.5
    l1_steps: int = 1500
    size_weight: float = 3.0
    density_weight: float = 2.0
    promise_start: int = 300  # by then the segmenter can measure
    ema_decay: float = 0.998

    def box_mm(self, diameter_mm: float) -> float:
        """Return the side of the box in mm for a nodule of a diameter in mm."""
        return self.box_per_diameter * diameter_mm + self.box_margin_mm


PRESETS: dict[str, MCGANConfig] = {
    "default": MCGANConfig(),
    "tiny": MCGANConfig(width=4, segmenter_width=2, critic_width=4, batch_size=2, promise_start=0),
}


@dataclass(frozen=True, eq=False)
class Noise:
    """Everything random in a batch of nodules."""

    box: Tensor  # (B, 1, 32, 32, 32), U[-0.5, 0.5] [1]
    latent: Tensor  # (B, L), N(0, 1)
    layers: tuple[Tensor, ...]  # (B, 1, s, s, s) for each s in LAYER_NOISE_SIDES, N(0, 1)

    def to(self, device: torch.device) -> Noise:
        """Return the same noise on a device."""
        layers = tuple(layer.to(device) for layer in self.layers)
        return Noise(self.box.to(device), self.latent.to(device), layers)


def draw_noise(latent_features: int, seeds: Sequence[int]) -> Noise:
    """Draw the noise of each item from its own seed, so that no item depends on its batch."""
    boxes, latents, layers = [], [], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        boxes.append(rng.uniform(-0.5, 0.5, (1, BOX_VOXELS, BOX_VOXELS, BOX_VOXELS)))
        latents.append(rng.standard_normal(latent_features))
        layers.append([rng.standard_normal((1, s, s, s), np.float32) for s in LAYER_NOISE_SIDES])
    stacked = [np.stack(level) for level in zip(*layers, strict=True)]
    return Noise(
        box=torch.from_numpy(np.stack(boxes).astype(np.float32)),
        latent=torch.from_numpy(np.stack(latents).astype(np.float32)),
        layers=tuple(torch.from_numpy(level) for level in stacked),
    )


def normalise(hu: Tensor) -> Tensor:
    """Map HU to the networks' range: -1000 is -1, 200 is 1."""
    return (hu - HU_CENTRE) / HU_SCALE


def denormalise(values: Tensor) -> Tensor:
    """Map the networks' range back to HU."""
    return values * HU_SCALE + HU_CENTRE


def condition_vector(
    diameter_mm: NDArray[np.float64],
    attenuation: NDArray[np.int64],
    mean_hu: NDArray[np.float64],
    box_mm: NDArray[np.float64],
) -> Tensor:
    """Return conditions (B, 9): size class (3), attenuation (3), log diameter, fill, density."""
    size = np.digitize(diameter_mm, SIZE_CLASSES_MM, right=True)
    columns = [
        np.eye(3)[size],
        np.eye(3)[attenuation],
        np.log2(diameter_mm / 8)[:, None],
        (4 * (diameter_mm / box_mm - 0.5))[:, None],
        ((mean_hu + 350) / 250)[:, None],
    ]
    return torch.from_numpy(np.concatenate(columns, axis=1).astype(np.float32))


class MCGANNetworks(nn.Module):
    """The networks that insertion needs: generator and segmenter."""

    taper: Tensor

    def __init__(self, config: MCGANConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = CentreUNet(2, config.width, CONDITION_FEATURES, config.latent_features)
        self.segmenter = CentreSegmenter(config.segmenter_width)
        taper = torch.from_numpy(box_taper(config.taper_voxels))
        self.register_buffer("taper", taper[None, None], persistent=False)

    def paint(self, cube: Tensor, condition: Tensor, noise: Noise) -> Tensor:
        """Return the new centre (B, 1, 32, 32, 32) of cubes (B, 1, 64, 64, 64), before the taper."""
        margin = (GRID_VOXELS - BOX_VOXELS) // 2
        weight = nn.functional.pad(self.taper, [margin] * 6)
        hidden = cube * (1 - weight) + nn.functional.pad(noise.box, [margin] * 6) * weight
        given = torch.cat([hidden, weight.expand_as(hidden)], dim=1)
        painted: Tensor = self.generator(given, condition, noise.latent, noise.layers)
        return painted.float()

    def change(self, cube: Tensor, painted: Tensor) -> Tensor:
        """Return by how much the centre changes: nothing at its faces."""
        return self.taper * (painted - central(cube, BOX_VOXELS))


def through_voxels(change: Tensor, round_trip: Sequence[Tensor]) -> Tensor:
    """Return the cube's change (B, 1, 64, 64, 64) once native voxels have held ``change``."""
    z, y, x = round_trip
    change = torch.einsum("bxi,bckji->bckjx", x, change)
    change = torch.einsum("byj,bckjx->bckyx", y, change)
    return torch.einsum("bzk,bckyx->bczyx", z, change)


def soft_diameter_mm(mask: Tensor, box_mm: Tensor) -> Tensor:
    """Return the diameter (B,) of the sphere with the volume of a soft mask (B, 1, 32, 32, 32)."""
    voxel_mm3 = (box_mm / BOX_VOXELS) ** 3
    volume = mask.flatten(1).sum(dim=1) * voxel_mm3
    return torch.pow(6 * (volume + 1e-3) / torch.pi, 1 / 3)


class Critics(nn.Module):
    """Context and nodule critics [1, Fig. 17]."""

    def __init__(self, config: MCGANConfig) -> None:
        super().__init__()
        w = config.critic_width
        self.context = PatchCritic((w, 2 * w, 4 * w), fine=False)
        self.nodule = PatchCritic((w, 2 * w, 4 * w), CONDITION_FEATURES, fine=True)

    def forward(self, cube: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of both for cubes (B, 1, 64, 64, 64)."""
        around = cube[..., 8:-8, 8:-8, 8:-8]
        centre = cube[..., 16:-16, 16:-16, 16:-16]
        return self.context(around), self.nodule(centre, condition)


def draw_mean_hu(spec: NoduleSpec) -> float:
    """Draw the density of a nodule from its latent seed.

    The middle of the class's real range rises with size (partial volume darkens small nodules);
    the spread is a normal one, kept off the range's ends.
    """
    low, high = ATTENUATION_HU_RANGE[spec.attenuation]
    rng = np.random.default_rng((spec.latent_seed, 1))
    intercept, slope, deviation = DENSITY_BY_LOG2_DIAMETER[spec.attenuation]
    drawn = rng.normal(intercept + slope * np.log2(spec.diameter_mm / 8), deviation)
    tenth = (high - low) / 10
    return float(np.clip(drawn, low + tenth, high - tenth))


class MCGAN:
    """The synthesizer: a generator and a segmenter with weights.

    Args:
        networks: With their weights, in evaluation mode.
        device: Where they run.
        weights_sha256: Of the weights file.
    """

    name = "mcgan"

    def __init__(
        self, networks: MCGANNetworks, device: torch.device, weights_sha256: str | None
    ) -> None:
        self.config = networks.config
        self.networks = networks.eval().to(device, memory_format=torch.channels_last_3d)
        self.device = str(device)
        self.weights_sha256 = weights_sha256

    @classmethod
    def load(cls, *, weights: Path | None, device: str, bank: Path | None) -> MCGAN:  # noqa: ARG003 - one signature for all
        """Read weights, those that ship by default.

        Raises:
            LungSynthError: If the weights or the device cannot be used.
        """
        target = choose_device(device)
        path = weights or shipped_weights(WEIGHTS_FILE)
        stored = load_weights(path, "mcgan")
        try:
            networks = MCGANNetworks(MCGANConfig(**stored.config))  # type: ignore[arg-type]
            networks.load_state_dict(stored.tensors)
        except (TypeError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            msg = f"{path}: the weights do not fit the networks of this version ({reason})"
            raise LungSynthError(msg) from None
        return cls(networks, target, stored.sha256)

    def save(self, path: Path) -> None:
        """Write the weights with their configuration."""
        save_weights(path, "mcgan", asdict(self.config), self.networks.state_dict())

    def box_mm(self, diameter_mm: float) -> float:
        """Return the side of the box in mm."""
        return self.config.box_mm(diameter_mm)

    @torch.inference_mode()
    def inpaint(
        self,
        context_hu: NDArray[np.float32],
        specs: Sequence[NoduleSpec],
        box_mm: Sequence[float],
    ) -> Inpainting:
        """Fill the centres; see ``CtSynthesizer.inpaint``.

        Items go through the network one by one: convolutions add up in another order in a batch,
        and the same spec must give the same voxels in whatever batch it comes.
        """
        filled = [
            self._inpaint_one(cube, spec, side)
            for cube, spec, side in zip(context_hu, specs, box_mm, strict=True)
        ]
        return Inpainting(hu=np.stack([f[0] for f in filled]), mask=np.stack([f[1] for f in filled]))

    def _inpaint_one(
        self, cube_hu: NDArray[np.float32], spec: NoduleSpec, box_mm: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        device = torch.device(self.device)
        cube = normalise(torch.from_numpy(cube_hu)[None, None]).to(device)
        # A box that calibration rescaled is, to the network, the box of a nodule as much smaller
        # or larger: the fill stays what it was, and the nodule follows the box.
        condition = condition_vector(
            np.array([spec.diameter_mm]),
            np.array([ATTENUATIONS.index(spec.attenuation)]),
            np.array([draw_mean_hu(spec)]),
            np.array([self.box_mm(spec.diameter_mm)]),
        ).to(device)
        noise = draw_noise(self.config.latent_features, [spec.latent_seed]).to(device)
        cube = cube.contiguous(memory_format=torch.channels_last_3d)
        painted = self.networks.paint(cube, condition, noise)
        centre = central(cube, BOX_VOXELS) + self.networks.change(cube, painted)
        mask = self.networks.segmenter(centre).sigmoid()
        return (
            denormalise(painted)[0, 0].float().cpu().numpy(),
            mask[0, 0].float().cpu().numpy(),
        )
