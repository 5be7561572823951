"""The synthesizer: MCGAN with weights, as the insertion engine uses it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from lungsynth.core.nodule import NoduleSpec
from lungsynth.nn.centre_inpainter import CentreInpainter
from lungsynth.synthesizers.mcgan.conditions import (
    ATTENUATIONS,
    condition_vector,
    draw_mean_hu,
)
from lungsynth.synthesizers.mcgan.kinds import KINDS


class MCGAN(CentreInpainter):
    """The synthesizer; arguments as of ``CentreInpainter``."""

    name = "mcgan"
    kinds = KINDS

    def condition(self, spec: NoduleSpec) -> tuple[Tensor, Mapping[str, str]]:
        """Return the conditions (1, 9), and no details."""
        told = condition_vector(
            np.array([spec.diameter_mm]),
            np.array([ATTENUATIONS.index(spec.attenuation)]),
            np.array([draw_mean_hu(spec)]),
            np.array([self.box_mm(spec.diameter_mm)]),
        )
        return told, {}
