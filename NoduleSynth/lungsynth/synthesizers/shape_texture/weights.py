"""Both parts in one file of weights: each is trained by itself, and carries the other along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from lungsynth.core.errors import LungSynthError
from lungsynth.nn.weights import Weights, load_weights, save_weights
from lungsynth.synthesizers.shape_texture.config import ShapeConfig, TextureConfig
from lungsynth.synthesizers.shape_texture.shape_networks import ShapeGenerator
from lungsynth.synthesizers.shape_texture.texture_networks import TextureGenerator

SYSTEM = "shape-texture"
WEIGHTS_FILE = "shape-texture.safetensors"
SHAPE, TEXTURE = "shape", "texture"
_KINDS: dict[str, tuple[type[Any], type[Any]]] = {
    SHAPE: (ShapeConfig, ShapeGenerator),
    TEXTURE: (TextureConfig, TextureGenerator),
}


def save_parts(path: Path, parts: Mapping[str, nn.Module]) -> None:
    """Write the parts that there are, with the configuration of each."""
    tensors = {
        f"{name}.{key}": value
        for name, part in parts.items()
        for key, value in part.state_dict().items()
    }
    config = {name: _config(part) for name, part in parts.items()}
    save_weights(path, SYSTEM, config, tensors)


def _config(part: nn.Module) -> dict[str, Any]:
    config = part.config
    assert isinstance(config, ShapeConfig | TextureConfig)
    return asdict(config)


def load_parts(path: Path) -> tuple[dict[str, nn.Module], Weights]:
    """Read the parts that a file holds, in evaluation mode.

    Raises:
        LungSynthError: If it is no such file, or its weights do not fit this version.
    """
    stored = load_weights(path, SYSTEM)
    parts: dict[str, nn.Module] = {}
    for name, values in stored.config.items():
        try:
            config_type, part_type = _KINDS[name]
            part = part_type(config_type(**dict(values)))  # type: ignore[call-overload]
            prefix = f"{name}."
            part.load_state_dict(
                {
                    key.removeprefix(prefix): value
                    for key, value in stored.tensors.items()
                    if key.startswith(prefix)
                }
            )
        except (TypeError, KeyError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            msg = f"{path}: the weights do not fit the networks of this version ({reason})"
            raise LungSynthError(msg) from None
        parts[name] = part.eval()
    return parts, stored


def take_over(part: nn.Module, found: Mapping[str, nn.Module], name: str) -> dict[str, nn.Module]:
    """Start a part from weights that were read, and return the other parts, to be kept.

    Raises:
        LungSynthError: If the part is there but of another size.
    """
    if name in found:
        try:
            part.load_state_dict(found[name].state_dict())
        except RuntimeError:
            msg = f"the {name} weights to start from are of another preset than the one to train"
            raise LungSynthError(msg) from None
    return {key: other for key, other in found.items() if key != name}
