"""Radiographs with known and synthetic nodules: where they go and what is known of them."""

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.data.cxr_patches import as_radiograph
from lungsynth.data.nodule_cases import NoduleCase
from lungsynth.evaluation import cxr_cases
from lungsynth.evaluation.cxr_cases import (
    NodulePopulation,
    NoduleRequest,
    draw_request,
    place_in,
    synthesise,
)
from lungsynth.imaging.lung_fields import LungFields
from lungsynth.synthesizers.ct_projection import CtProjection


@pytest.fixture
def film():
    rng = np.random.default_rng(6)
    row, column = np.indices((200, 160))
    smooth = 110 + 50 * np.sin(row / 33) * np.cos(column / 25)
    return (smooth + rng.normal(0, 3, smooth.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture
def lungs(monkeypatch):
    """Two blocks, rows 60 to 119, columns 30 to 59 and 100 to 129."""
    seen = np.zeros((2, 200, 160), np.float32)
    seen[0, 60:120, 30:60] = 1
    seen[1, 60:120, 100:130] = 1
    monkeypatch.setattr(cxr_cases, "find_lung_fields", lambda _image: LungFields(seen))
    return seen.max(axis=0) > 0.5


def test_places_are_drawn_in_the_lungs(film, lungs):
    image = as_radiograph(film)
    drawn = [place_in(image, None, np.random.default_rng(n)) for n in range(30)]

    # behind the heart too, between both lungs in the lower part of the chest
    assert all(60 <= row < 120 and 30 <= column < 130 for row, column in drawn)
    assert len(set(drawn)) > 20
    assert np.mean([lungs[int(r), int(c)] for r, c in drawn]) > 0.5


@pytest.mark.usefixtures("lungs")
def test_a_place_of_another_radiograph_moves_to_the_nearest_point_of_the_lungs(film):
    """(10, 40) of 200 x 160 lies above the left block: straight down to its first row."""
    image = as_radiograph(film)
    rng = np.random.default_rng(0)

    assert place_in(image, (10 / 200, 40 / 160), rng) == (60, 40)
    assert place_in(image, (80 / 200, 110 / 160), rng) == (80, 110)


@pytest.mark.parametrize("box", [(0, 120, 0, 60), (60, 200, 100, 160), (60, 120, 0, 5)])
def test_lungs_that_touch_the_border_are_no_place_for_a_nodule_there(film, monkeypatch, box):
    """All stay 0.06 of 200 rows and of 160 columns away, also where no lung is left then."""
    top, bottom, left, right = box
    seen = np.zeros((2, 200, 160), np.float32)
    seen[0, top:bottom, left:right] = 1
    monkeypatch.setattr(cxr_cases, "find_lung_fields", lambda _image: LungFields(seen))
    image = as_radiograph(film)

    for wanted in (None, (0.0, 0.0), (1.0, 1.0), (0.4, 0.01)):
        for n in range(8):
            row, column = place_in(image, wanted, np.random.default_rng(n))
            assert 12 <= row <= 188
            assert 9.6 <= column <= 150.4


def test_without_lungs_the_place_stays_off_the_border(film, monkeypatch):
    def none_found(_image):
        raise LungSynthError("no pair of lung fields was found")  # noqa: EM101

    monkeypatch.setattr(cxr_cases, "find_lung_fields", none_found)
    image = as_radiograph(film)

    assert place_in(image, (0.0, 0.5), np.random.default_rng(0)) == pytest.approx((12, 80))
    row, column = place_in(image, None, np.random.default_rng(0))
    assert 0 < row < 200
    assert 0 < column < 160


@pytest.mark.usefixtures("lungs")
def test_a_synthetic_nodule_is_as_asked_and_boxed(film):
    """200 rows are 1,024 pixels of the grid: 51.2 of them are 10 of the film."""
    case = NoduleCase(film, (), "p", "normal")
    request = NoduleRequest(51.2, 0.08, (90 / 200, 45 / 160), 3)
    [made] = synthesise([case], [request], CtProjection(), "mined")
    [nodule] = made.nodules
    left, top, right, bottom = nodule.box

    assert nodule.diameter_px == pytest.approx(51.2, abs=1.1 * 5.12)
    assert nodule.contrast == pytest.approx(0.08, rel=0.1)
    assert (left + right) / 2 == pytest.approx(45.5, abs=2)
    assert (top + bottom) / 2 == pytest.approx(90.5, abs=2)
    assert (right - left + bottom - top) / 2 == pytest.approx(10, abs=3)
    assert (made.patient, made.source) == ("p", "mined")
    changed = np.argwhere(made.pixels != film)
    assert np.abs(changed - [90, 45]).max() < 20
    assert case.nodules == ()


@pytest.mark.usefixtures("lungs")
def test_radiographs_are_used_again_where_there_are_fewer(film):
    cases = [NoduleCase(film, (), name, "normal") for name in ("a", "b")]
    rng = np.random.default_rng(4)
    requests = [draw_request(NodulePopulation(), rng) for _ in range(3)]
    made = synthesise(cases, requests, CtProjection(), "random")

    assert [case.patient for case in made] == ["a", "b", "a"]
    assert (made[0].pixels != made[2].pixels).any()


def test_requests_are_drawn_evenly_by_the_logarithm():
    rng = np.random.default_rng(5)
    drawn = [draw_request(NodulePopulation((10, 40), (0.02, 0.08)), rng) for _ in range(500)]
    diameters = np.array([r.diameter_px for r in drawn])

    assert diameters.min() >= 10
    assert diameters.max() <= 40
    assert np.mean(diameters < 20) == pytest.approx(0.5, abs=0.07)
    assert np.mean([r.contrast < 0.04 for r in drawn]) == pytest.approx(0.5, abs=0.07)
