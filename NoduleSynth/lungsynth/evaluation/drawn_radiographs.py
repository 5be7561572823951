"""How near drawn radiographs are to real ones, and whether any is a copy.

[1] Heusel et al., arXiv:1706.08500v6 (2018), Eq. 6: the Fréchet distance, here on features of the
domain: those of a classifier of radiographs, on their first principal components among the real
training images, since a few hundred images do not fill hundreds of dimensions (ours).

A copy would lie much nearer to a training image than new real images do (ours): a drawing is
suspected if it is nearer to its nearest training image than 99 % of held real images to theirs, by
more than a tenth.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import from_numpy
from torch.nn.functional import interpolate

from lungsynth.core.errors import LungSynthError
from lungsynth.detectors.classifier import RadiographClassifier
from lungsynth.detectors.contracts import Images
from lungsynth.evaluation.frechet import frechet_distance, halves_distance
from lungsynth.io.atomic import atomic_path

DIMENSIONS = 16
SIDE = 48
SUSPECT = 0.9
_SHIFTS = (-1, 0, 1)

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FeatureSpace:
    """The first principal components of features of real training images.

    Args:
        mean: Of the features (C,).
        directions: (D, C), scaled to deviation 1 among the training images.
    """

    mean: Floats
    directions: Floats

    @classmethod
    def fit(cls, features: Floats, dimensions: int = DIMENSIONS) -> FeatureSpace:
        """Learn from features (N, C).

        Raises:
            LungSynthError: If there are fewer than twice as many images as dimensions.
        """
        if len(features) < 2 * dimensions:
            msg = (
                f"a Fréchet distance needs {2 * dimensions} training radiographs at least; got "
                f"{len(features)}"
            )
            raise LungSynthError(msg)
        mean = features.mean(axis=0)
        _, values, rows = np.linalg.svd(features - mean, full_matrices=False)
        deviation = np.maximum(values[:dimensions] / np.sqrt(len(features) - 1), 1e-9)
        return cls(mean, rows[:dimensions] / deviation[:, None])

    def project(self, features: Floats) -> Floats:
        """Return (N, D)."""
        return np.asarray((features - self.mean) @ self.directions.T)


def run_drawn(
    classifier: RadiographClassifier,
    train: Images,
    held: Images,
    patients: NDArray[np.str_],
    drawn: Images,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare drawn radiographs with real ones of the kind that they stand for.

    Args:
        classifier: Whose features are taken.
        train: Real images that the generator was trained on (N, S, S).
        held: Real images that it was not (M, S, S).
        patients: Whom the held images show, (M,): halves are of different patients.
        drawn: (B, S, S).
        seed: Of the ways to halve.
    """
    space = FeatureSpace.fit(classifier.features(train))
    real, found = (space.project(classifier.features(x)) for x in (held, drawn))
    halves = halves_distance(real, patients, np.random.default_rng(seed))
    distance = frechet_distance(real, found)
    nearest, apart = nearest_real(drawn, train)
    usual = nearest_real(held, train)[1]
    limit = SUSPECT * float(np.quantile(usual, 0.01))
    return {
        "frechet": distance,
        "frechet_between_halves_of_held_real": halves,
        "ratio": distance / halves if halves else float("nan"),
        "nearest_training_image": nearest.tolist(),
        "distance_to_nearest": apart.tolist(),
        "distance_of_held_real_quantiles": np.quantile(usual, [0.01, 0.5, 0.99]).tolist(),
        "suspected_copies": int((apart < limit).sum()),
        "drawn": len(drawn),
    }


def nearest_real(images: Images, train: Images) -> tuple[NDArray[np.int64], Floats]:
    """Return the nearest training image of each image (B,) and its distance.

    The distance is 1 - the correlation of pictures of 48 x 48 pixels, the least over shifts by a
    pixel: a copy that was moved a little is one still.
    """
    known = _unit(_small(train))
    best = np.full((len(images), len(train)), -np.inf)
    small = _small(images)
    for down in _SHIFTS:
        for right in _SHIFTS:
            moved = np.roll(small, (down, right), axis=(1, 2))
            best = np.maximum(best, _unit(moved) @ known.T)
    nearest = best.argmax(axis=1)
    return nearest.astype(np.int64), np.asarray(1 - best.max(axis=1), dtype=np.float64)


def _small(images: Images) -> Images:
    whole = from_numpy(np.ascontiguousarray(images, dtype=np.float32))[:, None]
    small: Images = interpolate(whole, (SIDE, SIDE), mode="bilinear", antialias=True)[:, 0].numpy()
    return small


def _unit(images: Images) -> Floats:
    flat = images.reshape(len(images), -1).astype(np.float64)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9))


def write_picture(
    path: Path,
    values: dict[str, Any],
    *,
    drawn: Images,
    train: Images,
    test: Images,
    classifiers: tuple[RadiographClassifier, RadiographClassifier] | None,
) -> None:
    """Draw the drawings nearest to training images beside those, and Grad-CAM pairs.

    Args:
        path: .png.
        values: What ``run_drawn`` returned.
        drawn: The drawings.
        train: The training images.
        test: Real images for Grad-CAM.
        classifiers: That learnt from real and from drawn images; None leaves Grad-CAM out.

    Raises:
        LungSynthError: If matplotlib is missing, or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        msg = "a report needs matplotlib; install lungsynth[train], or leave the report out"
        raise LungSynthError(msg) from None
    order = np.argsort(values["distance_to_nearest"])[:10]
    shown = min(10, len(test))
    figure = Figure(figsize=(15, 3 + (7.5 if classifiers else 1)), layout="constrained")
    axes: Any = figure.subplots(5 if classifiers else 2, 10, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    for column, n in enumerate(order.tolist()):
        near = values["nearest_training_image"][n]
        axes[0][column].imshow(drawn[n], cmap="gray", vmin=-1, vmax=1)
        axes[0][column].set_title("drawn", fontsize=7)
        axes[1][column].imshow(train[near], cmap="gray", vmin=-1, vmax=1)
        axes[1][column].set_title(f"{values['distance_to_nearest'][n]:.3f}", fontsize=7)
    if classifiers:
        for row, (name, classifier) in enumerate(
            zip(("learnt from real", "learnt from drawn"), classifiers, strict=True)
        ):
            heat = classifier.grad_cam(test[:shown], classifier.names[0])
            likely = classifier.any_finding(classifier.likelihoods(test[:shown]))
            for column in range(shown):
                axis = axes[3 + row][column]
                axis.imshow(test[column], cmap="gray", vmin=-1, vmax=1)
                axis.imshow(heat[column], cmap="inferno", alpha=0.4, vmin=0, vmax=1)
                axis.set_title(f"{name} {likely[column]:.2f}", fontsize=7)
        for column in range(shown):
            axes[2][column].imshow(test[column], cmap="gray", vmin=-1, vmax=1)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=80)
