"""How near in-painted nodules come to the real ones that they replace: MAE, PSNR, SSIM, Fréchet.

[1] Wang et al., Image quality assessment: from error visibility to structural similarity, IEEE
    Trans. Image Process. 13:600 (2004).

Each real nodule is replaced at its own site by one of the same size and attenuation; the pair is
compared voxel by voxel. A generator that invents a good nodule of another shape is told off as
much as one that draws a bad one, so these say how well the site was reconstructed, not how real
the nodule looks: for that there are the judge and the Fréchet distance.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import lungsynth
from lungsynth.core.contracts import CtSynthesizer
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.evaluation.feature_cache import feature_nets
from lungsynth.evaluation.figures import Table, figured
from lungsynth.evaluation.file_study import FileStudy
from lungsynth.evaluation.frechet import (
    FeatureConfig,
    FeatureNet,
    frechet_distance,
    mean_over_seeds,
)
from lungsynth.evaluation.pairs import HU_HIGH, HU_LOW, Pairs, make_pairs
from lungsynth.evaluation.realism import Progress
from lungsynth.evaluation.statistics import Estimate, bootstrap_by_group

RANGE_HU = float(HU_HIGH - HU_LOW)
"""Peak and dynamic range of PSNR and SSIM: that of the cubes."""
SIGMA_VOXELS, RADIUS_VOXELS = 1.5, 5
"""Of SSIM's Gaussian window, 11 voxels wide [1, 3.2]."""
K1, K2 = 0.01, 0.03
REGIONS = ("voi", "box", "masked")
METRICS = ("mae_hu", "psnr_db", "ssim")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class QualityConfig:
    """How the study is made."""

    features: FeatureConfig = field(default_factory=FeatureConfig)
    max_nodules: int | None = None
    random_seed: int = 0
    resamples: int = 2000
    device: str = "auto"
    cache: Path | None = None


def ssim_map(first: NDArray[np.generic], second: NDArray[np.generic]) -> Floats:
    """Return the structural similarity of two volumes at each voxel [1, Eq. 13], same shape.

    Borders are mirrored. The moments are those of the Gaussian window, not corrected for its size.
    """
    one, two = first.astype(np.float64), second.astype(np.float64)

    def smooth(values: Floats) -> Floats:
        found = ndimage.gaussian_filter(values, SIGMA_VOXELS, radius=RADIUS_VOXELS)
        return np.asarray(found)

    mean_one, mean_two = smooth(one), smooth(two)
    variance_one = smooth(one**2) - mean_one**2
    variance_two = smooth(two**2) - mean_two**2
    covariance = smooth(one * two) - mean_one * mean_two
    c1, c2 = (K1 * RANGE_HU) ** 2, (K2 * RANGE_HU) ** 2
    above = (2 * mean_one * mean_two + c1) * (2 * covariance + c2)
    below = (mean_one**2 + mean_two**2 + c1) * (variance_one + variance_two + c2)
    return np.asarray(above / below)


def nodule_sphere(
    shape: tuple[int, ...], centre: NDArray[np.float64], diameter_mm: float
) -> NDArray[np.bool_]:
    """Return the ball that [yang2019] masks out, from the nodule's diameter, on 1 mm voxels."""
    grid = np.indices(shape) - np.asarray(centre).reshape(-1, 1, 1, 1)
    return np.asarray(np.square(grid).sum(axis=0) <= (max(diameter_mm, 2.0) / 2) ** 2)


def regions(pairs: Pairs, n: int) -> dict[str, NDArray[np.bool_]]:
    """Return where the versions of a pair are compared: (48, 48, 48) each.

    "voi" is the whole cube, "box" what the synthesizer could change, "masked" the ball of the
    nodule's diameter.
    """
    shape = pairs.real.shape[1:]
    box = np.zeros(shape, dtype=bool)
    (z0, y0, x0), (z1, y1, x1) = pairs.box[n].tolist()
    box[z0:z1, y0:y1, x0:x1] = True
    masked = nodule_sphere(shape, pairs.centre[n], float(pairs.asked_mm[n]))
    return {"voi": np.ones(shape, dtype=bool), "box": box, "masked": masked}


def compare(
    real: NDArray[np.generic],
    generated: NDArray[np.generic],
    where: Mapping[str, NDArray[np.bool_]],
) -> dict[str, dict[str, float]]:
    """Return MAE in HU, PSNR in dB and SSIM of two volumes in each region.

    PSNR of what is equal has no bound; it is given as that of a mean squared error of 1 HU^2.
    """
    difference = real.astype(np.float64) - generated.astype(np.float64)
    similarity = ssim_map(real, generated)
    found = {}
    for name, region in where.items():
        squared = max(float(np.square(difference[region]).mean()), 1.0)
        found[name] = {
            "mae_hu": float(np.abs(difference[region]).mean()),
            "psnr_db": float(10 * np.log10(RANGE_HU**2 / squared)),
            "ssim": float(similarity[region].mean()),
        }
    return found


