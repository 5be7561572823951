"""How near a nodule that is drawn again in its own shape comes to the known one.

[shen2022, Tables I and II]: MAE, PSNR and SSIM over the full patch and over the masked region, and
the Fréchet distance of patches; one stage or two, conditioned on the shape or on its box. Grey
values run from 0 to 1 over the robust range of the radiograph. The paper's Fréchet distance is
that of Inception's features; ours is that of a network which reads size and contrast of known
nodules (``cxr_patch_net``), so that the two cannot be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lungsynth
from lungsynth.data.cxr_patches import CxrPatchSampler
from lungsynth.evaluation.cxr_pairs import CxrPairs, Filler, draw_known, reconstructed
from lungsynth.evaluation.cxr_patch_net import PatchFeatureConfig, PatchFeatures, learn_features
from lungsynth.evaluation.figures import Table, figured
from lungsynth.evaluation.frechet import frechet_distance
from lungsynth.evaluation.image_quality import RANGE_HU, ssim_map
from lungsynth.evaluation.statistics import Estimate, bootstrap_by_group

VARIANTS: dict[str, tuple[bool, bool]] = {
    "one-stage-box": (False, True),
    "two-stage-box": (True, True),
    "one-stage-shape": (False, False),
    "two-stage-shape": (True, False),
}
"""Rows of [shen2022, Table II]: two stages, box mask."""
PAPER: dict[str, tuple[float, float, float, float, float, float, float]] = {
    "one-stage-box": (0.0023, 39.7072, 0.9688, 4.6675, 0.0313, 28.1213, 0.7421),
    "two-stage-box": (0.0022, 40.0569, 0.9704, 4.4333, 0.0300, 28.4711, 0.7442),
    "one-stage-shape": (0.0008, 46.5973, 0.9900, 2.2798, 0.0305, 28.6721, 0.7497),
    "two-stage-shape": (0.0007, 47.0932, 0.9903, 2.1268, 0.0296, 28.9815, 0.7555),
}
"""[shen2022, Table II]: full MAE, PSNR, SSIM, FID, masked MAE, PSNR, SSIM."""
REGIONS = ("full", "masked")
METRICS = ("mae", "psnr_db", "ssim")
BEST_PSNR_DB = 100.0
"""Of equal patches, whose PSNR has no bound."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CxrQualityConfig:
    """How the study is made.

    Args:
        patches: Held ones.
        features: Of the Fréchet distance.
        resamples: Of radiographs, for the intervals.
        random_seed: Of what is drawn.
    """

    patches: int = 300
    features: PatchFeatureConfig = field(default_factory=PatchFeatureConfig)
    resamples: int = 1000
    random_seed: int = 0


CXR_QUALITY_PRESETS = {
    "full": CxrQualityConfig(),
    "tiny": CxrQualityConfig(4, PatchFeatureConfig(patches=4, epochs=1, batch=2, width=4), 20),
}


def compare_patches(
    real: NDArray[np.float32], made: NDArray[np.float32], mask: NDArray[np.float32]
) -> dict[str, dict[str, float]]:
    """Return MAE, PSNR in dB and SSIM of two patches, full and where the mask is above 0.5.

    Args:
        real: (256, 256) in [-1, 1].
        made: Same.
        mask: 0 to 1, same shape.
    """
    one, two = (np.clip((p.astype(np.float64) + 1) / 2, 0, 1) for p in (real, made))
    # SSIM is the same whatever the unit, as long as the range is in it too
    similarity = ssim_map(one * RANGE_HU, two * RANGE_HU)
    inside = mask > 0.5
    found = {}
    for name, region in (("full", np.ones_like(inside)), ("masked", inside)):
        difference = (one - two)[region]
        squared = float(np.square(difference).mean()) if region.any() else float("nan")
        found[name] = {
            "mae": float(np.abs(difference).mean()) if region.any() else float("nan"),
            "psnr_db": BEST_PSNR_DB if squared == 0 else min(BEST_PSNR_DB, -10 * np.log10(squared)),
            "ssim": float(similarity[region].mean()) if region.any() else float("nan"),
        }
    return found


def measure(
    pairs: CxrPairs, features: PatchFeatures, *, resamples: int, random_seed: int
) -> dict[str, Any]:
    """Return all figures of pairs with intervals over resampled radiographs, as JSON has them."""
    each = [
        compare_patches(real, made, mask)
        for real, made, mask in zip(pairs.real, pairs.generated, pairs.mask, strict=True)
    ]
    found: dict[str, Any] = {"patches": len(pairs)}
    for region in REGIONS:
        found[region] = {}
        for metric in METRICS:
            values = np.array([one[region][metric] for one in each])

            def mean(rows: NDArray[np.int64], values: Floats = values) -> float:
                return float(values[rows].mean())

            found[region][metric] = bootstrap_by_group(
                mean, pairs.patient, np.random.default_rng(random_seed), resamples=resamples
            ).to_json()
    found["frechet"] = frechet_distance(features.of(pairs.real), features.of(pairs.generated))
    return found


def run_cxr_quality(
    data: Path,
    fillers: Mapping[str, Filler],
    config: CxrQualityConfig,
    *,
    split: str = "test",
    device: str = "auto",
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
) -> dict[str, Any]:
    """Return how near each of several texture generators comes to the same held patches.

    Args:
        data: Folder with ``cxr`` and ``ct_nodules``, and ``drr`` where there are any.
        fillers: By name; those of ``VARIANTS`` stand beside the paper's.
        config: How.
        split: Which patches.
        device: For the features.
        on_progress: Called with what is done, how much, and of how much.
    """
    learnt, _ = draw_known(
        CxrPatchSampler.load(data, "train"),
        config.features.patches,
        np.random.default_rng([config.random_seed, 0]),
    )
    features = learn_features(learnt, config.features, device)
    held = draw_known(
        CxrPatchSampler.load(data, split),
        config.patches,
        np.random.default_rng([config.random_seed, 1]),
    )
    found = {}
    for name, filler in fillers.items():
        pairs = reconstructed(
            held,
            filler,
            lambda done, total, name=name: on_progress(name, done, total),  # type: ignore[misc]
        )
        found[name] = measure(
            pairs, features, resamples=config.resamples, random_seed=config.random_seed
        )
    return {
        "study": "cxr-image-quality",
        "version": lungsynth.__version__,
        "split": split,
        "models": found,
    }


def quality_table(values: Mapping[str, Any]) -> Table:
    """Return the study as a table like [shen2022, Table II], its figures beside ours."""
    rows = []
    for name, found in values["models"].items():
        figures = []
        for region in REGIONS:
            for metric in METRICS:
                figure = found[region][metric]
                estimate = Estimate(figure["value"], *figure["interval_95"])
                figures.append(figured(estimate, 1 if metric == "psnr_db" else 4))
        rows.append([name, *figures[:3], f"{found['frechet']:.3f}", *figures[3:]])
        if name in PAPER:
            paper = PAPER[name]
            rows.append([f"{name} (paper)", *(f"{value:g}" for value in paper)])
    columns = (
        "model",
        *("full MAE", "PSNR dB", "SSIM", "Fréchet (not comparable)"),
        *("masked MAE", "PSNR dB", "SSIM"),
    )
    return Table(f"Nodules drawn again in their own shapes, {values['split']}", columns, rows)
