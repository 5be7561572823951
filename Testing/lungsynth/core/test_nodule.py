"""Specs, seeds, populations, tolerances and the registry."""

import math

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import diameter_tolerance_mm
from lungsynth.core.nodule import (
    Attenuation,
    Malignancy,
    NodulePopulation,
    NoduleSpec,
    Seed,
    draw_nodule,
)
from lungsynth.core.registry import resolve


@pytest.mark.parametrize("diameter_mm", [0, -3, 500, 2.99, 40.01, math.nan, math.inf])
def test_diameters_that_cannot_be_are_refused(diameter_mm):
    with pytest.raises(LungSynthError, match=r"diameter_mm must be from 3 to 40 mm; got"):
        NoduleSpec(diameter_mm)


@pytest.mark.parametrize("diameter_mm", [3, 40.0])
def test_the_ends_of_the_range_are_allowed(diameter_mm):
    assert NoduleSpec(diameter_mm).diameter_mm == diameter_mm


def test_words_become_classes():
    spec = NoduleSpec(8.0, "part-solid", "malignant")

    assert spec.attenuation is Attenuation.PART_SOLID
    assert spec.malignancy is Malignancy.MALIGNANT


@pytest.mark.parametrize("words", [("fluffy", None), ("solid", "nasty")])
def test_unknown_words_are_refused_with_those_that_exist(words):
    with pytest.raises(LungSynthError, match=r"part-solid, ground-glass, benign, malignant"):
        NoduleSpec(8.0, *words)


@pytest.mark.parametrize("latent_seed", [-1, 2**63])
def test_latent_seeds_have_a_range(latent_seed):
    with pytest.raises(LungSynthError, match=r"latent_seed must be from 0"):
        NoduleSpec(8.0, latent_seed=latent_seed)


@pytest.mark.parametrize("place", [(1.0, 2.0), (1.0, 2.0, math.nan), (math.inf, 0.0, 0.0)])
def test_a_seed_needs_a_place(place):
    with pytest.raises(LungSynthError, match=r"three finite coordinates"):
        Seed(place, NoduleSpec(8.0))


def test_a_seed_is_called_by_its_name_and_place():
    spec = NoduleSpec(8.0)

    assert str(Seed((1.04, -2.0, 3.26), spec, "N1")) == "seed N1 at RAS (1.0, -2.0, 3.3)"
    assert str(Seed((1.04, -2.0, 3.26), spec)) == "seed at RAS (1.0, -2.0, 3.3)"


@pytest.mark.parametrize(("asked", "allowed"), [(3, 1.0), (10, 1.0), (10.5, 1.05), (30, 3.0)])
def test_tolerance_is_the_larger_of_1_mm_and_10_percent(asked, allowed):
    assert diameter_tolerance_mm(asked) == pytest.approx(allowed)


def test_draws_follow_the_generator_and_stay_in_the_population():
    population = NodulePopulation((6.0, 9.0), (Attenuation.SOLID, Attenuation.GROUND_GLASS))
    one, same, other = (np.random.default_rng(seed) for seed in (4, 4, 5))
    drawn = [draw_nodule(population, one) for _ in range(200)]

    assert drawn == [draw_nodule(population, same) for _ in range(200)]
    assert drawn != [draw_nodule(population, other) for _ in range(200)]
    sizes = [spec.diameter_mm for spec in drawn]
    assert (min(sizes), max(sizes)) == pytest.approx((6.1, 8.9), abs=0.1)
    assert {spec.attenuation for spec in drawn} == {Attenuation.SOLID, Attenuation.GROUND_GLASS}
    assert len({spec.latent_seed for spec in drawn}) == 200


def test_the_registry_finds_and_says_what_there_is():
    table = {"b": "math:cos", "a": "os.path:join"}

    assert resolve(table, "b") is math.cos
    with pytest.raises(LungSynthError, match=r"unknown loss 'c'; there are a, b"):
        resolve(table, "c", "loss")
