"""From a data folder and a preset to a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lungsynth.core.density import BENIGN_RATING, MALIGNANT_RATING
from lungsynth.core.errors import LungSynthError
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.data.voi_batches import Augmentation, NoduleVoiSampler
from lungsynth.synthesizers.class_aware.config import PRESETS
from lungsynth.synthesizers.class_aware.kinds import KINDS
from lungsynth.synthesizers.class_aware.paper import PAPER_PRESETS
from lungsynth.synthesizers.class_aware.paper_recipe import PaperRecipe
from lungsynth.synthesizers.class_aware.recipe import ClassAwareRecipe

AS_IT_IS = Augmentation(zoom=0.0, shift=0.0, thick_slices=0.0)
"""For the paper's grid has its own millimetres."""


def build_recipe(
    data: Path,
    preset: str,
    fabric: Any,  # noqa: ANN401 - Fabric is optional
    init: Path | None,
) -> ClassAwareRecipe | PaperRecipe:
    """Return a recipe on the training split of a folder of nodule cubes.

    Args:
        data: Folder of nodule cubes with the column ``malignancy``, see ``data.nodule_cubes``.
        preset: A name in ``PRESETS`` or ``PAPER_PRESETS``.
        fabric: A launched Fabric.
        init: Weights to start from.

    Raises:
        LungSynthError: If one of them cannot be used.
    """
    if preset not in PRESETS | PAPER_PRESETS:
        names = ", ".join([*PRESETS, *PAPER_PRESETS])
        msg = f"unknown preset '{preset}'; class-aware has {names}"
        raise LungSynthError(msg)
    cubes = NoduleCubes.load(data, "train")
    rated = np.isfinite(cubes.rating("malignancy"))
    check_classes(data, cubes)
    recipe: ClassAwareRecipe | PaperRecipe
    if preset in PRESETS:
        config = PRESETS[preset]
        sampler = NoduleVoiSampler(cubes, config.box_mm, among=rated)
        recipe = ClassAwareRecipe(config, sampler, fabric)
    else:
        paper = PAPER_PRESETS[preset]
        sampler = NoduleVoiSampler(cubes, paper.box_mm, AS_IT_IS, among=rated)
        recipe = PaperRecipe(paper, sampler, fabric)
    if init is not None:
        recipe.load_weights(KINDS.load(init))
    return recipe


def check_classes(data: Path, cubes: NoduleCubes) -> None:
    """Refuse data of one class alone.

    Raises:
        LungSynthError: If no usable nodule is benign, or none malignant.
    """
    rating = cubes.rating("malignancy")[cubes.usable]
    benign, malignant = (rating <= BENIGN_RATING).sum(), (rating >= MALIGNANT_RATING).sum()
    if not benign or not malignant:
        msg = (
            f"{data / 'train.csv'}: class-aware learns from both classes, and of "
            f"{len(rating)} usable nodules {benign} are benign (malignancy <= {BENIGN_RATING:g}) "
            f"and {malignant} malignant (>= {MALIGNANT_RATING:g}); the column 'malignancy' holds "
            "the readers' mean rating, 1 to 5"
        )
        raise LungSynthError(msg)
