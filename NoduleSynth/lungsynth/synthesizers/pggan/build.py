"""From a folder of radiographs and a preset to a recipe, and from a weights file to networks."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from lungsynth.core.errors import LungSynthError
from lungsynth.data.radiograph_batches import RadiographSampler, Variation
from lungsynth.data.radiograph_pixels import RadiographScale
from lungsynth.data.radiographs import RadiographSet
from lungsynth.nn.weights import Weights, load_weights
from lungsynth.synthesizers.pggan.config import PRESETS, PGGANConfig
from lungsynth.synthesizers.pggan.networks import Critic, Generator
from lungsynth.synthesizers.pggan.recipe import PGGANRecipe

FEWEST = 8
"""(ours) Fewer radiographs are certainly a mistake."""
_Network = TypeVar("_Network", Generator, Critic)


def build_recipe(
    data: Path,
    preset: str,
    fabric: Any,  # noqa: ANN401 - Fabric is optional
    init: Path | None,
) -> PGGANRecipe:
    """Return a recipe on the normal radiographs of the training split of a folder.

    Args:
        data: A folder that ``data.radiographs`` knows.
        preset: A name in ``PRESETS``.
        fabric: A launched Fabric.
        init: Weights to start from; its critic is taken too where it lies beside it.

    Raises:
        LungSynthError: If one of them cannot be used.
    """
    if preset not in PRESETS:
        msg = f"unknown preset '{preset}'; pggan has {', '.join(PRESETS)}"
        raise LungSynthError(msg)
    config, generator = PRESETS[preset], None
    if init is not None:
        generator, _ = load_networks(init, "pggan", Generator)
        config = replace(config, begin_side=_grown_side(generator))
    recipe = PGGANRecipe(config, _sampler(data, config), fabric)
    if init is not None and generator is not None:
        _start_from(recipe.generator, generator, init)
        recipe.average.load_state_dict(recipe.generator.state_dict())
        beside = critic_file(init)
        if beside.is_file():
            _start_from(recipe.critic, load_networks(beside, "pggan-critic", Critic)[0], beside)
    return recipe


def _sampler(data: Path, config: PGGANConfig) -> RadiographSampler:
    views = tuple(filter(None, config.views.split(",")))
    records = RadiographSet.open(data).select("train", normal_only=True, views=views)
    if len(records) < FEWEST:
        msg = f"{data}: {len(records)} normal radiographs to train on; {FEWEST} are needed"
        raise LungSynthError(msg)
    variation = Variation(config.zoom, config.turn_degrees, config.gamma)
    return RadiographSampler(records, config.side, scale_of(config), variation)


def scale_of(config: PGGANConfig) -> RadiographScale:
    """Return how stored values become what the networks see."""
    return RadiographScale(config.seen_scale, config.scale_low, config.scale_high)


def critic_file(weights: Path) -> Path:
    """Return where the critic of a generator's weights lies, if it is there."""
    return weights.with_name(f"{weights.stem}-critic{weights.suffix}")


def _grown_side(generator: Generator) -> int:
    """Return the side up to which all layers are faded in."""
    return generator.side if generator.alpha == 1 else generator.side // 2


def _start_from(network: nn.Module, stored: nn.Module, path: Path) -> None:
    try:
        network.load_state_dict(stored.state_dict())
    except RuntimeError:
        msg = f"{path}: these weights are of another preset than the one to train"
        raise LungSynthError(msg) from None


def load_networks(path: Path, system: str, kind: type[_Network]) -> tuple[_Network, Weights]:
    """Return a network that a weights file describes, grown as far as it was, and the file.

    Raises:
        LungSynthError: If it cannot be read, or does not fit the networks of this version.
    """
    stored = load_weights(path, system)
    names = {field.name for field in fields(PGGANConfig)}
    try:
        config: dict[str, Any] = {n: v for n, v in stored.config.items() if n in names}
        network = kind(PGGANConfig(**config))
        network.load_state_dict(stored.tensors)
        network.side = int(str(stored.config["grown_side"]))
        network.alpha = float(str(stored.config["alpha"]))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        msg = f"{path}: the weights do not fit the networks of this version ({reason})"
        raise LungSynthError(msg) from None
    return network, stored
