"""Malignancy: the loss and the figures by hand, networks that learn, a study that goes on."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import Malignancy
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.evaluation import malignancy, malignancy_net
from lungsynth.evaluation.classes import Labelled, labelled, rated
from lungsynth.evaluation.malignancy import MalignancyConfig, run_malignancy, study, synthesized
from lungsynth.evaluation.malignancy_figure import roc_points
from lungsynth.evaluation.malignancy_net import (
    ClassifierConfig,
    area_of,
    class_weights,
    scaled,
    train_classifier,
    weighted_loss,
)
from lungsynth.evaluation.malignancy_table import compare_arms, shares_of
from lungsynth.evaluation.pairs import quantised
from lungsynth.evaluation.statistics import delong_test

pytest.importorskip("monai", reason="the classifiers are MONAI's, of the extra [study]")

TINY = ClassifierConfig(width=1 / 16, steps=3, batch_size=4, checks=2)
QUICK = MalignancyConfig(classifier=TINY, seeds=(0, 1), resamples=30, device="cpu")


def test_class_weights_by_hand():
    weights = class_weights(np.array([True, False, False, False]))

    assert weights == pytest.approx((2 / 3, 2.0))
    assert np.mean([weights[0]] * 3 + [weights[1]]) == pytest.approx(1)


def test_weighted_loss_by_hand():
    logits, labels = torch.tensor([0.0, 2.0]), torch.tensor([1.0, 0.0])

    expected = (3 * np.log(2) + 0.5 * np.log(1 + np.exp(2))) / 2

    assert weighted_loss(logits, labels, (0.5, 3.0)).item() == pytest.approx(expected)


def test_scaling_enlarges_and_shrinks_around_the_middle():
    grid = np.indices((32, 32, 32)) - 15.5
    ball = torch.from_numpy((np.square(grid).sum(axis=0) <= 36).astype(np.float32))[None, None]
    batch = ball.expand(60, 2, -1, -1, -1)

    found = scaled(batch, 1.5, np.random.default_rng(0))

    volume = (found > 0.5).sum(dim=(2, 3, 4)).double() / ball.sum()
    assert volume.max() > 1.4**3
    assert volume.min() < 1 / 1.4**3
    assert volume.log().mean().abs() < 0.3
    np.testing.assert_array_equal(volume[:, 0], volume[:, 1])
    assert scaled(batch, 1.0, np.random.default_rng(0)) is batch


def test_shares_by_hand():
    logits = np.array([2.0, -1.0, 3.0, 1.0, -2.0, -3.0])
    malignant = np.array([True, True, True, False, False, False])

    found = shares_of(logits, malignant)

    assert found == pytest.approx(
        {"accuracy": 4 / 6, "sensitivity": 2 / 3, "specificity": 2 / 3, "auc": 8 / 9}
    )


def test_the_roc_curve_has_the_area_and_takes_equal_scores_together():
    scores = np.array([3.0, 1.0, 1.0, 0.0, 1.0, -1.0])
    malignant = np.array([True, True, False, True, False, False])

    x, y = roc_points(scores, malignant)

    assert x.tolist() == pytest.approx([0, 0, 2 / 3, 2 / 3, 1])
    assert y.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])
    assert np.trapezoid(y, x) == pytest.approx(area_of(scores, malignant))


def nodules_of(cubes, malignant):
    index = np.arange(len(cubes))
    return Labelled(
        hu=quantised(cubes.hu),
        centre=np.array([cubes.centre(n) for n in index]),
        malignant=malignant,
        patient=np.array([row["patient"] for row in cubes.table]),
        index=index,
    )


@pytest.fixture(scope="module")
def dense_ones(nine_cubes):
    """The solid nodules stand for malignant ones."""
    return nodules_of(nine_cubes, np.arange(9) % 3 == 0)


def test_each_arm_is_set_against_raw_with_its_sign(dense_ones):
    rng = np.random.default_rng(0)
    truth = np.where(dense_ones.malignant, 1.0, -1.0)
    raw = np.stack([0.2 * truth, -0.1 * truth]) + rng.normal(0, 1, (2, 9))
    better = np.stack([truth, 2 * truth])

    found = compare_arms({"raw": raw, "weighted": better}, dense_ones, resamples=60, random_seed=0)

    areas = [area_of(row, dense_ones.malignant) for row in raw]
    assert found["raw"]["auc_seeds"] == areas
    assert found["raw"]["auc"]["value"] == pytest.approx(np.mean(areas))
    against = found["weighted"]["against_raw"]
    assert against["mean_auc_gain"]["value"] == pytest.approx(1 - np.mean(areas))
    assert against["mean_auc_gain_by_patient"]["value"] == pytest.approx(1 - np.mean(areas))
    expected = delong_test(raw.mean(axis=0), better.mean(axis=0), dense_ones.malignant)
    assert against["delong"]["p_value"] == expected.p_value
    assert against["mcnemar"]["only_raw_right"] == 0
    wrong = ((raw.mean(axis=0) > 0) != dense_ones.malignant).sum()
    assert against["mcnemar"]["only_this_right"] == wrong > 0
    assert "against_raw" not in found["raw"]


def test_a_network_learns_and_the_best_check_is_kept(dense_ones):
    config = ClassifierConfig(width=1 / 16, steps=24, batch_size=9, checks=4, learning_rate=1e-2)

    found = train_classifier(dense_ones, dense_ones, config, 0, device="cpu")

    assert found.val_auc == 1
    assert found.best_step in {6, 12, 18, 24}
    logits = found.logits(dense_ones.hu, dense_ones.centre)
    assert area_of(logits, dense_ones.malignant) == found.val_auc


def test_the_seed_decides_all(dense_ones):
    def said(seed, steps=2):
        config = replace(TINY, steps=steps)
        found = train_classifier(dense_ones, dense_ones, config, seed, device="cpu")
        return found.logits(dense_ones.hu, dense_ones.centre)

    first = said(3)

    np.testing.assert_allclose(said(3), first, rtol=1e-5)
    assert np.abs(said(4) - first).max() > 1e-3
    assert np.isfinite(said(3, steps=1)).all()


def test_every_nodule_is_seen_as_often():
    config = replace(TINY, steps=9, batch_size=4)
    order = np.concatenate(malignancy_net._draw_order(12, config, np.random.default_rng(0)))
    assert np.bincount(order, minlength=12).tolist() == [3] * 12


@pytest.fixture
def splits(rated_data):
    folder = rated_data / "ct_nodules"
    return {name: NoduleCubes.load(folder, name) for name in ("train", "val", "test")}


def test_ratings_are_parted_as_in_the_paper_or_without_the_undecided(nine_cubes):
    ratings = ["1", "2", "2.5", "3.9", "4", "5", "", "2", "4.5"]
    table = [{**r, "malignancy": m} for r, m in zip(nine_cubes.table, ratings, strict=True)]
    table[8]["ambiguous"] = "1"
    cubes = replace(nine_cubes, table=table)

    index, malignant = rated(cubes, undecided=True)
    assert index.tolist() == [0, 1, 2, 3, 4, 5, 7]
    assert malignant.tolist() == [False] * 4 + [True, True, False]
    index, malignant = rated(cubes, undecided=False)
    assert index.tolist() == [0, 1, 4, 5, 7]


def test_malignant_nodules_are_made_at_malignant_sites_in_turn(splits, ball):
    train = labelled(splits["train"], "train", undecided=True)
    asked = []

    class Recording:
        name, weights_sha256, device = "ball", "b" * 64, "cpu"
        box_mm = ball().box_mm

        def inpaint(self, context_hu, specs, box_mm):
            asked.extend(specs)
            return ball().inpaint(context_hu, specs, box_mm)

    made = synthesized(splits["train"], train, Recording(), QUICK)

    assert made.index.tolist() == [1, 3, 5, 7, 1, 3, 5, 7]  # 463 / 233 of four are eight
    assert made.malignant.all()
    assert {spec.malignancy for spec in asked} == {Malignancy.MALIGNANT}
    assert len({spec.latent_seed for spec in asked}) == 8


def values_of(found):
    return {name: value for name, value in found.items() if name != "seconds"}


def test_a_study_that_was_stopped_goes_on_and_ends_the_same(splits, ball, tmp_path, monkeypatch):
    config = replace(QUICK, cache=tmp_path / "kept")
    whole = study(splits, ball(), config=replace(QUICK, cache=tmp_path / "whole"))
    trained = []

    def stopping(*arguments, **options):
        if len(trained) == 4:
            raise KeyboardInterrupt
        trained.append(arguments[3])
        return train_classifier(*arguments, **options)

    monkeypatch.setattr(malignancy, "train_classifier", stopping)
    with pytest.raises(KeyboardInterrupt):
        study(splits, ball(), config=config)
    assert trained == [0, 0, 0, 1]
    trained[:] = [9]
    resumed = study(splits, ball(), config=config)

    assert trained == [9, 1, 1]  # the four that were done are not trained again
    assert values_of(resumed) == values_of(whole)
    assert resumed["nodules"]["train with synthesis"] == {"benign": 5, "malignant": 12}
    assert [(r["seed"], r["arm"]) for r in resumed["runs"][:4]] == [
        (0, "raw"),
        (0, "weighted"),
        (0, "synthesis"),
        (1, "raw"),
    ]


def test_a_broken_or_other_run_is_trained_again(splits, tmp_path):
    config = replace(QUICK, arms=("raw",), seeds=(0,), cache=tmp_path)
    study(splits, None, config)
    (kept,) = tmp_path.glob("malignancy-*.json")
    good = kept.read_text(encoding="utf-8")
    kept.write_text(good[: len(good) // 2], encoding="utf-8")

    study(splits, None, config)
    assert kept.read_text(encoding="utf-8") == good
    study(splits, None, replace(config, classifier=replace(TINY, steps=4)))
    assert len(list(tmp_path.glob("malignancy-*.json"))) == 2


def test_from_files_to_files(rated_data, monkeypatch, ball):
    monkeypatch.setattr("lungsynth.evaluation.realism.load_synthesizer", lambda _, **__: ball())
    json_path, picture = rated_data / "m.json", rated_data / "m.png"

    values = run_malignancy(
        rated_data, "ball", json_path=json_path, report_path=picture, config=QUICK
    )

    written = json.loads(json_path.read_text(encoding="utf-8"))
    assert written["networks"]["resnet10"]["synthesis"]["auc_seeds"] == pytest.approx(
        values["networks"]["resnet10"]["synthesis"]["auc_seeds"]
    )
    assert picture.read_bytes()[:4] == b"\x89PNG"
    rows = {row[0]: row for row in values["table"]["rows"]}
    assert rows["Raw + Synthesis, paper, Mean"][4] == "0.8696"
    assert rows["Raw, ours, resnet10"][5:] == ["", "", ""]
    assert rows["Raw + Synthesis, ours, resnet10"][6] != ""


def test_bad_data_is_refused_before_anything_is_trained(splits, ball, monkeypatch):
    monkeypatch.setattr(malignancy, "train_classifier", None)
    benign = replace(splits["test"], table=[{**r, "malignancy": "2"} for r in splits["test"].table])
    with pytest.raises(LungSynthError, match="test has 0 malignant and 6 benign"):
        study({**splits, "test": benign}, ball(), QUICK)
    shared = [{**r, "patient": splits["train"].table[0]["patient"]} for r in splits["val"].table]
    wrong = {**splits, "val": replace(splits["val"], table=shared), "test": benign}
    with pytest.raises(LungSynthError) as raised:
        study(wrong, ball(), QUICK)
    assert "test has 0 malignant" in str(raised.value)  # all at once
    assert "patient P1-0 is in train and in val" in str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"networks": ("resnet9",)}, "unknown network 'resnet9'; there are resnet10"),
        ({"arms": ("weighted",)}, "arms must be raw and others of raw, weighted, synthesis"),
        ({"arms": ("raw", "more")}, "arms must be raw and others"),
        ({"seeds": ()}, "at least one seed"),
    ],
)
def test_wrong_settings_are_refused(change, message):
    with pytest.raises(LungSynthError, match=message):
        replace(QUICK, **change)
    with pytest.raises(LungSynthError, match="steps, batch_size and checks must be 1 or more"):
        ClassifierConfig(steps=0)
