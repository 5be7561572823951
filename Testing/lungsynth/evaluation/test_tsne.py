"""The map: neighbours by hand, groups that stay groups, files to files."""

import json

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.evaluation import realism
from lungsynth.evaluation.frechet import FeatureConfig
from lungsynth.evaluation.neighbours import class_shares, own_kind_share
from lungsynth.evaluation.tsne import TsneConfig, embed, run_tsne

QUICK = TsneConfig(
    features=FeatureConfig(epochs=1, batch_size=4, width=4, features=3, seeds=(0,)),
    device="cpu",
)


def test_nearest_neighbours_by_hand():
    real = np.array([[0.0], [1.0], [10.0]])
    generated = np.array([[0.4], [10.3], [11.0]])
    # 0 -> .4, 1 -> .4, 10 -> 10.3, .4 -> 0, 10.3 -> 10, 11 -> 10.3: one of six is of its own kind
    assert own_kind_share(real, generated).value == pytest.approx(1 / 6)
    assert own_kind_share(real, generated + 100).value == 1


def test_two_samples_of_one_population_are_near_a_half():
    rng = np.random.default_rng(4)

    found = own_kind_share(rng.normal(size=(300, 5)), rng.normal(size=(150, 5)))

    assert found.low < 0.5 < found.high
    assert found.high - found.low < 0.13  # 2 x 150 nodules, so that the sizes do not tell


def test_classes_of_neighbours_by_hand():
    real = np.concatenate([np.zeros((6, 2)), np.full((6, 2), 9.0)])
    malignant = np.array([False] * 6 + [True] * 6)
    made = np.array([[0.1, 0.0], [9.0, 8.9], [0.0, 0.2]])

    assert class_shares(real, malignant) == {"benign": 0.0, "malignant": 1.0}
    found = class_shares(real, malignant, made, np.array([False, True, True]))
    assert found == {"benign": 0.0, "malignant": 0.5}
    only = class_shares(real, malignant, made[:1], np.array([False]))
    assert np.isnan(only["malignant"])


def test_groups_stay_groups_on_the_map_and_the_seed_decides():
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(0, 1, (30, 8)), rng.normal(12, 1, (20, 8))])

    places = embed(features, perplexity=30, random_seed=3)

    group = np.arange(50) >= 30
    away = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e9 * np.eye(50)
    assert (group[away.argmin(axis=1)] == group).all()
    np.testing.assert_array_equal(places, embed(features, perplexity=30, random_seed=3))


def test_from_files_to_files(rated_data, monkeypatch, ball):
    monkeypatch.setattr(realism, "load_synthesizer", lambda _, **__: ball())
    json_path, picture = rated_data / "t.json", rated_data / "t.png"

    values = run_tsne(
        rated_data, "test", ["ball"], json_path=json_path, report_path=picture, config=QUICK
    )

    assert json.loads(json_path.read_text(encoding="utf-8")) == json.loads(json.dumps(values))
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert (values["real"]["benign"], values["real"]["malignant"]) == (3, 3)
    found = values["synthesizers"]["ball"]
    assert [row["nodule"] for row in found["map"]] == list(range(6))
    assert [row["malignant"] for row in found["map"]] == [False, True] * 3
    assert found["nearest_of_own_kind"]["value"] * 12 % 1 == pytest.approx(0)


def test_an_empty_class_is_refused(nodule_data, monkeypatch, ball):
    monkeypatch.setattr(realism, "load_synthesizer", lambda _, **__: ball())
    with pytest.raises(LungSynthError, match="test has 0 malignant and 6 benign nodules"):
        run_tsne(nodule_data, "test", ["ball"], config=QUICK)
