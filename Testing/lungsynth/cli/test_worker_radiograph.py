"""The worker with a radiograph: the same requests, and what the library gives directly."""

import json

import numpy as np
import pytest

from lungsynth.cli.changes import read_cxr_changes
from lungsynth.cli.protocol import parse_cxr_seed, seed_values, taken_values
from lungsynth.cli.worker import Worker
from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import CxrNoduleSpec, CxrSeed, Photometric, Radiograph
from lungsynth.core.radiograph_insertion import CxrTaken
from lungsynth.imaging.lung_fields import LungFields
from lungsynth.imaging.radiograph_insertion import insert_into_radiograph, paste_into_radiograph
from lungsynth.synthesizers import load_cxr_synthesizer


@pytest.fixture(scope="module")
def image():
    """Return 400 x 500 pixels of 0.3 (rows) x 0.2 mm that no two axes or signs can be mixed in."""
    rows, columns = np.indices((400, 500))
    rng = np.random.default_rng(3)
    pixels = 1200 + 2 * columns - rows + rng.normal(0, 20, rows.shape)
    # columns run along -A, rows along -R
    matrix = np.array([[0, -0.3, 0, 40.0], [-0.2, 0, 0, 25.0], [0, 0, 1.0, 7.0], [0, 0, 0, 1]])
    return Radiograph(pixels.astype(np.uint16), matrix, (0.3, 0.2), Photometric.MONOCHROME1)


@pytest.fixture
def seeds(image):
    places = [(150, 180), (260, 330)]
    return [
        CxrSeed(
            tuple(float(x) for x in image.pixel_to_ras_mm(place)),
            CxrNoduleSpec(diameter_mm=9.0 + n, contrast=0.08, latent_seed=5 + n),
            f"N-{n + 1}",
        )
        for n, place in enumerate(places)
    ]


@pytest.fixture
def events():
    return []


@pytest.fixture
def ask(events, image, tmp_path):
    """Ask a worker in which the radiograph is open and the formulas are loaded."""
    worker = Worker(events.append)

    def ask(do, **values):
        worker.answer(json.dumps({"id": 1, "do": do, **values}))
        return events[-1]

    path = tmp_path / "pixels.npy"
    np.save(path, image.pixels[None])
    opened = ask(
        "open",
        kind="radiograph",
        volume=str(path),
        ijk_to_ras=image.ijk_to_ras.tolist(),
        pixel_spacing_mm=list(image.pixel_spacing_mm),
        photometric="MONOCHROME1",
    )
    assert opened["event"] == "done", opened
    assert ask("load", kind="radiograph", synthesizer="procedural")["event"] == "done"
    ask.path = path
    return ask


def found_in(columns):
    """Return lung fields that are the columns from the left up to a part of the width."""
    soft = np.zeros((2, 64, 64), np.float32)
    soft[0, :, : int(64 * columns)] = 1
    return lambda _image: LungFields(soft)


def no_fields(_image):
    msg = "no pair of lung fields was found"
    raise LungSynthError(msg)


def test_insert_gives_the_pixels_that_the_library_gives(ask, image, seeds, tmp_path, monkeypatch):
    monkeypatch.setattr("lungsynth.cli.worker_radiograph.find_lung_fields", no_fields)
    file = tmp_path / "changes.npz"
    answer = ask("insert", seeds=[seed_values(seed) for seed in seeds], output=str(file))

    assert answer["event"] == "done", answer
    assert answer["device"] == "cpu"
    expected = insert_into_radiograph(image, seeds, load_cxr_synthesizer("procedural"))
    pixels = image.pixels.copy()
    for seed, attempt, known in zip(
        seeds, read_cxr_changes(file), expected.insertions, strict=True
    ):
        made = paste_into_radiograph(pixels, image, seed, attempt)
        assert made.measured == known.measured
        assert made.within_tolerance
    np.testing.assert_array_equal(pixels, expected.image.pixels)
    assert (pixels != image.pixels).any()


def test_a_preview_is_one_round_of_the_same_nodule(ask, image, seeds, tmp_path):
    file = tmp_path / "preview.npz"
    answer = ask("preview", seed=seed_values(seeds[1]), rounds=1, output=str(file))

    assert answer["event"] == "done", answer
    (attempt,) = read_cxr_changes(file)
    row, column = image.ras_to_pixel(seeds[1].position_ras_mm)
    (_, row0, column0), (_, row1, column1) = attempt.box
    assert row0 < row < row1
    assert column0 < column < column1


