"""Class control: pairs and shares by hand, a class that is kept and one that is not."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import Malignancy
from lungsynth.evaluation import malignancy_net
from lungsynth.evaluation.class_control import (
    ClassControlConfig,
    plan_pairs,
    run_class_control,
    share_ordered,
    whole_pairs,
)
from lungsynth.evaluation.generated import Generated
from lungsynth.evaluation.malignancy_net import Classifier, ClassifierConfig

pytest.importorskip("monai", reason="the classifiers are MONAI's, of the extra [study]")

QUICK = ClassControlConfig(
    classifier=ClassifierConfig(width=1 / 16, steps=2, batch_size=4, checks=1),
    seeds=(0, 1),
    pairs=9,
    resamples=40,
    device="cpu",
)


def test_pairs_differ_in_nothing_but_the_class(nine_cubes):
    asked = plan_pairs(nine_cubes, "test", replace(QUICK, pairs=12))

    assert len(asked) == 24
    assert [a.index for a in asked[::2]] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2]
    for benign, malignant in zip(asked[::2], asked[1::2], strict=True):
        assert benign.seed.spec.malignancy is Malignancy.BENIGN
        assert malignant.seed.spec.malignancy is Malignancy.MALIGNANT
        spec = replace(malignant.seed.spec, malignancy=Malignancy.BENIGN)
        assert replace(malignant.seed, spec=spec) == benign.seed
        assert malignant.index == benign.index
    assert len({a.seed.spec.latent_seed for a in asked}) == 12


def test_only_whole_pairs_are_judged():
    asked = np.array([0, 1, 3, 4, 6, 7])  # 2 and 5 were refused
    cube = np.zeros((6, 1, 1, 1))
    made = Generated(asked, asked, cube, cube, cube, np.ones(6, bool), [])

    benign, malignant = whole_pairs(made)

    assert (benign.tolist(), malignant.tolist()) == ([0, 4], [1, 5])


def test_the_share_by_hand():
    benign = np.array([0.0, 1.0, 2.0, 3.0])
    malignant = np.array([1.0, 1.0, 1.0, 9.0])  # higher, equal, lower, higher

    found = share_ordered(benign, malignant, np.array(["a", "a", "b", "b"]), QUICK)

    assert found["value"] == 0.625
    assert found["interval_95"][0] < 0.625 < found["interval_95"][1]
    assert found["interval_95_by_patient"] == [0.5, 0.75]


class ClassBall:
    """A ball that is larger inside its tolerance and denser where it is to be malignant."""

    weights_sha256, device = "d" * 64, "cpu"

    def __init__(self, ball, name):
        self.inner, self.name = ball(), name
        self.box_mm = self.inner.box_mm

    def inpaint(self, context_hu, specs, box_mm):
        filled = self.inner.inpaint(context_hu, specs, box_mm)
        if self.name == "class-aware":
            for n, spec in enumerate(specs):
                shift = 60 if spec.malignancy is Malignancy.MALIGNANT else 0
                filled.hu[n] += filled.mask[n] * np.float32(shift)
        return filled


class Densitometer(Classifier):
    """Scores the density in the middle of a cube."""

    def logits(self, hu, centre):
        return np.array(
            [
                c[z - 2 : z + 3, y - 2 : y + 3, x - 2 : x + 3].mean()
                for c, (z, y, x) in zip(hu, np.rint(centre).astype(int), strict=True)
            ]
        )


@pytest.fixture
def two(monkeypatch, ball):
    monkeypatch.setattr(
        "lungsynth.evaluation.realism.load_synthesizer", lambda name, **_: ClassBall(ball, name)
    )
    return ["class-aware", "procedural"]


def test_a_class_that_is_kept_is_found_and_one_that_is_not_is_not(rated_data, two, monkeypatch):
    calls = []

    def trained(train, val, _, seed, **__):
        calls.append((len(train), len(val), seed))
        return Densitometer(None, 1, 1.0)

    monkeypatch.setattr(malignancy_net, "train_classifier", trained)
    json_path, picture = rated_data / "c.json", rated_data / "c.png"

    values = run_class_control(
        rated_data, "test", two, json_path=json_path, report_path=picture, config=QUICK
    )

    assert json.loads(json_path.read_text(encoding="utf-8")) == json.loads(json.dumps(values))
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert calls == [(9, 6, 0), (9, 6, 1)]
    kept, lost = (values["synthesizers"][name] for name in two)
    assert (kept["pairs"], lost["pairs"]) == (9, 9)
    assert kept["malignant_scores_higher"]["value"] == 1
    assert lost["malignant_scores_higher"]["value"] == 0.5
    density = kept["measures"]["mean_hu"]
    assert 30 < density["malignant"] - density["benign"] < 90
    assert lost["measures"]["mean_hu"]["above"] == 0.5
    assert kept["measures"]["diameter_mm"]["above"] == pytest.approx(0.5, abs=0.05)
    assert set(values["real"]) >= {"diameter_mm", "margin_per_mm", "sphericity", "roughness"}
    rows = values["table"]["rows"]
    assert rows[0][:2] == ["class-aware", "classifier, 9 pairs"]
    assert [row[0] for row in rows].count("real, test") == len(values["real"])


def test_real_classifiers_run_through_and_are_kept(rated_data, two, monkeypatch):
    config = replace(QUICK, pairs=2, cache=rated_data / "kept")

    values = run_class_control(rated_data, "val", two[:1], config=config)

    broken, _ = sorted((rated_data / "kept").glob("classifier-*.safetensors"))
    broken.write_bytes(broken.read_bytes()[:1000])
    trained = []
    train_classifier = malignancy_net.train_classifier

    def counted(*arguments, **options):
        trained.append(arguments[3])
        return train_classifier(*arguments, **options)

    monkeypatch.setattr(malignancy_net, "train_classifier", counted)
    again = run_class_control(rated_data, "val", two[:1], config=config)
    assert trained == [0]  # the broken one alone
    assert again["classifier"] == values["classifier"]
    assert again["synthesizers"] == values["synthesizers"]
    assert len(values["classifier"]["best_val_auc"]) == 2
    assert 0 <= values["classifier"]["auc"] <= 1
    assert len(values["synthesizers"]["class-aware"]["each"]) == 2


def test_what_cannot_be_asked_is_refused(rated_data, two):
    with pytest.raises(LungSynthError, match="'mcgan' makes the same nodule whatever class"):
        run_class_control(rated_data, "test", ["mcgan"], config=QUICK)
    with pytest.raises(LungSynthError, match="choose --split test or val"):
        run_class_control(rated_data, "train", two, config=QUICK)
    with pytest.raises(LungSynthError, match="class control needs pairs and a seed; got 0"):
        replace(QUICK, pairs=0)
