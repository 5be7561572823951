"""How a training run is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lungsynth.core.errors import LungSynthError

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
GUARDS = ("warn", "stop", "lower-rate", "off")
"""What to do about networks in bad health: say so and go on, end the run, go on from the last
checkpoint with half the learning rates, or not look. Numbers that are none end a run in any case
but ``lower-rate``."""
FINE_TUNES = ("auto", "small", "medium", "large", "none")
"""How to go on from weights: as the number of examples asks, for about 20, 100 or 1,000 of them, or
as if they were no other start than any."""


@dataclass(frozen=True)
class TrainOptions:
    """How a run is done.

    Args:
        preset: Which of the system's presets.
        steps: Steps in all; None takes the preset's own number.
        resume: Go on from the folder's checkpoint.
        init: Weights to start from.
        precision: One of ``PRECISIONS``.
        accelerator: "auto", "cpu" or "cuda".
        devices: Devices on each node.
        nodes: Nodes.
        seed: Decides everything random in the run.
        checkpoint_every: Steps between checkpoints.
        snapshot_every: Steps between weights that are kept for choosing among; 0 keeps none.
        cache: Where data that are prepared first, such as cubes cut out of CTs, are kept; None
            means in the folder of the run.
        workers: Processes that read cases at once, for that.
        accumulate: Parts that a batch is learnt from in, one after another; a step then counts
            that many times as many items.
        guard: What the watch over the networks' health does: one of ``GUARDS``.
        fine_tune: How a run that starts from weights goes on from them: one of ``FINE_TUNES``.
        timeout_s: How long one process of a run waits for another before it gives up.
    """

    preset: str = "default"
    steps: int | None = None
    resume: bool = False
    init: Path | None = None
    precision: str = "32-true"
    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    seed: int = 0
    checkpoint_every: int = 50
    snapshot_every: int = 0
    cache: Path | None = None
    workers: int = 1
    accumulate: int = 1
    guard: str = "warn"
    fine_tune: str = "auto"
    timeout_s: float = 600.0

    def __post_init__(self) -> None:
        for name in ("devices", "nodes", "checkpoint_every", "workers", "accumulate"):
            if getattr(self, name) < 1:
                msg = f"{name} must be at least 1; got {getattr(self, name)}"
                raise LungSynthError(msg)
        if self.steps is not None and self.steps < 1:
            msg = f"steps must be at least 1; got {self.steps}"
            raise LungSynthError(msg)
        for name, allowed in (
            ("precision", PRECISIONS),
            ("guard", GUARDS),
            ("fine_tune", FINE_TUNES),
        ):
            if getattr(self, name) not in allowed:
                msg = f"unknown {name} '{getattr(self, name)}'; allowed are {', '.join(allowed)}"
                raise LungSynthError(msg)
