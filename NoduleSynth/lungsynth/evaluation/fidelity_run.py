"""The fidelity study from files: which images, which generator, which classifier."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lungsynth.core.errors import LungSynthError
from lungsynth.data.radiographs import RadiographSet, read_squares
from lungsynth.detectors.classifier import (
    PRESETS,
    ClassifierConfig,
    load_classifier,
)
from lungsynth.detectors.contracts import Images
from lungsynth.detectors.generator import Generator, load_generator
from lungsynth.detectors.latent_axes import draw_latents
from lungsynth.evaluation.axes_study import check_scales, drawing
from lungsynth.evaluation.drawn_radiographs import run_drawn, write_picture
from lungsynth.evaluation.fidelity import (
    LabelledImages,
    run_fidelity,
    table,
    train_classifier,
)


@dataclass(frozen=True)
class FidelityOptions:
    """What the study is of; see ``lungsynth evaluate fidelity --help``."""

    data: Path
    weights: Path | None = None
    classifier: Path | None = None
    preset: str = "default"
    steps: int | None = None
    drawings: int = 300
    normals_only: bool = False
    seed: int = 0
    device: str = "auto"


def run(
    options: FidelityOptions,
    report: Path | None = None,
    *,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> tuple[dict[str, Any], str]:
    """Do the study; return the numbers and the lines that people read.

    Raises:
        LungSynthError: If something cannot be used, or the generator draws too few of one kind.
    """
    if options.preset not in PRESETS:
        msg = f"unknown preset '{options.preset}'; the classifier has {', '.join(PRESETS)}"
        raise LungSynthError(msg)
    generator = load_generator(options.weights, options.device)
    config = _config(options, generator)
    listed = RadiographSet.open(options.data)
    train, test = listed.select("train"), listed.select("test")
    side, scale = max(generator.image_size, config.image_size), generator.scale
    learn = LabelledImages.of(read_squares(train, side, scale), train)
    read = LabelledImages.of(read_squares(test, side, scale), test)
    real = (
        None if options.classifier is None else load_classifier(options.classifier, options.device)
    )
    if real is not None:
        check_scales(generator, real)
    draw = drawing(generator)

    def draw_images(seed: int, count: int) -> Images:
        return draw(draw_latents(seed, count, generator.latent_size))

    values: dict[str, Any] = {}
    text, pair = "", None
    if not options.normals_only:
        found = run_fidelity(
            learn,
            read,
            draw_images,
            config,
            seed=options.seed,
            device=options.device,
            real=real,
            on_progress=on_progress,
        )
        values, text = found.values, table(found.values).text() + "\n\n"
        real, pair = found.real, (found.real, found.synthetic)
    real = real or train_classifier(
        learn.checked("training images"),
        config,
        options.seed,
        device=options.device,
        on_progress=on_progress,
    )
    drawn = np.concatenate(
        [
            draw_images(options.seed + first, min(64, options.drawings - first))
            for first in range(0, options.drawings, 64)
        ]
    )
    # what a generator was trained on: normals alone, or all
    among = ~learn.abnormal if options.normals_only else np.ones(len(train), bool)
    held = ~read.abnormal if options.normals_only else np.ones(len(test), bool)
    patients = np.array([record.patient for record in test])[held]
    nearness = run_drawn(
        real,
        learn.images[among],
        read.images[held],
        patients,
        drawn,
        seed=options.seed,
    )
    values["drawn_against_real"] = nearness
    if report is not None:
        mixed = np.argsort(read.abnormal, kind="stable")[:: max(1, len(test) // 10)]
        write_picture(
            report,
            nearness,
            drawn=drawn,
            train=learn.images[among],
            test=read.images[mixed],
            classifiers=pair,
        )
    return values, text + _lines(nearness)


def _config(options: FidelityOptions, generator: Generator) -> ClassifierConfig:
    """Return the preset on the generator's scale of pixels."""
    config = PRESETS[options.preset]
    scale = generator.scale
    return dataclasses.replace(
        config,
        total_steps=options.steps or config.total_steps,
        scale_kind=scale.kind,
        scale_low=scale.low,
        scale_high=scale.high,
    )


def _lines(found: dict[str, Any]) -> str:
    low, middle, _ = found["distance_of_held_real_quantiles"]
    return (
        f"Fréchet distance {found['frechet']:.2f}, {found['ratio']:.2f} times that between halves "
        f"of held real images ({found['frechet_between_halves_of_held_real']:.2f})\n"
        f"nearest training image: {min(found['distance_to_nearest']):.3f} at the least; of held "
        f"real images {low:.3f} (1 %), {middle:.3f} (median); suspected copies "
        f"{found['suspected_copies']} of {found['drawn']}"
    )
