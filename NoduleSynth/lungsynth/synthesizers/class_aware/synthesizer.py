"""The synthesizer: class-aware networks with weights, as the insertion engine uses them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from lungsynth.core.nodule import NoduleSpec
from lungsynth.nn.centre_inpainter import CentreInpainter
from lungsynth.synthesizers.class_aware.conditions import (
    ATTENUATIONS,
    class_name,
    condition_vector,
    draw_mean_hu,
    draw_rating,
)
from lungsynth.synthesizers.class_aware.kinds import KINDS


class ClassAware(CentreInpainter):
    """The synthesizer; arguments as of ``CentreInpainter``."""

    name = "class-aware"
    kinds = KINDS

    def condition(self, spec: NoduleSpec) -> tuple[Tensor, Mapping[str, str]]:
        """Return the conditions (1, 7), and what was asked and drawn for the report."""
        rating = draw_rating(spec)
        mean_hu = draw_mean_hu(spec, rating)
        told = condition_vector(
            np.array([spec.diameter_mm]),
            np.array([ATTENUATIONS.index(spec.attenuation)]),
            np.array([mean_hu]),
            np.array([self.box_mm(spec.diameter_mm)]),
            np.array([rating]),
        )
        return told, {
            "malignancy": class_name(rating),
            "malignancy_rating": f"{rating:.2f}",
            "malignancy_from": "asked" if spec.malignancy is not None else "drawn",
            "drawn_mean_hu": f"{mean_hu:.0f}",
        }
