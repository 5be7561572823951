"""The latent axes of a generator: found, saved, walked along with pictures.

See ``detectors.latent_axes`` for how, and kim2021, section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lungsynth import __version__
from lungsynth.core.errors import LungSynthError
from lungsynth.detectors.classifier import ANY_FINDING, RadiographClassifier
from lungsynth.detectors.contracts import Images
from lungsynth.detectors.generator import Generator
from lungsynth.detectors.latent_axes import (
    AxesConfig,
    LatentAxes,
    draw_normal_starts,
    find_axes,
    monotone,
    moved_latents,
)
from lungsynth.evaluation.figures import Table
from lungsynth.io.atomic import atomic_path
from lungsynth.nn.weights import Weights, load_weights, save_weights

SYSTEM = "latent-axes"
LOW, HIGH = 0.1, 0.8
"""A walk that begins at most here and ends at least there goes from normal to abnormal [issue]."""


def drawing(generator: Generator) -> Callable[[NDArray[np.float32]], Images]:
    """Return a function from latents (B, L) to images (B, S, S) in [-1, 1]."""

    def draw(latents: NDArray[np.float32]) -> Images:
        with torch.inference_mode():
            found = generator(torch.from_numpy(np.ascontiguousarray(latents)).to(generator.device))
        images: Images = found[:, 0].clamp(-1, 1).cpu().numpy()
        return images

    return draw


def check_scales(generator: Generator, classifier: RadiographClassifier) -> None:
    """Refuse a classifier that was trained on pixels of another scale than the generator draws.

    Raises:
        LungSynthError: If they differ; TorchXRayVision's takes any.
    """
    if classifier.level == 1.0 and classifier.scale != generator.scale:
        msg = (
            f"the classifier was trained on {classifier.scale}, the generator draws "
            f"{generator.scale}; train the classifier on the same"
        )
        raise LungSynthError(msg)


def run_axes(
    generator: Generator,
    classifier: RadiographClassifier,
    config: AxesConfig,
    *,
    orthogonal: bool = False,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> tuple[dict[str, Any], LatentAxes]:
    """Find the axes; return the numbers and the axes."""
    check_scales(generator, classifier)
    columns = [n for n, name in enumerate(classifier.names) if name != ANY_FINDING]
    names = [classifier.names[n] for n in columns]
    draw = drawing(generator)

    def read(images: Images) -> NDArray[np.float64]:
        return classifier.likelihoods(images)[:, columns]

    axes = find_axes(
        draw,
        read,
        names,
        generator.latent_size,
        config,
        orthogonal=orthogonal,
        on_progress=on_progress,
    )
    found = {}
    for name in axes.names:
        own, any_finding = axes.walks[name], axes.any_walks[name]
        rising = monotone(any_finding) & (any_finding[:, 0] <= LOW) & (any_finding[:, -1] >= HIGH)
        found[name] = {
            "mean_likelihood": own.mean(axis=0).tolist(),
            "mean_likelihood_of_any": any_finding.mean(axis=0).tolist(),
            "walks": len(own),
            "walks_from_normal_to_abnormal": int(rising.sum()),
        }
    values = {
        "version": __version__,
        "generator_sha256": generator.weights_sha256,
        "classifier_sha256": classifier.sha256,
        "drawings": config.drawings,
        "counts": dict(axes.counts),
        "steps": axes.steps.tolist(),
        "axes": found,
        "not_found": dict(axes.missing),
        "cosines": (axes.directions @ axes.directions.T).tolist(),
    }
    return values, axes


def save_axes(path: Path, axes: LatentAxes, generator_sha256: str) -> None:
    """Write axes for the generator that they are of."""
    config = {"names": list(axes.names), "generator_sha256": generator_sha256}
    config["missing"] = dict(axes.missing)  # type: ignore[assignment]
    directions = torch.from_numpy(axes.directions.astype(np.float32))
    save_weights(path, SYSTEM, config, {"directions": directions})


def load_axes(path: Path, generator_sha256: str) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Return the names (A,) and unit vectors (A, L) of saved axes.

    Raises:
        LungSynthError: If the file is missing or broken, or of another generator.
    """
    stored: Weights = load_weights(path, SYSTEM)
    wanted = str(stored.config.get("generator_sha256"))
    if wanted != generator_sha256:
        msg = f"{path}: axes of the generator {wanted[:12]}, not of {generator_sha256[:12]}"
        raise LungSynthError(msg)
    names = stored.config["names"]
    assert isinstance(names, list)
    return tuple(map(str, names)), stored.tensors["directions"].numpy()


def table(values: dict[str, Any]) -> Table:
    """Return what was found as people read it."""
    rows = []
    for name, found in values["axes"].items():
        own, some = found["mean_likelihood"], found["mean_likelihood_of_any"]
        whole = f"{found['walks_from_normal_to_abnormal']}/{found['walks']}"
        count = str(values["counts"][name])
        rows.append((name, count, f"{own[0]:.2f} -> {own[-1]:.2f}", f"{some[-1]:.2f}", whole))
    for name, why in values["not_found"].items():
        rows.append((name, str(values["counts"][name]), "not found", "-", why))
    head = ("axis", "drawings", "likelihood", "of any", "walks from normal to abnormal")
    return Table("Latent axes", head, rows)


def write_walks(
    generator: Generator,
    classifier: RadiographClassifier,
    axes: LatentAxes,
    config: AxesConfig,
    path: Path,
) -> None:
    """Draw walks: for each axis three latents, with the likelihood at each stop.

    Raises:
        LungSynthError: If matplotlib is missing, or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        msg = "a report needs matplotlib; install lungsynth[train], or leave the report out"
        raise LungSynthError(msg) from None
    draw = drawing(generator)
    starts = draw_normal_starts(draw, classifier.likelihoods, generator.latent_size, config)[:3]
    lines = [(name, n, start) for n, name in enumerate(axes.names) for start in starts]
    figure = Figure(figsize=(1.5 * config.stops, 1.8 * max(1, len(lines))), layout="constrained")
    grid: Any = figure.subplots(max(1, len(lines)), config.stops, squeeze=False)
    for axis in grid.ravel():
        axis.set_axis_off()
    for row, (name, n, start) in enumerate(lines):
        images = draw(moved_latents(start, axes.directions[n], axes.steps))
        likely = classifier.likelihoods(images)[:, classifier.names.index(name)]
        for axis, image, p in zip(grid[row], images, likely, strict=True):
            axis.imshow(image, cmap="gray", vmin=-1, vmax=1)
            axis.set_title(f"{name} {p:.2f}", fontsize=6)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=90)
