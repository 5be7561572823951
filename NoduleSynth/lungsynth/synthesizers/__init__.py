"""Synthesizers of nodules, one file or package for each system, and the tables of them.

The tables hold strings, so that they can be listed before torch is installed.
"""

from __future__ import annotations

from pathlib import Path

from lungsynth.core.contracts import CtSynthesizer, CxrSynthesizer
from lungsynth.core.registry import resolve

SYNTHESIZERS: dict[str, str] = {
    "class-aware": "lungsynth.synthesizers.class_aware.synthesizer:ClassAware",
    "copy-paste": "lungsynth.synthesizers.copy_paste:CopyPaste",
    "mcgan": "lungsynth.synthesizers.mcgan.synthesizer:MCGAN",
    "procedural": "lungsynth.synthesizers.procedural:Procedural",
}

CXR_SYNTHESIZERS: dict[str, str] = {
    "copy-paste": "lungsynth.synthesizers.cxr_copy_paste:CxrCopyPaste",
    "ct-projection": "lungsynth.synthesizers.ct_projection:CtProjection",
    "procedural": "lungsynth.synthesizers.cxr_procedural:CxrProcedural",
    "shape-texture": "lungsynth.synthesizers.shape_texture.synthesizer:ShapeTexture",
}
"""Those that put nodules into chest radiographs; a name may stand in both tables."""

TRAINABLE: dict[str, str] = {
    "anogan-encoder": "lungsynth.detectors.encoder.recipe:build_recipe",
    "class-aware": "lungsynth.synthesizers.class_aware.build:build_recipe",
    "cxr-classifier": "lungsynth.detectors.classifier.recipe:build_recipe",
    "faster-rcnn": "lungsynth.detectors.nodules.recipe:build_faster_rcnn",
    "lung-fields": "lungsynth.training.lung_fields:build_recipe",
    "mcgan": "lungsynth.synthesizers.mcgan.build:build_recipe",
    "pggan": "lungsynth.synthesizers.pggan:build_recipe",
    "retinanet": "lungsynth.detectors.nodules.recipe:build_retinanet",
    "shape-texture": "lungsynth.synthesizers.shape_texture.build:build_texture_recipe",
    "shape-texture-shape": "lungsynth.synthesizers.shape_texture.build:build_shape_recipe",
}
"""From (data folder, preset, fabric, weights to start from or None) to a recipe; what a recipe is
stands in ``training.loop``. Also systems that are no synthesizers stand here."""

PREPARE_DATA: dict[str, str] = {
    "class-aware": "lungsynth.data.prepare:cubes_folder",
    "mcgan": "lungsynth.data.prepare:cubes_folder",
    "shape-texture-shape": "lungsynth.synthesizers.shape_texture.build:prepare_outlines",
}
"""For those trainable whose data are prepared once, before the processes of a run start: from
(data, cache folder; workers, on_progress, on_report) to the folder that the recipe is built on.
All others get the data folder as the user gave it."""

KNOW_MALIGNANCY = frozenset({"class-aware", "procedural"})
"""Those whose nodules differ with the malignancy that is asked; the others leave it unused."""


def load_synthesizer(
    name: str, *, weights: Path | None = None, device: str = "auto", bank: Path | None = None
) -> CtSynthesizer:
    """Return a synthesizer that is ready to work.

    Args:
        name: A name in ``SYNTHESIZERS``.
        weights: Weights file; None takes those that ship. Refused where there are none to load.
        device: "auto", "cpu", "cuda" or "cuda:N".
        bank: Folder of real nodules, for ``copy-paste``.

    Raises:
        LungSynthError: If there is no such synthesizer, or what it needs is missing or broken.
    """
    synthesizer: CtSynthesizer = resolve(SYNTHESIZERS, name).load(
        weights=weights, device=device, bank=bank
    )
    return synthesizer


def load_cxr_synthesizer(
    name: str, *, weights: Path | None = None, device: str = "auto", bank: Path | None = None
) -> CxrSynthesizer:
    """Return a synthesizer for radiographs that is ready to work.

    Args:
        name: A name in ``CXR_SYNTHESIZERS``.
        weights: Weights file; None takes those that ship. Refused where there are none to load.
        device: "auto", "cpu", "cuda" or "cuda:N".
        bank: Folder of real nodules, for those that copy them.

    Raises:
        LungSynthError: If there is no such synthesizer, or what it needs is missing or broken.
    """
    synthesizer: CxrSynthesizer = resolve(CXR_SYNTHESIZERS, name).load(
        weights=weights, device=device, bank=bank
    )
    return synthesizer
