"""Which resolution is trained at which step, and how far its layers are faded in [1, 2 and A.1]."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

from lungsynth.synthesizers.pggan.config import PGGANConfig, sides_to


@dataclass(frozen=True)
class Phase:
    """Steps at one resolution: while its layers are faded in, or after.

    Args:
        side: Pixels along each side of the images.
        fading: Whether the layers of that side are being faded in.
        batch: Images of a step.
        steps: How many.
        first_step: Steps before it.
        first_image: Real images shown before it.
    """

    side: int
    fading: bool
    batch: int
    steps: int
    first_step: int
    first_image: int


@dataclass(frozen=True)
class Stage:
    """Where the training is before a step.

    Args:
        side: Pixels along each side of the images.
        alpha: How far the layers of that side are faded in: 0 at the first step of a fade, 1
            once it is over.
        batch: Images of the step.
        begins: Whether the step is the first of a phase.
        images_shown: Real images shown before.
    """

    side: int
    alpha: float
    batch: int
    begins: bool
    images_shown: int


class Schedule:
    """The phases of a training: 4 x 4, then for each further side a fade and a rest.

    All follows from the number of the step, so that a run resumed in a fade goes on in it.
    """

    def __init__(self, config: PGGANConfig) -> None:
        self.phases: list[Phase] = []
        step = image = 0
        for side in filter(lambda side: side >= config.begin_side, sides_to(config.side)):
            rest = config.last_images if side == config.side else config.stable_images
            batch = config.batch_size(side)
            for fading, images in ((True, config.fade_images), (False, rest)):
                if fading and side == config.begin_side:
                    continue
                steps = math.ceil(images / batch)
                self.phases.append(Phase(side, fading, batch, steps, step, image))
                step, image = step + steps, image + steps * batch
        self.total_steps, self.total_images = step, image

    def at(self, step: int) -> Stage:
        """Return the stage of a step, counted from 0; beyond the last the last one's."""
        starts = [phase.first_step for phase in self.phases]
        phase = self.phases[bisect_right(starts, step) - 1]
        into = step - phase.first_step
        return Stage(
            side=phase.side,
            alpha=into / phase.steps if phase.fading else 1.0,
            batch=phase.batch,
            begins=into == 0,
            images_shown=phase.first_image + into * phase.batch,
        )
