"""How well detectors tell and find what is abnormal: real findings, and planted ones.

[1] Kim, Image synthesis and anomaly detection on chest radiographs using generative adversarial
networks, University of Ulsan, 2021, Table 6: sensitivity for each finding.

[1] had a reader look at the difference maps of 100 findings and no normals; here a threshold is set
on held normals, and the false-positive rate is measured on others. All detectors see the same
images in one run. Nothing is chosen on the images that are reported: how residuals are looked at is
chosen for each detector alike on the validation split, if that has findings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth import __version__
from lungsynth.core.errors import LungSynthError
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.data.radiograph_pixels import RadiographScale
from lungsynth.data.radiographs import RadiographRecord, RadiographSet, read_squares
from lungsynth.detectors.baselines import MeanImage, PrincipalComponents
from lungsynth.detectors.bundle import save_scanner
from lungsynth.detectors.contracts import Images, Reconstructor
from lungsynth.detectors.field import usual_chest, usual_lungs
from lungsynth.detectors.residuals import ResidualConfig, ResidualModel
from lungsynth.detectors.scanner import Looked, Scanner, calibrated, look
from lungsynth.evaluation.froc import JudgedCase, froc_curve, sensitivity_at
from lungsynth.evaluation.planted import CtNodule, plant
from lungsynth.evaluation.statistics import delong_interval, delong_test, wilson_interval

CONFIGS = tuple(
    ResidualConfig(blur=blur, top_share=share)
    for blur in (0.012, 0.03)
    for share in (0.02, 0.1, 0.3, 1.0)
)
"""Among which the way to look at residuals is chosen."""
SENSITIVITY_RATE = 0.1
"""False-positive rate at which sensitivities are told [issue: as in Table 6 of [1]]."""
POINTING_SLACK = 0.02
"""(ours) A peak points at a finding if within this part of the side of it."""
FALSE_MARKS = 1.0
"""False marks in an image at which the sensitivity of marks is told."""
_APART = 0.06

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class AnomalyConfig:
    """How the study is done.

    Args:
        false_positive_rate: That is asked, and then measured on other normals.
        normals: So many training normals say how residuals are distributed, at the most: each
            costs a search.
        planted: So many test normals get a finding of each kind, at the most.
        choose: Whether to choose among ``CONFIGS`` on the validation split.
        random_seed: Decides what is planted, and where.
    """

    false_positive_rate: float = 0.05
    normals: int = 150
    planted: int = 40
    choose: bool = True
    random_seed: int = 0


@dataclass(frozen=True, eq=False)
class Cohort:
    """The radiographs of the study, read.

    Args:
        normals: Training normals (N, S, S).
        held: Validation normals.
        other: Validation images with findings; may be empty.
        test: Test images of both kinds.
        records: Of the test images.
        scale: How stored values became these.
    """

    normals: Images
    held: Images
    other: Images
    test: Images
    records: Sequence[RadiographRecord]
    scale: RadiographScale

    @property
    def abnormal(self) -> NDArray[np.bool_]:
        """Return which test images show a finding."""
        return np.array([not record.is_normal for record in self.records])


def read_cohort(data: Path, side: int, scale: RadiographScale) -> Cohort:
    """Read a folder of radiographs for the study.

    Raises:
        LungSynthError: If it cannot be used, or a split lacks normals or findings.
    """
    listed = RadiographSet.open(data)
    validation, test = listed.select("val"), listed.select("test")
    held = [record for record in validation if record.is_normal]
    other = [record for record in validation if not record.is_normal]
    normal = sum(record.is_normal for record in test)
    if not held or not 1 < normal < len(test) - 1:
        msg = (
            f"{data}: the study needs normals to calibrate on in the split 'val', and normals and "
            f"findings in 'test'; there are {len(held)}, {normal} and {len(test) - normal}"
        )
        raise LungSynthError(msg)
    return Cohort(
        normals=read_squares(listed.select("train", normal_only=True), side, scale),
        held=read_squares(held, side, scale),
        other=read_squares(other, side, scale),
        test=read_squares(test, side, scale),
        records=test,
        scale=scale,
    )


def baselines(cohort: Cohort) -> dict[str, Reconstructor]:
    """Return the plain detectors, fitted to the same training normals."""
    found: list[Reconstructor] = [
        MeanImage.fit(cohort.normals),
        PrincipalComponents.fit(cohort.normals),
    ]
    return {detector.name: detector for detector in found}


def read_nodules(folder: Path, least_mm: float = 8.0) -> list[CtNodule]:
    """Return the nodules of the test split of a folder of nodule cubes that are large enough."""
    cubes = NoduleCubes.load(folder, "test")
    sizes = cubes.diameter_mm
    return [
        CtNodule(cubes.hu[n], cubes.mask[n], float(sizes[n]))
        for n in range(len(cubes))
        if sizes[n] >= least_mm
    ]


@dataclass(eq=False)
class DetectorResult:
    """What the study found of one detector.

    Args:
        scanner: As calibrated.
        scores: Of the test images (N,).
        values: For the report.
        marked: For each kind of planted finding, how each image was judged.
        looked: The test images beside their nearest normals.
    """

    scanner: Scanner
    scores: NDArray[np.float64]
    values: dict[str, Any]
    looked: Looked
    marked: dict[str, list[JudgedCase]] = field(default_factory=dict)


def run_anomaly(
    cohort: Cohort,
    detectors: Mapping[str, Reconstructor],
    *,
    nodules: Sequence[CtNodule] = (),
    config: AnomalyConfig | None = None,
    calibration: Path | None = None,
    on_progress: Progress | None = None,
) -> tuple[dict[str, Any], dict[str, DetectorResult]]:
    """Do the study.

    Args:
        cohort: The radiographs.
        detectors: By name; where "anogan" is among them, it is compared with each of the others.
        nodules: To plant; none leaves planted nodules out.
        config: How.
        calibration: Where the calibration of the first detector is written.
        on_progress: Called with stage, steps done and steps in all.

    Returns:
        The numbers, and for pictures what they come from.
    """
    config = config or AnomalyConfig()
    rng = np.random.default_rng(config.random_seed)
    tell = on_progress or (lambda *_: None)
    normal_rows = np.flatnonzero(~cohort.abnormal)[: config.planted]
    usual = usual_lungs(cohort.normals)
    planted = {
        kind: plant(kind, cohort.test[normal_rows], usual, nodules, rng)
        for kind in ("nodule", "effusion", "pneumothorax")
        if kind != "nodule" or nodules
    }
    results: dict[str, DetectorResult] = {}
    for done, (name, detector) in enumerate(detectors.items()):
        tell(f"testing {name}", done, len(detectors))
        result = _test(cohort, detector, config)
        results[name] = result
        for kind, findings in planted.items():
            tell(f"testing {name} on planted {kind}", done, len(detectors))
            scanner = result.scanner
            looked = scanner.look(np.stack([f.image for f in findings]))
            maps = scanner.residuals.maps(looked.differences, looked.weight)
            masks = np.stack([f.mask for f in findings])
            result.marked[kind] = judged = [
                judge_marks(one, mask) for one, mask in zip(maps, masks, strict=True)
            ]
            normal_maps = _maps(scanner, result.looked.rows(normal_rows))
            empty = np.zeros_like(masks[0])
            judged += [judge_marks(one, empty) for one in normal_maps]
            result.values["planted"][kind] = planted_values(maps, masks, judged)
    if calibration is not None:
        first = next(iter(results.values())).scanner
        about = {"normals": len(cohort.normals), "held": len(cohort.held)}
        save_scanner(calibration, first, about)
    values = {
        "version": __version__,
        "image_size": int(cohort.test.shape[-1]),
        "test_normals": int((~cohort.abnormal).sum()),
        "test_others": int(cohort.abnormal.sum()),
        "false_positive_rate_asked": config.false_positive_rate,
        "detectors": {name: result.values for name, result in results.items()},
        "compared": _compared(results, cohort.abnormal),
    }
    return values, results


def _test(cohort: Cohort, detector: Reconstructor, config: AnomalyConfig) -> DetectorResult:
    """Calibrate a detector and measure it on the test images."""
    chosen = np.linspace(0, len(cohort.normals) - 1, min(config.normals, len(cohort.normals)))
    chest = usual_chest(cohort.normals)
    normals = look(detector, cohort.normals[chosen.round().astype(int)], chest)
    held = look(detector, cohort.held, chest)
    settings = ResidualConfig()
    if config.choose and len(cohort.other) >= 2:
        other = look(detector, cohort.other, chest)
        settings = choose_config(normals, held, other, CONFIGS)
    scanner = calibrated(detector, (normals, held), cohort.scale, chest, settings)
    looked, abnormal = scanner.look(cohort.test), cohort.abnormal
    scans = scanner.judge(looked, config.false_positive_rate)
    scores = np.array([scan.score for scan in scans])
    at_ten = scanner.scores.threshold(SENSITIVITY_RATE)
    positives = np.array([scan.abnormal for scan in scans])
    other_kind = np.array([not scan.of_known_kind for scan in scans])
    values: dict[str, Any] = {
        "auroc": delong_interval(scores, abnormal).to_json(),
        "blur": settings.blur,
        "top_share": settings.top_share,
        "false_positive_rate": _share(positives[~abnormal]),
        "false_positive_rate_at_10": _share(scores[~abnormal] > at_ten),
        "sensitivity_at_10": sensitivities(scores > at_ten, cohort.records),
        "normals_with_a_region": _share(
            np.array([bool(s.regions) for s, a in zip(scans, abnormal, strict=True) if not a])
        ),
        "said_to_be_of_another_kind": _share(other_kind),
        "planted": {},
    }
    return DetectorResult(scanner, scores, values, looked)


def choose_config(
    normals: Looked,
    held: Looked,
    other: Looked,
    configs: Sequence[ResidualConfig],
) -> ResidualConfig:
    """Return the way to look at residuals that tells held normals from others best."""
    labels = np.array([False] * len(held.images) + [True] * len(other.images))

    def area(config: ResidualConfig) -> float:
        residuals = ResidualModel.fit(normals.differences, normals.weight, config)
        scores = np.concatenate(
            [
                residuals.scores(residuals.maps(looked.differences, looked.weight), looked.weight)
                for looked in (held, other)
            ]
        )
        return delong_interval(scores, labels).value

    return max(configs, key=area)


def _maps(scanner: Scanner, looked: Looked) -> Images:
    return scanner.residuals.maps(looked.differences, looked.weight)


def sensitivities(
    found: NDArray[np.bool_], records: Sequence[RadiographRecord]
) -> dict[str, dict[str, object]]:
    """Return for each finding, and for all, how many were found, as Table 6 of [1]."""
    names = sorted({finding for record in records for finding in record.findings})
    rows = {name: np.array([name in r.findings for r in records]) for name in names}
    rows["all"] = np.array([not r.is_normal for r in records])
    return {name: _share(found[which]) for name, which in rows.items()}


def _share(flags: NDArray[np.bool_]) -> dict[str, object]:
    count, total = int(flags.sum()), len(flags)
    if not total:
        return {"count": 0, "of": 0, "value": None, "interval_95": None}
    return {"count": count, "of": total, **wilson_interval(count, total).to_json()}


def marks(deviation: Images) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return where a map (S, S) peaks, (N, 2), and how high, either sign; peaks lie apart."""
    size = np.abs(deviation)
    width = max(3, round(_APART * len(size)) | 1)
    peak = (ndimage.maximum_filter(size, width) == size) & (size > 0)
    at = np.argwhere(peak)
    return at, size[peak].astype(np.float64)


