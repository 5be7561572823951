"""Training the detectors that a study asks for, each in a folder of its own, resumable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from lungsynth.core.errors import LungSynthError
from lungsynth.detectors.nodules import NoduleDetector, load_nodule_detector
from lungsynth.detectors.nodules.recipe import NoduleDetectorRecipe, preset_of
from lungsynth.evaluation.cxr_detection import FitOrder
from lungsynth.training.checkpoint import load_checkpoint, save_checkpoint
from lungsynth.training.loop import run

WEIGHTS, CHECKPOINT = "detector.safetensors", "checkpoint.ckpt"
CHECKPOINT_EVERY = 200
"""Steps after which a training that is stopped goes on."""


def fitter(
    device: str = "auto",
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
    stop: Callable[[], bool] = lambda: False,
) -> Callable[[FitOrder], NoduleDetector]:
    """Return what trains detectors for a study.

    Args:
        device: "auto", "cpu", "cuda" or "cuda:N".
        on_progress: Called with the name of the training, steps done and in all.
        stop: Asked after each step; True ends with a checkpoint and raises KeyboardInterrupt.
    """

    def fit(order: FitOrder) -> NoduleDetector:
        weights = order.folder / WEIGHTS
        if not weights.is_file():
            _train(order, device, on_progress, stop)
        return load_nodule_detector(weights, order.kind, device)

    return fit


def _train(
    order: FitOrder,
    device: str,
    on_progress: Callable[[str, int, int], None],
    stop: Callable[[], bool],
) -> None:
    config = preset_of(order.kind, order.preset)
    if order.start is not None:
        config = replace(order.start.config, total_steps=max(1, config.total_steps // 2))
    config = replace(
        config,
        total_steps=order.steps or config.total_steps,
        learning_rate=preset_of(order.kind, order.preset).learning_rate * order.rate_factor,
    )
    order.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(order.seed)  # of the first weights
    recipe = NoduleDetectorRecipe(config, order.cases, launched(device), order.start)
    checkpoint = order.folder / CHECKPOINT
    if checkpoint.is_file():
        recipe.load_state_dict(load_checkpoint(checkpoint, order.kind))
    name = f"{order.kind}: {order.folder.name}"

    def on_step(step: int, losses: dict[str, float]) -> None:  # noqa: ARG001 - the loop's call
        on_progress(name, step, config.total_steps)
        if step % CHECKPOINT_EVERY == 0 or stop():
            save_checkpoint(checkpoint, order.kind, recipe.state_dict())

    run(recipe, config.total_steps, seed=order.seed, on_step=on_step, stop=stop)
    if recipe.step_count < config.total_steps:
        raise KeyboardInterrupt
    recipe.save_weights(order.folder / WEIGHTS)
    checkpoint.unlink(missing_ok=True)


def launched(device: str) -> Any:  # noqa: ANN401 - Fabric is optional
    """Return a launched Fabric of one device.

    Raises:
        LungSynthError: If lightning-fabric is missing.
    """
    from lungsynth.nn.device import choose_device

    try:
        from lightning_fabric import Fabric
    except ImportError:
        msg = "training needs lightning-fabric; install lungsynth[train]"
        raise LungSynthError(msg) from None
    chosen = choose_device(device)
    devices: int | list[int] = 1 if chosen.type == "cpu" else [chosen.index or 0]
    fabric = Fabric(accelerator=chosen.type, devices=devices)
    fabric.launch()
    return fabric