def test_check_names_bad_seeds_and_warns_outside_the_lungs(ask, seeds, monkeypatch):
    monkeypatch.setattr("lungsynth.cli.worker_radiograph.find_lung_fields", found_in(0.5))
    twin = CxrSeed(seeds[0].position_ras_mm, seeds[0].spec, "twin")
    far = CxrSeed((900.0, 0.0, 0.0), seeds[0].spec, "far")
    found = ask("check", seeds=[seed_values(seed) for seed in (*seeds, twin, far)])

    assert [problem["index"] for problem in found["problems"]] == [2, 3]
    assert "overlaps" in found["problems"][0]["message"]
    assert "outside the radiograph" in found["problems"][1]["message"]
    (warning,) = found["warnings"]
    assert warning["index"] == 1, "column 330 of 500 lies to the right of half"
    assert "outside the lung fields" in warning["message"]


def test_a_place_that_is_taken_is_refused(ask, image, seeds, tmp_path):
    row, column = (int(x) for x in image.ras_to_pixel(seeds[0].position_ras_mm))
    box = ((0, row - 20, column - 20), (1, row + 20, column + 20))
    answer = ask(
        "insert",
        seeds=[seed_values(seeds[0])],
        earlier=[taken_values(CxrTaken(seeds[0], box))],
        output=str(tmp_path / "x.npz"),
    )
    assert "overlaps an earlier nodule" in answer["message"]


def test_proposed_seeds_lie_in_the_fields_and_are_repeated(ask, image, monkeypatch):
    monkeypatch.setattr("lungsynth.cli.worker_radiograph.find_lung_fields", found_in(0.6))
    asked = {"count": 3, "diameter_mm": 7.0, "contrast": 0.1, "random_seed": 4}
    first = ask("propose", **asked)["seeds"]

    assert ask("propose", **asked)["seeds"] == first
    for value in first:
        seed = parse_cxr_seed(value)
        assert (seed.spec.diameter_mm, seed.spec.contrast) == (7.0, 0.1)
        assert image.ras_to_pixel(seed.position_ras_mm)[1] < 300


def test_proposal_without_lung_fields_says_so(ask, monkeypatch):
    monkeypatch.setattr("lungsynth.cli.worker_radiograph.find_lung_fields", no_fields)
    assert ask("propose", count=1)["message"] == "no pair of lung fields was found"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"seeds": [{"position_ras_mm": [1, 2], "diameter_px": 9}]}, "three finite coordinates"),
        ({"seeds": [{"position_ras_mm": [1, 2, 3]}]}, "diameter either in mm or in pixels"),
        ({"seeds": [{"position_ras_mm": [1, 2, 3], "diameter_px": "x"}]}, "must be a number"),
        ({"seeds": [{"position_ras_mm": [1, 2, 3], "diameter_px": 9, "contrast": 5}]}, "contrast"),
        ({"seeds": 3}, "must be a list"),
    ],
)
def test_a_bad_request_gets_one_line(ask, values, said):
    answer = ask("insert", output="x.npz", **values)
    assert answer["event"] == "error"
    assert said in answer["message"]


@pytest.mark.parametrize(
    ("shape", "values", "said"),
    [
        ((2, 30, 40), {}, "one slice"),
        ((1, 30, 40), {}, "blank"),
        ((1, 30, 40), {"pixel_spacing_mm": [1]}, "2 numbers"),
    ],
)
def test_a_volume_that_is_no_radiograph_is_refused(ask, tmp_path, shape, values, said):
    path = tmp_path / "other.npy"
    np.save(path, np.zeros(shape, np.int16))
    answer = ask(
        "open", kind="radiograph", volume=str(path), ijk_to_ras=np.eye(4).tolist(), **values
    )
    assert said in answer["message"]
    assert "no volume is open" in ask("check", seeds=[])["message"]


def test_a_ct_may_follow_a_radiograph(ask, phantom, tmp_path):
    """The worker lets go of the one, and of its synthesizer, for the other."""
    path = tmp_path / "ct.npy"
    np.save(path, phantom.voxels)
    ask("open", volume=str(path), ijk_to_ras=phantom.ijk_to_ras.tolist())
    assert ask("load", synthesizer="procedural")["event"] == "done"
    assert ask("check", seeds=[])["problems"] == []
