"""Seeds come from tables and Slicer's point lists as they were meant."""

from __future__ import annotations

import json

import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import Attenuation, Malignancy, NoduleSpec
from lungsynth.io.seeds import read_seeds

DEFAULT = NoduleSpec(11.0, Attenuation.PART_SOLID, Malignancy.BENIGN, 5)


def table(tmp_path, text, name="seeds.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def markups(tmp_path, system="LPS", **changes):
    points = [
        {"id": "1", "label": "F-1", "position": [10.5, -20.0, 30.0], "positionStatus": "defined"},
        {"id": "2", "label": "F-2", "position": [0.0, 0.0, 0.0], "positionStatus": "undefined"},
        {"id": "3", "label": "uzlík", "position": [-1.0, 2.0, -3.0], "positionStatus": "defined"},
    ]
    markup = {
        "type": "Fiducial",
        "coordinateSystem": system,
        "coordinateUnits": "mm",
        "controlPoints": points,
        **changes,
    }
    return table(tmp_path, json.dumps({"markups": [markup]}), "F.mrk.json")


def test_table_gives_position_and_spec_and_empty_cells_the_default(tmp_path):
    path = table(
        tmp_path,
        "\ufeffName, R ,A,S,Diameter_mm,attenuation,malignancy,latent_seed\n"
        "top,1.5,-2,3e1,6,Ground-Glass,malignant,77\n"
        "\n"
        "# a remark\n"
        ",4,5,6,,,,\n",
    )

    first, second = read_seeds(path, DEFAULT)

    assert first.position_ras_mm == (1.5, -2.0, 30.0)
    assert first.name == "top"
    assert first.spec == NoduleSpec(6.0, Attenuation.GROUND_GLASS, Malignancy.MALIGNANT, 77)
    assert second.position_ras_mm == (4.0, 5.0, 6.0)
    assert second.spec == DEFAULT
    assert second.name == ""


@pytest.mark.parametrize(
    "text", ['ras\n"1,2,3"\n', "RAS\n1 2 3\n", "r;a;s\n1;2;3\n", "s,a,r\n3,2,1\n"]
)
def test_position_may_be_written_in_several_ways(tmp_path, text):
    (seed,) = read_seeds(table(tmp_path, text), DEFAULT)

    assert seed.position_ras_mm == (1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("r,a,s\n1,2,3\n1,x,3\n", r"line 3: a must be a number; got 'x'"),
        ("r,a,s\n1,2\n", r"line 2: s must be a number; got ''"),
        ("r,a,s\n1,2,nan\n", r"line 2: s must be a number"),
        ("r,a,s\n1,2,3,4\n", r"line 2: 4 cells under 3 columns"),
        ("r,a,s,diameter_mm\n1,2,3,500\n", r"line 2: diameter_mm must be from 3 to 40"),
        ("r,a,s,diameter_mm\n1,2,3,-3\n", r"line 2: diameter_mm must be from 3 to 40"),
        ("r,a,s,diameter_mm\n1,2,3,abc\n", r"line 2: diameter_mm must be a number; got 'abc'"),
        ("r,a,s,attenuation\n1,2,3,hard\n", r"line 2: attenuation must be one of solid, part-"),
        ("r,a,s,malignancy\n1,2,3,bad\n", r"line 2: malignancy must be one of benign, malignant"),
        ("r,a,s,latent_seed\n1,2,3,1.5\n", r"line 2: latent_seed must be a whole number"),
        ("ras\n1 2\n", r"line 2: ras needs three numbers"),
        ("x,y,z\n1,2,3\n", r"line 1: the header is 'x, y, z'; it needs r, a, s \(or ras\)"),
        ("1,2,3\n", r"line 1: the header is"),
        ("r,a,s,r\n1,2,3,4\n", r"line 1: the header is"),
        ("", r"line 1: the header is nothing"),
        ("r,a,s\n", r"no seeds in it"),
    ],
)
def test_wrong_table_is_refused_by_line(tmp_path, text, match):
    with pytest.raises(LungSynthError, match=match) as caught:
        read_seeds(table(tmp_path, text), DEFAULT)

    assert "seeds.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("system", "sign"), [("LPS", -1), ("RAS", 1)])
def test_points_of_slicer_are_turned_to_ras(tmp_path, system, sign):
    first, second = read_seeds(markups(tmp_path, system), DEFAULT)

    assert first.position_ras_mm == (sign * 10.5, sign * -20.0, 30.0)
    assert second.position_ras_mm == (sign * -1.0, sign * 2.0, -3.0)
    assert (first.name, second.name) == ("F-1", "uzlík")
    assert first.spec == DEFAULT


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"type": "ROI"}, "holds ROI; a point list"),
        ({"coordinateSystem": "IJK"}, "coordinates in IJK"),
        ({"coordinateUnits": "cm"}, "LPS or RAS in mm"),
        ({"controlPoints": []}, "no seeds"),
        ({"controlPoints": [{"position": [1, 2]}]}, "not a Slicer markups file"),
    ],
)
def test_wrong_markups_are_refused(tmp_path, changes, match):
    with pytest.raises(LungSynthError, match=match):
        read_seeds(markups(tmp_path, **changes), DEFAULT)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"markups": 3}', '{"a": 1}', '{"markups": [3]}'])
def test_other_json_is_refused(tmp_path, text):
    with pytest.raises(LungSynthError, match=r"a\.mrk\.json"):
        read_seeds(table(tmp_path, text, "a.mrk.json"), DEFAULT)


def test_missing_binary_and_other_files_are_refused(tmp_path):
    with pytest.raises(LungSynthError, match="cannot read seeds"):
        read_seeds(tmp_path / "no.csv", DEFAULT)
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(LungSynthError, match="not a text file"):
        read_seeds(tmp_path / "b.csv", DEFAULT)
    with pytest.raises(LungSynthError, match=r"\.csv or \.mrk\.json"):
        read_seeds(table(tmp_path, "r,a,s", "seeds.txt"), DEFAULT)
