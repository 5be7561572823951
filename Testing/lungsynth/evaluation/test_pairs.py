"""Pairs: the same site, size and attenuation, and the same treatment."""

import dataclasses

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import Attenuation
from lungsynth.evaluation.pairs import (
    chosen_nodules,
    draw_latent_seed,
    joined,
    make_pairs,
    own_seed,
    quantised,
)


def test_quantised_matches_hand_computed_values():
    hu = np.array([-1024, -1021, -1019, -5, 0, 3.9, 4.1, 1016, 1030, -2000])

    assert quantised(hu).tolist() == [-1024, -1024, -1016, -8, 0, 0, 8, 1016, 1016, -1024]


def test_quantising_a_real_cube_changes_nothing(nine_cubes):
    np.testing.assert_array_equal(quantised(nine_cubes.hu), nine_cubes.hu)


def test_a_nodule_asks_for_its_own_place_size_and_attenuation(nine_cubes):
    seed = own_seed(nine_cubes, "test", 4)

    ijk = nine_cubes.cube_volume(4).ras_to_ijk(seed.position_ras_mm)
    np.testing.assert_allclose(ijk[::-1], nine_cubes.centre(4), atol=1e-9)
    assert seed.spec.attenuation is Attenuation.PART_SOLID
    volume_mm3 = nine_cubes.mask[4].sum()
    assert seed.spec.diameter_mm == pytest.approx((6 * volume_mm3 / np.pi) ** (1 / 3))


def test_each_nodule_of_each_split_has_its_own_latent_seed():
    seeds = {draw_latent_seed(s, n, 0) for s in ("train", "val", "test") for n in range(100)}

    assert len(seeds) == 300
    assert draw_latent_seed("test", 5, 0) == draw_latent_seed("test", 5, 0)
    assert draw_latent_seed("test", 5, 1) not in seeds


def test_only_the_box_differs_and_both_versions_are_quantised(nine_cubes, ball):
    pairs = make_pairs(nine_cubes, "test", ball())

    assert len(pairs) == 9
    np.testing.assert_array_equal(pairs.real, nine_cubes.hu)
    for n in range(9):
        (k0, j0, i0), (k1, j1, i1) = pairs.box[n].tolist()
        outside = np.ones((48, 48, 48), bool)
        outside[k0:k1, j0:j1, i0:i1] = False
        np.testing.assert_array_equal(pairs.real[n][outside], pairs.generated[n][outside])
        assert (pairs.real[n] != pairs.generated[n]).any()
    assert not ((pairs.generated + 1024) % 8).any()
    assert pairs.generated.dtype == pairs.real.dtype == np.int16
    np.testing.assert_allclose(pairs.measured_mm, pairs.asked_mm, atol=1)
    assert pairs.within_tolerance.all()


def test_the_seam_of_a_ball_amid_its_box_is_that_of_the_tissue(nine_cubes, ball):
    pairs = make_pairs(nine_cubes, "test", ball(), max_nodules=3)

    for seam in pairs.seams:
        assert seam.count > 0
        assert seam.ratio == pytest.approx(1, abs=0.05)


def test_a_subset_is_spread_over_the_split_and_leaves_out_the_unusable(nine_cubes):
    table = [dict(row) for row in nine_cubes.table]
    table[0]["ambiguous"] = "1.0"
    cubes = dataclasses.replace(nine_cubes, table=table)

    assert chosen_nodules(cubes, None).tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert chosen_nodules(cubes, 3).tolist() == [1, 4, 8]
    assert chosen_nodules(cubes, 50).tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_what_is_refused_is_told_with_the_reason(nine_cubes, ball):
    pairs = make_pairs(nine_cubes, "val", ball(refuses=Attenuation.GROUND_GLASS))

    assert pairs.index.tolist() == [0, 1, 3, 4, 6, 7]
    assert [r["nodule"] for r in pairs.refused] == ["val 2", "val 5", "val 8"]
    assert "no ground-glass balls" in pairs.refused[0]["reason"]


def test_a_synthesizer_that_refuses_everything_is_an_error(nine_cubes, ball):
    one = dataclasses.replace(
        nine_cubes, hu=nine_cubes.hu[:1], mask=nine_cubes.mask[:1], table=nine_cubes.table[:1]
    )

    with pytest.raises(LungSynthError, match=r"ball made none of the 1 nodules of test.*no solid"):
        make_pairs(one, "test", ball(refuses=Attenuation.SOLID))


def test_the_cache_gives_back_the_same_until_something_changes(nine_cubes, ball, awkward_path):
    cache = awkward_path / "kept"
    first, second, retrained = ball(), ball(), ball()
    retrained.weights_sha256 = "c" * 64

    made = make_pairs(nine_cubes, "test", first, max_nodules=2, cache=cache)
    found = make_pairs(nine_cubes, "test", second, max_nodules=2, cache=cache)
    make_pairs(nine_cubes, "test", retrained, max_nodules=2, cache=cache)

    assert first.calls > 0
    assert second.calls == 0
    assert retrained.calls == first.calls
    np.testing.assert_array_equal(made.generated, found.generated)
    np.testing.assert_array_equal(made.box, found.box)
    assert list(made.seams) == list(found.seams)


def test_a_broken_cache_is_made_again(nine_cubes, ball, tmp_path):
    make_pairs(nine_cubes, "test", ball(), max_nodules=1, cache=tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:100])
    again = ball()

    make_pairs(nine_cubes, "test", again, max_nodules=1, cache=tmp_path)

    assert again.calls > 0


def test_pairs_can_be_joined_and_chosen(nine_cubes, ball):
    pairs = make_pairs(nine_cubes, "test", ball(), max_nodules=3)

    both = joined([pairs, pairs])
    chosen = both.where(np.array([False, True, False, False, False, True]))

    assert len(both) == len(both.seams) == 6
    assert chosen.index.tolist() == [4, 8]
    assert list(chosen.seams) == [pairs.seams[1], pairs.seams[2]]