def measure_pairs(
    pairs: Pairs, *, resamples: int, random_seed: int
) -> tuple[list[dict[str, dict[str, float]]], dict[str, dict[str, Estimate]]]:
    """Compare all pairs.

    Returns:
        What ``compare`` gives of each, and means with intervals over resampled patients.
    """
    each = [
        compare(pairs.real[n], pairs.generated[n], regions(pairs, n)) for n in range(len(pairs))
    ]
    means: dict[str, dict[str, Estimate]] = {}
    for region in REGIONS:
        means[region] = {}
        for metric in METRICS:
            values = np.array([one[region][metric] for one in each])

            def mean(rows: NDArray[np.int64], values: Floats = values) -> float:
                return float(values[rows].mean())

            rng = np.random.default_rng(random_seed)
            means[region][metric] = bootstrap_by_group(
                mean, pairs.patient, rng, resamples=resamples
            )
    return each, means


def study(
    splits: Mapping[str, NoduleCubes],
    split: str,
    synthesizers: Sequence[CtSynthesizer],
    config: QualityConfig = QualityConfig(),
    on_progress: Progress | None = None,
) -> tuple[dict[str, Any], dict[str, Pairs]]:
    """Compare what synthesizers make of a split's sites with what was there.

    Returns:
        The values as JSON has them, and the pairs of each synthesizer for pictures.

    Raises:
        LungSynthError: If a synthesizer can make no nodule.
    """
    tell = on_progress or (lambda _stage, _done, _total: None)
    started = time.perf_counter()
    nets = feature_nets(
        splits["train"],
        config.features,
        device=config.device,
        cache=config.cache,
        on_epoch=partial(tell, "learning features of real nodules"),
    )
    found: dict[str, Any] = {}
    made: dict[str, Pairs] = {}
    for synthesizer in synthesizers:
        pairs = make_pairs(
            splits[split],
            split,
            synthesizer,
            max_nodules=config.max_nodules,
            random_seed=config.random_seed,
            cache=config.cache,
            on_progress=partial(tell, f"{synthesizer.name}: nodules of {split}"),
        )
        found[synthesizer.name] = {
            "weights_sha256": synthesizer.weights_sha256,
            **_described(pairs, nets, config),
        }
        made[synthesizer.name] = pairs
    values = {
        "version": lungsynth.__version__,
        "study": "image-quality",
        "split": split,
        "random_seed": config.random_seed,
        "range_hu": RANGE_HU,
        "synthesizers": found,
        "seconds": time.perf_counter() - started,
    }
    values["table"] = quality_table(values).to_json()
    return values, made


def _described(
    pairs: Pairs, nets: Mapping[int, FeatureNet], config: QualityConfig
) -> dict[str, Any]:
    """Return what JSON has of one synthesizer's pairs."""
    each, means = measure_pairs(pairs, resamples=config.resamples, random_seed=config.random_seed)
    distances = {
        seed: frechet_distance(
            net.features(pairs.real, pairs.centre), net.features(pairs.generated, pairs.centre)
        )
        for seed, net in nets.items()
    }
    return {
        "nodules": len(pairs),
        "patients": len(set(pairs.patient.tolist())),
        "refused": list(pairs.refused),
        "regions": {
            region: {metric: value.to_json() for metric, value in of_region.items()}
            for region, of_region in means.items()
        },
        "frechet": mean_over_seeds(distances),
        "each": [
            {"nodule": index, **one} for index, one in zip(pairs.index.tolist(), each, strict=True)
        ],
    }


def quality_table(values: Mapping[str, Any]) -> Table:
    """Return the study's table; [yang2019] gives no such figures to put beside it."""
    rows = []
    for name, found in values["synthesizers"].items():
        for region in REGIONS:
            cells = [
                figured(Estimate(one["value"], *one["interval_95"]), digits)
                for metric, digits in zip(METRICS, (1, 2, 4), strict=True)
                for one in [found["regions"][region][metric]]
            ]
            rows.append([name, region, *cells, f"{found['frechet']['mean']:.2f}"])
    return Table(
        f"Own sites of {values['split']} nodules, in-painted (the paper gives no such figures)",
        ("synthesizer", "region", "MAE, HU", "PSNR, dB", "SSIM", "Fréchet"),
        rows,
    )


def _draw(values: dict[str, Any], made: dict[str, Pairs], _: NoduleCubes, path: Path) -> None:
    from lungsynth.evaluation.quality_figure import draw_quality  # which builds on this module

    draw_quality(values, made, path)


run_image_quality = FileStudy(study, _draw, QualityConfig())