def near(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a finding's mask with the slack that a mark is given."""
    slack = max(1, round(POINTING_SLACK * len(mask)))
    return np.asarray(ndimage.binary_dilation(mask, iterations=slack)) if mask.any() else mask


def judge_marks(deviation: Images, mask: NDArray[np.bool_]) -> JudgedCase:
    """Compare the peaks of a map with the one finding that was planted, or none."""
    at, heights = marks(deviation)
    inside = near(mask)[at[:, 0], at[:, 1]] if len(at) else np.zeros(0, bool)
    best = float(heights[inside].max()) if inside.any() else -np.inf
    hits = np.array([best]) if mask.any() else np.empty(0)
    return JudgedCase(hits, heights[~inside], float(heights.max(initial=0.0)))


def planted_values(
    maps: Images, masks: NDArray[np.bool_], judged: Sequence[JudgedCase]
) -> dict[str, Any]:
    """Return pointing accuracy and FROC of planted findings.

    Args:
        maps: Of the images with findings (N, S, S).
        masks: Of the findings.
        judged: The same images' marks, and those of normals.
    """
    pointed = []
    for deviation, mask in zip(maps, masks, strict=True):
        at = np.unravel_index(int(np.abs(deviation).argmax()), deviation.shape)
        pointed.append(bool(near(mask)[at]))
    rates, found = froc_curve(judged)
    keep = np.unique(np.linspace(0, len(rates) - 1, 60).astype(int))
    return {
        "pointing": _share(np.array(pointed)),
        f"sensitivity_at_{FALSE_MARKS:g}_false_mark": sensitivity_at(judged, FALSE_MARKS),
        "froc": {"false_marks": rates[keep].tolist(), "sensitivity": found[keep].tolist()},
    }


def _compared(
    results: Mapping[str, DetectorResult], abnormal: NDArray[np.bool_]
) -> dict[str, dict[str, object]]:
    """Return AnoGAN's area minus that of each other detector, on the same images."""
    if "anogan" not in results:
        return {}
    own = results["anogan"].scores
    return {
        name: delong_test(other.scores, own, abnormal).to_json()
        for name, other in results.items()
        if name != "anogan"
    }
