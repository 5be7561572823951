"""The report says what was asked and what was measured, in the agreed shape."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import Measurement
from lungsynth.core.volume import Volume
from lungsynth.io.report import insertion_report, write_report

SYNTHESIZER = SimpleNamespace(name="mcgan", weights_sha256="ab" * 32, device="cpu")


@pytest.fixture
def volume():
    return Volume(np.full((12, 30, 40), -800, np.int16), np.diag([0.7, 0.8, 2.5, 1]))


def report_of(*insertions):
    return insertion_report(
        insertions=insertions,
        synthesizer=SYNTHESIZER,
        input_path="/data/größe/ct.nii.gz",
        output_path="/data/out.nii.gz",
        seconds={"inpaint": 0.123456},
    )


def test_report_has_the_agreed_shape(tmp_path, volume, make_insertion):
    insertion = make_insertion(
        volume, [14.00001234, 12.0, 15.0], 8.0, note="cut short", details={"source": "case 7"}
    )
    write_report(report_of(insertion), tmp_path / "r.json")
    text = (tmp_path / "r.json").read_text(encoding="utf-8")
    report = json.loads(text)

    assert "größe" in text
    assert report["synthetic"] is True
    assert report["synthesizer"] == "mcgan"
    assert report["weights_sha256"] == "ab" * 32
    assert report["device"] == "cpu"
    assert report["output"] == "/data/out.nii.gz"
    assert report["seconds"] == {"inpaint": 0.123}
    (entry,) = report["insertions"]
    assert entry["seed_ras_mm"] == [14.0, 12.0, 15.0]
    assert entry["asked"] == {
        "diameter_mm": 8.0,
        "attenuation": "part-solid",
        "malignancy": "malignant",
    }
    assert entry["measured"] == {"diameter_mm": 7.9, "mean_hu": -321.5, "volume_mm3": 250.1}
    # by hand: 14/0.7 = 20, 12/0.8 = 15, 15/2.5 = 6, and 0.6 * 8 mm to each side
    assert entry["box_ijk"] == [[4, 9, 13], [9, 22, 28]]
    assert entry["latent_seed"] == 2**40
    assert entry["within_tolerance"] is True
    assert entry["note"] == "cut short"
    assert entry["details"] == {"source": "case 7"}


def test_what_could_not_be_measured_is_null(volume, make_insertion):
    unmeasured = Measurement(0.0, math.nan, 0.0)

    (entry,) = report_of(make_insertion(volume, [14, 12, 15], measured=unmeasured))["insertions"]

    assert entry["measured"]["mean_hu"] is None


def test_report_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(LungSynthError, match=r"nowhere.r\.json"):
        write_report(report_of(), tmp_path / "nowhere" / "r.json")
