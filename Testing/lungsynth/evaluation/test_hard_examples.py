"""Which nodules were missed, and requests that follow them."""

import math

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.data.nodule_cases import KnownNodule, NoduleCase
from lungsynth.evaluation.cxr_cases import NodulePopulation
from lungsynth.evaluation.froc import JudgedCase
from lungsynth.evaluation.hard_examples import (
    JudgedNodule,
    draw_hard_examples,
    from_rows,
    histograms,
    judge_nodules,
    place_name,
    to_rows,
)


def nodule(diameter, found, contrast=0.05, place=(0.2, 0.7)):
    return JudgedNodule(diameter, contrast, place, found, 0.9 if found else 0.1)


SOME = [
    nodule(25.0, False, 0.02, (0.1, 0.2)),
    nodule(60.0, True, 0.09, (0.9, 0.9)),
    nodule(35.0, False, 0.04, (0.5, 0.6)),
    nodule(70.0, True, math.nan),
]


def test_a_nodule_is_found_from_the_threshold_on():
    """Four radiographs allow one false box: that of 0.6 goes, so 0.5 counts and 0.3 does not."""
    pixels = np.zeros((200, 100), np.uint8)
    known = KnownNodule((10, 20, 30, 40), 40.0, 0.03)
    cases = [
        NoduleCase(pixels, (known,), "a", "x"),
        NoduleCase(pixels, (known, known), "b", "x"),
        NoduleCase(pixels, (), "c", "x"),
        NoduleCase(pixels, (), "d", "x"),
    ]
    judged = [
        JudgedCase(np.array([0.5]), np.array([0.4]), 0.5),
        JudgedCase(np.array([0.3, -np.inf]), np.empty(0), 0.3),
        JudgedCase(np.empty(0), np.array([0.6]), 0.6),
        JudgedCase(np.empty(0), np.empty(0), 0.0),
    ]
    found = judge_nodules(cases, judged)

    assert [n.found for n in found] == [True, False, False]
    assert [n.score for n in found] == [0.5, 0.3, 0.0]
    assert found[0].place == (30 / 200, 20 / 100)
    assert [n.found for n in judge_nodules(cases, judged, 0.2)] == [True, True, False]


def test_sizes_are_those_of_missed_nodules_each_as_often():
    drawn = draw_hard_examples(SOME, 400, np.random.default_rng(1))
    near_small = [abs(math.log(r.diameter_px / 25)) < 0.16 for r in drawn]
    near_other = [abs(math.log(r.diameter_px / 35)) < 0.16 for r in drawn]

    assert all(a or b for a, b in zip(near_small, near_other, strict=True))
    assert np.mean(near_small) == pytest.approx(0.5, abs=0.08)


def test_contrast_and_place_come_from_the_same_missed_nodule():
    for request in draw_hard_examples(SOME, 60, np.random.default_rng(2)):
        small = abs(math.log(request.diameter_px / 25)) < abs(math.log(request.diameter_px / 35))
        model = SOME[0] if small else SOME[2]
        assert request.contrast == pytest.approx(model.contrast, rel=0.5)
        assert request.place == pytest.approx(model.place, abs=0.12)


def test_the_papers_form_follows_size_alone():
    population = NodulePopulation(contrast=(0.2, 0.3))
    drawn = draw_hard_examples(
        SOME, 40, np.random.default_rng(3), attributes=("size",), population=population
    )

    assert all(r.place is None and 0.2 <= r.contrast <= 0.3 for r in drawn)
    assert len({r.latent_seed for r in drawn}) == 40


def test_a_contrast_that_is_not_known_is_drawn_from_the_population():
    missed = [nodule(30.0, False, math.nan)]
    drawn = draw_hard_examples(missed, 20, np.random.default_rng(4))

    assert all(0.02 <= r.contrast <= 0.10 for r in drawn)


def test_the_same_seed_draws_the_same():
    one, other = (draw_hard_examples(SOME, 5, np.random.default_rng(5)) for _ in range(2))
    assert one == other
    assert one != draw_hard_examples(SOME, 5, np.random.default_rng(6))


def test_what_cannot_work_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(LungSynthError, match="missed none of 1 nodules"):
        draw_hard_examples(SOME[1:2], 3, rng)
    with pytest.raises(LungSynthError, match="follow size and any of contrast, location"):
        draw_hard_examples(SOME, 3, rng, attributes=("size", "shape"))
    with pytest.raises(LungSynthError, match="got contrast"):
        draw_hard_examples(SOME, 3, rng, attributes=("contrast",))


def test_histograms_by_hand():
    found = histograms(SOME)

    assert found["size"]["20-30"] == {"found": 0, "missed": 1}
    assert found["size"]["65-80"] == {"found": 1, "missed": 0}
    assert found["contrast"]["0.02-0.03"] == {"found": 0, "missed": 1}
    assert sum(b["found"] + b["missed"] for b in found["contrast"].values()) == 3  # one unknown
    assert found["location"]["upper left"] == {"found": 0, "missed": 1}
    assert found["location"]["lower right"] == {"found": 1, "missed": 0}


def test_places_are_named_as_the_picture_is_looked_at():
    assert place_name((0.0, 0.0)) == "upper left"
    assert place_name((0.5, 0.5)) == "middle right"
    assert place_name((1.0, 1.0)) == "lower right"


def test_rows_come_back():
    again = from_rows(to_rows(SOME))

    assert again[:3] == SOME[:3]
    assert math.isnan(again[3].contrast)
