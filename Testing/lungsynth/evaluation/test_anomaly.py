"""The study of detectors, on radiographs whose findings are known."""

from pathlib import Path

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.data.radiograph_pixels import RadiographScale
from lungsynth.data.radiographs import RadiographRecord
from lungsynth.detectors.baselines import MeanImage
from lungsynth.detectors.bundle import load_scanner
from lungsynth.detectors.field import usual_chest, usual_lungs
from lungsynth.detectors.residuals import ResidualConfig
from lungsynth.detectors.scanner import look
from lungsynth.evaluation.anomaly import (
    AnomalyConfig,
    Cohort,
    baselines,
    choose_config,
    judge_marks,
    marks,
    near,
    planted_values,
    run_anomaly,
    sensitivities,
)
from lungsynth.evaluation.anomaly_report import roc_curve, tables
from lungsynth.evaluation.planted import CtNodule, plant

SIDE = 64


def chests(count: int, seed: int) -> np.ndarray:
    """Two dark lungs on bright ground, in [-1, 1]."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE * 2 - 1
    found = []
    for _ in range(count):
        a, b = 0.04 * rng.standard_normal(2)
        lungs = np.exp(-(((rows - a) / 0.5) ** 4) - ((columns + 0.45 + b) / 0.25) ** 4)
        lungs += np.exp(-(((rows - a) / 0.5) ** 4) - ((columns - 0.45 - b) / 0.25) ** 4)
        found.append(0.6 - 1.1 * lungs + 0.1 * rows + rng.normal(0, 0.04, rows.shape))
    return np.clip(found, -1, 1).astype(np.float32)


def ball(side: int = 21, radius: int = 6) -> CtNodule:
    z, y, x = np.mgrid[:side, :side, :side] - side // 2
    mask = z**2 + y**2 + x**2 <= radius**2
    return CtNodule(np.where(mask, 40, -850).astype(np.int16), mask, 2.0 * radius)


def record(n: int, *findings: str) -> RadiographRecord:
    return RadiographRecord(Path(f"{n}.png"), f"p{n}", "test", findings)


def cohort() -> Cohort:
    """Half of the test images have a bright disc: "Mass"."""
    test = chests(40, 3)
    test[20:, 28:38, 12:22] += 0.5
    records = [record(n, *(("Mass",) if n >= 20 else ())) for n in range(40)]
    other = chests(6, 4)
    other[:, 30:40, 42:52] += 0.5
    return Cohort(chests(60, 1), chests(20, 2), other, test, records, RadiographScale())


def test_marks_are_the_peaks_of_either_sign_that_lie_apart():
    deviation = np.zeros((50, 50), np.float32)
    deviation[10, 20], deviation[11, 20], deviation[30, 5], deviation[40, 45] = 5, 4, -7, 2

    at, heights = marks(deviation)

    assert {(int(r), int(c)): h for (r, c), h in zip(at, heights, strict=True)} == {
        (10, 20): 5, (30, 5): 7, (40, 45): 2,
    }  # fmt: skip


def test_marks_are_judged_by_whether_they_lie_on_the_finding_or_just_beside():
    deviation = np.zeros((50, 50), np.float32)
    deviation[10, 20], deviation[30, 5], deviation[40, 45] = 5, -7, 2
    mask = np.zeros((50, 50), bool)
    mask[11:15, 18:24] = True  # the slack of one pixel takes in row 10

    found, nothing = judge_marks(deviation, mask), judge_marks(deviation, np.zeros_like(mask))

    assert found.hits.tolist() == [5]
    assert sorted(found.false.tolist()) == [2, 7]
    assert found.score == 7
    assert len(nothing.hits) == 0
    assert sorted(nothing.false.tolist()) == [2, 5, 7]
    assert near(mask).sum() > mask.sum()


def test_pointing_and_froc_by_hand():
    """Of two findings one is pointed at; at one false mark an image both are marked."""
    maps = np.zeros((2, 50, 50), np.float32)
    masks = np.zeros((2, 50, 50), bool)
    masks[:, 10:20, 10:20] = True
    maps[0, 15, 15], maps[0, 40, 40] = 9, 3
    maps[1, 15, 15], maps[1, 40, 40] = 4, 8
    judged = [judge_marks(m, k) for m, k in zip(maps, masks, strict=True)]

    found = planted_values(maps, masks, judged)

    assert found["pointing"]["count"] == 1
    assert found["sensitivity_at_1_false_mark"] == 1.0
    assert found["froc"]["sensitivity"][:3] == [0, 0.5, 0.5]


def test_sensitivities_count_each_finding_of_an_image():
    records = [record(0), record(1, "Mass", "Edema"), record(2, "Edema"), record(3)]

    found = sensitivities(np.array([True, True, False, False]), records)

    assert {k: (v["count"], v["of"]) for k, v in found.items()} == {
        "Edema": (1, 2), "Mass": (1, 1), "all": (1, 2),
    }  # fmt: skip


def test_the_way_to_look_is_the_one_that_tells_best():
    """What is planted is one pixel in size: a wide blur hides it, the mean over all too."""
    normals, held, other = chests(60, 1), chests(20, 2), chests(20, 5)
    other[:, 33, 17] += 1.2
    detector = MeanImage.fit(normals)
    configs = [
        ResidualConfig(blur=0.1, top_share=1.0),
        ResidualConfig(blur=0.005, top_share=0.001),
    ]

    found = choose_config(*(look(detector, x) for x in (normals, held, other)), configs)

    assert found == configs[1]


def test_the_whole_study_finds_what_is_there(tmp_path):
    radiographs = cohort()
    path = tmp_path / "scan.safetensors"

    values, results = run_anomaly(
        radiographs,
        baselines(radiographs),
        nodules=[ball()],
        config=AnomalyConfig(planted=10),
        calibration=path,
    )

    found = values["detectors"]["pca"]
    assert values["test_normals"] == values["test_others"] == 20
    assert found["auroc"]["value"] > 0.95
    assert found["sensitivity_at_10"]["Mass"] == found["sensitivity_at_10"]["all"]
    assert found["sensitivity_at_10"]["all"]["count"] == int(
        (results["pca"].scores[20:] > results["pca"].scanner.scores.threshold(0.1)).sum()
    )
    assert found["false_positive_rate"]["of"] == 20
    assert set(found["planted"]) == {"nodule", "effusion", "pneumothorax"}
    assert found["planted"]["effusion"]["pointing"]["value"] >= 0.8
    assert load_scanner(path, device="cpu")[0].detector.name == "mahalanobis"
    text = tables(values)[0].text()
    assert "pca" in text
    assert "% asked" in text
    again, _ = run_anomaly(
        radiographs, baselines(radiographs), nodules=[ball()], config=AnomalyConfig(planted=10)
    )
    assert again == values


def test_the_chest_is_all_between_and_around_the_lungs():
    chest = usual_chest(chests(20, 1))
    lungs = usual_lungs(chests(20, 1)).any(axis=0)

    assert chest[lungs].all()
    assert chest[32, 32]  # between them
    assert not chest[:6].any()
    assert not chest[-4:, :4].any()
    assert 0.3 < chest.mean() < 0.7


def test_lungs_of_the_mean_are_where_it_is_dark():
    lungs = usual_lungs(chests(20, 1))

    for part, column in zip(lungs, (17, 46), strict=True):
        assert part[32, column]
        assert abs(np.argwhere(part)[:, 1].mean() - column) < 3
        assert 0.02 < part.mean() < 0.2


@pytest.mark.parametrize(("kind", "sign"), [("nodule", 1), ("effusion", 1), ("pneumothorax", -1)])
def test_a_planted_finding_changes_its_mask_and_hardly_anything_else(kind, sign):
    images = chests(6, 9)
    usual = usual_lungs(chests(20, 1))

    found = plant(kind, images, usual, [ball()], np.random.default_rng(2))

    for before, finding in zip(images, found, strict=True):
        change = finding.image - before
        assert sign * change[finding.mask].mean() > 0.03
        assert np.abs(change[~near(near(finding.mask))]).max() < 0.13
    again = plant(kind, images, usual, [ball()], np.random.default_rng(2))
    np.testing.assert_array_equal(found[3].image, again[3].image)


def test_unknown_findings_and_missing_nodules_are_refused():
    images, lungs = chests(1, 0), usual_lungs(chests(20, 1))

    with pytest.raises(LungSynthError, match="planted are nodule, effusion, pneumothorax"):
        plant("fracture", images, lungs, [], np.random.default_rng(0))
    with pytest.raises(LungSynthError, match="no CT nodules to plant"):
        plant("nodule", images, lungs, [], np.random.default_rng(0))


def test_roc_curve_goes_through_ties_at_once():
    scores, labels = np.array([3.0, 2, 2, 1]), np.array([True, True, False, False])

    rates, found = roc_curve(scores, labels)

    np.testing.assert_allclose(rates, [0, 0, 0.5, 1])
    np.testing.assert_allclose(found, [0, 0.5, 1, 1])
