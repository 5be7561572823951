"""A scanner's calibration as one file, and a scanner from it and the weights that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lungsynth.core.errors import LungSynthError
from lungsynth.core.shipped import shipped_file
from lungsynth.data.radiograph_pixels import RadiographScale
from lungsynth.detectors import DETECTORS
from lungsynth.detectors.anogan import AnoGAN
from lungsynth.detectors.baselines import MeanImage, PrincipalComponents
from lungsynth.detectors.calibration import Calibration
from lungsynth.detectors.contracts import Reconstructor
from lungsynth.detectors.domain import Domain
from lungsynth.detectors.encoder import load_encoder
from lungsynth.detectors.generator import load_generator
from lungsynth.detectors.inversion import InversionConfig
from lungsynth.detectors.residuals import ResidualConfig, ResidualModel
from lungsynth.detectors.scanner import Scanner
from lungsynth.nn.device import choose_device
from lungsynth.nn.weights import Weights, load_weights, save_weights

SYSTEM = "anomaly-scan"
CALIBRATION, GENERATOR, ENCODER = (
    "anomaly-scan.safetensors",
    "pggan.safetensors",
    "anogan-encoder.safetensors",
)
"""Files that ship."""


def load_anogan(
    generator: Path | None,
    encoder: Path | None,
    *,
    config: InversionConfig | None = None,
    device: str = "auto",
) -> tuple[AnoGAN, RadiographScale]:
    """Return an AnoGAN and the scale that its generator was trained with.

    Args:
        generator: Its weights; None takes those that ship.
        encoder: Its weights; None takes those that ship, if ``generator`` is None too.
        config: How it searches; None as ``AnoGAN`` says.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        LungSynthError: If a file is missing, broken, or of another system or generator.
    """
    loaded = load_generator(generator, device)
    if encoder is None and generator is None:
        encoder = shipped_file(ENCODER)
    network = None if encoder is None else load_encoder(encoder, loaded.weights_sha256, device)
    target = choose_device(device)
    return AnoGAN(loaded, encoder=network, config=config, device=target), loaded.scale


def save_scanner(path: Path, scanner: Scanner, about: Mapping[str, object]) -> None:
    """Write a scanner's calibration; the networks stay where they are, known by their sha256.

    Args:
        path: .safetensors.
        scanner: Whose.
        about: What else is worth knowing, such as what it was calibrated on.
    """
    detector, domain = scanner.detector, scanner.domain
    tensors = {
        "chest": scanner.chest.astype(np.float32),
        "residual_mean": scanner.residuals.mean,
        "residual_deviation": scanner.residuals.deviation,
        "domain_references": domain.references,
        "domain_mean": domain.mean,
        "domain_components": domain.components,
    }
    if isinstance(detector, MeanImage | PrincipalComponents):
        tensors["mean"] = detector.mean
    if isinstance(detector, PrincipalComponents):
        tensors["components"] = detector.components
    config: dict[str, Any] = {
        "detector": detector.name,
        "image_size": scanner.image_size,
        "scale": scanner.scale.to_dict(),
        "residuals": asdict(scanner.residuals.config),
        "scores": scanner.scores.scores.tolist(),
        "peaks": scanner.peaks.scores.tolist(),
        "domain_apart": domain.apart.tolist(),
        "domain_beside": domain.beside.tolist(),
        "about": dict(about),
    }
    if isinstance(detector, AnoGAN):
        config["search"] = asdict(detector.config)
        config["generator_sha256"] = _sha256_of(detector.generator)
        config["encoder_sha256"] = _sha256_of(detector.encoder)
    arrays = {n: torch.from_numpy(np.ascontiguousarray(a)) for n, a in tensors.items()}
    save_weights(path, SYSTEM, config, arrays)


def load_scanner(
    calibration: Path | None,
    *,
    generator: Path | None = None,
    encoder: Path | None = None,
    device: str = "auto",
) -> tuple[Scanner, Weights]:
    """Return a scanner that is ready to work, and its calibration file.

    Args:
        calibration: Of ``lungsynth evaluate anomaly``; None takes the one that ships.
        generator: Weights; None takes those that ship.
        encoder: Weights; None takes those that ship, where the calibration was made with one.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        LungSynthError: If a file is missing or broken, or they do not belong together.
    """
    path = calibration or shipped_file(CALIBRATION)
    if path is None:
        msg = f"{CALIBRATION}: the calibration that ships is not installed; name a file with "
        raise LungSynthError(msg + "--calibration")
    stored = load_weights(path, SYSTEM)
    try:
        return _scanner(path, stored, (generator, encoder), device), stored
    except (KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        msg = f"{path}: the calibration does not fit this version ({reason})"
        raise LungSynthError(msg) from None


def _scanner(
    path: Path, stored: Weights, networks: tuple[Path | None, Path | None], device: str
) -> Scanner:
    config: dict[str, Any] = dict(stored.config)
    arrays = {name: value.numpy() for name, value in stored.tensors.items()}
    scale = RadiographScale.from_dict(config["scale"])
    name = config["detector"]
    detector: Reconstructor
    if name == AnoGAN.name:
        detector = _checked_anogan(path, config, networks, scale=scale, device=device)
    elif name == PrincipalComponents.name:
        detector = PrincipalComponents(arrays["mean"], arrays["components"])
    elif name == MeanImage.name:
        detector = MeanImage(arrays["mean"])
    else:
        msg = f"{path}: calibration of a detector '{name}'; there are {', '.join(DETECTORS)}"
        raise LungSynthError(msg)
    residuals = ResidualModel(
        arrays["residual_mean"],
        arrays["residual_deviation"],
        ResidualConfig(**config["residuals"]),
    )
    domain = Domain(
        references=arrays["domain_references"],
        mean=arrays["domain_mean"],
        components=arrays["domain_components"],
        apart=np.array(config["domain_apart"]),
        beside=np.array(config["domain_beside"]),
    )
    return Scanner(
        detector=detector,
        image_size=int(config["image_size"]),
        scale=scale,
        residuals=residuals,
        scores=Calibration(np.array(config["scores"])),
        peaks=Calibration(np.array(config["peaks"])),
        domain=domain,
        chest=arrays["chest"] > 0.5,
    )


def _checked_anogan(
    path: Path,
    config: Mapping[str, Any],
    networks: tuple[Path | None, Path | None],
    *,
    scale: RadiographScale,
    device: str,
) -> AnoGAN:
    """Return the AnoGAN that a calibration was made with.

    Raises:
        LungSynthError: If the weights are others, or were trained on another scale of pixels.
    """
    generator, encoder = networks
    search = InversionConfig(**config["search"])
    if config["encoder_sha256"] and encoder is None and generator is not None:
        msg = f"{path}: was calibrated with an encoder; name its weights with --encoder"
        raise LungSynthError(msg)
    detector, trained_scale = load_anogan(generator, encoder, config=search, device=device)
    if not config["encoder_sha256"]:
        detector.encoder = None
    pairs: Sequence[tuple[str, object]] = (
        ("generator", detector.generator),
        ("encoder", detector.encoder),
    )
    for what, network in pairs:
        wanted, found = config[f"{what}_sha256"], _sha256_of(network)
        if wanted != found:
            msg = (
                f"{path}: was calibrated with the {what} {wanted[:12] or 'none'}, not with "
                f"{found[:12] or 'none'}; scores of another mean nothing. Calibrate anew with "
                "'lungsynth evaluate anomaly --calibration'"
            )
            raise LungSynthError(msg)
    if trained_scale != scale or detector.generator.image_size != int(config["image_size"]):
        msg = (
            f"{path}: was calibrated on images of {config['image_size']} pixels on the scale "
            f"{scale}, but the generator was trained on {detector.generator.image_size} and "
            f"{trained_scale}"
        )
        raise LungSynthError(msg)
    return detector


def _sha256_of(network: object) -> str:
    """Return the sha256 of a generator's or encoder's weights; empty where there is none."""
    for name in ("weights_sha256", "sha256"):
        found = getattr(network, name, None)
        if isinstance(found, str):
            return found
    return ""
