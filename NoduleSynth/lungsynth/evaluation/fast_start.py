"""Residual against time: searches from an encoder's answer, and from anywhere.

Both search the same images on the same machine in one run; the time of the encoder counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lungsynth.core.errors import LungSynthError
from lungsynth.detectors.anogan import AnoGAN
from lungsynth.detectors.contracts import Images
from lungsynth.detectors.field import field_weight
from lungsynth.detectors.inversion import FAST, PLAIN
from lungsynth.io.atomic import atomic_path


@dataclass(frozen=True)
class Course:
    """How a search went.

    Args:
        residual: The best so far, the mean over the images, after each step.
        seconds: Since it began, at each.
    """

    residual: list[float]
    seconds: list[float]

    def seconds_to(self, residual: float) -> float | None:
        """Return when it first was as low; None if it never was."""
        reached = np.flatnonzero(np.array(self.residual) <= residual)
        return float(self.seconds[reached[0]]) if len(reached) else None


def run_fast_start(
    detector: AnoGAN,
    images: Images,
    *,
    plain_steps: int = 500,
    fast_steps: int = 100,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Search images in both ways.

    Args:
        detector: With an encoder.
        images: (N, S, S) in [-1, 1], searched at once.
        plain_steps: Of the search from anywhere, which is not stopped before.
        fast_steps: Of the search from the encoder's answer.
        on_progress: Called with stage, steps done and steps in all.

    Raises:
        LungSynthError: If the detector has no encoder.
    """
    if detector.encoder is None:
        msg = "the fast start needs an encoder; name its weights with --encoder"
        raise LungSynthError(msg)
    tell = on_progress or (lambda *_: None)
    weight = field_weight(images)
    courses = {}
    for name, encoder, config in (
        ("plain", None, replace(PLAIN, steps=plain_steps, restarts=1, patience=plain_steps)),
        ("fast", detector.encoder, replace(FAST, steps=fast_steps, patience=fast_steps)),
    ):
        searcher = AnoGAN(
            detector.generator, encoder=encoder, config=config, device=detector.device
        )
        stage, total = f"searching, {name}", config.steps
        began = time.perf_counter()
        found = searcher.search_batch(images, weight, on_step=partial(_told, tell, stage, total))
        # what passed before the search itself began: the encoder
        before = max(0.0, time.perf_counter() - began - found.seconds[-1])
        courses[name] = Course(found.curve, [before + s for s in found.seconds])
    plain, fast = courses["plain"], courses["fast"]
    goal = plain.residual[-1]
    reached = fast.seconds_to(goal)
    return {
        "images": len(images),
        "plain": {"residual": plain.residual, "seconds": plain.seconds},
        "fast": {"residual": fast.residual, "seconds": fast.seconds},
        "plain_residual": goal,
        "plain_seconds": plain.seconds[-1],
        "fast_seconds_to_it": reached,
        "share_of_the_time": None if reached is None else reached / plain.seconds[-1],
    }


def _told(tell: Callable[[str, int, int], None], stage: str, total: int, step: int) -> None:
    tell(stage, step, total)


def text(values: dict[str, Any]) -> str:
    """Return it as people read it."""
    reached = values["fast_seconds_to_it"]
    start = values["fast"]["residual"][0]
    lines = [
        f"plain: residual {values['plain_residual']:.4f} after "
        f"{len(values['plain']['seconds']) - 1} steps, {values['plain_seconds']:.1f} s",
        f"fast: starts at {start:.4f}, ends at {values['fast']['residual'][-1]:.4f} after "
        f"{values['fast']['seconds'][-1]:.1f} s",
        "the fast start does not reach it"
        if reached is None
        else f"the fast start reaches it in {reached:.2f} s, "
        f"{100 * values['share_of_the_time']:.1f} % of the time",
    ]
    return "\n".join(lines)


def write_picture(values: dict[str, Any], path: Path) -> None:
    """Draw both courses.

    Raises:
        LungSynthError: If matplotlib is missing, or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        msg = "a report needs matplotlib; install lungsynth[train], or leave the report out"
        raise LungSynthError(msg) from None
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis: Any = figure.subplots()
    for name in ("plain", "fast"):
        axis.plot(values[name]["seconds"], values[name]["residual"], label=name)
    axis.set(xlabel="seconds", ylabel="residual loss", xscale="symlog")
    axis.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=90)
