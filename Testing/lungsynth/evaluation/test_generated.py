"""Nodules at real sites with the class and the noise that a study asks for."""

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import Attenuation, Malignancy
from lungsynth.evaluation import generated
from lungsynth.evaluation.generated import ask, generate


def test_each_is_made_at_its_own_site_in_the_untouched_cube(nine_cubes, ball):
    asked = [ask(nine_cubes, "test", n, 7, Malignancy.BENIGN) for n in (4, 2, 4)]

    made = generate(nine_cubes, asked, ball())

    assert made.asked.tolist() == [0, 1, 2]
    assert made.index.tolist() == [4, 2, 4]
    np.testing.assert_array_equal(made.hu[0], made.hu[2])
    for n, index in enumerate(made.index.tolist()):
        np.testing.assert_allclose(made.centre[n], nine_cubes.centre(index))
        diameter = np.cbrt(6 * made.mask[n].sum() / np.pi)
        assert diameter == pytest.approx(asked[n].seed.spec.diameter_mm, abs=1)
        away = np.abs(np.argwhere(made.mask[n]).mean(axis=0) - made.centre[n])
        assert away.max() < 0.6
        changed = made.hu[n] != nine_cubes.hu[index]
        assert changed[made.mask[n]].mean() > 0.9
        assert not changed[0].any()


def test_the_question_is_of_the_sites_size_and_attenuation(nine_cubes):
    asked = ask(nine_cubes, "val", 5, 31, Malignancy.MALIGNANT)

    spec = asked.seed.spec
    assert spec.diameter_mm == pytest.approx(nine_cubes.diameter_mm[5])
    assert spec.attenuation is Attenuation.GROUND_GLASS
    assert (spec.malignancy, spec.latent_seed, asked.index) == (Malignancy.MALIGNANT, 31, 5)


def test_what_is_kept_is_found_again_until_something_else_is_asked(nine_cubes, ball, tmp_path):
    synthesizer = ball()
    asked = [ask(nine_cubes, "test", 0, 1), ask(nine_cubes, "test", 3, 2)]

    first = generate(nine_cubes, asked, synthesizer, cache=tmp_path)
    calls = synthesizer.calls
    again = generate(nine_cubes, asked, synthesizer, cache=tmp_path)

    assert synthesizer.calls == calls > 0
    for name in ("asked", "index", "hu", "mask", "centre", "within_tolerance"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    other = [ask(nine_cubes, "test", 0, 1), ask(nine_cubes, "test", 3, 5)]
    generate(nine_cubes, other, synthesizer, cache=tmp_path)
    assert synthesizer.calls > calls


def test_nodules_of_several_files_are_as_of_one_and_a_stop_loses_one_file(
    nine_cubes, ball, tmp_path, monkeypatch
):
    asked = [ask(nine_cubes, "test", n, n) for n in (6, 1, 4, 8, 0)]  # 1 and 4 are refused
    refusing = ball(refuses=Attenuation.PART_SOLID)
    whole = generate(nine_cubes, asked, refusing)
    monkeypatch.setattr(generated, "CHUNK", 2)
    steps = []

    def stop_at_the_fourth(done, total):
        steps.append((done, total))
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(nine_cubes, asked, refusing, cache=tmp_path, on_progress=stop_at_the_fourth)
    assert steps == [(1, 5), (2, 5), (3, 5), (4, 5)]
    assert len(list(tmp_path.iterdir())) == 1
    steps.clear()
    resumed = generate(
        nine_cubes, asked, refusing, cache=tmp_path, on_progress=lambda *at: steps.append(at)
    )

    assert steps == [(3, 5), (4, 5), (5, 5)]
    assert resumed.asked.tolist() == whole.asked.tolist() == [0, 3, 4]
    assert resumed.refused == whole.refused
    assert [r["nodule"] for r in resumed.refused] == ["test 1", "test 4"]
    for name in ("index", "hu", "mask", "centre", "within_tolerance"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name))


def test_what_is_refused_is_told_and_left_out(nine_cubes, ball):
    asked = [ask(nine_cubes, "test", n, 1) for n in (1, 0, 4)]  # 1 and 4 are part-solid

    made = generate(nine_cubes, asked, ball(refuses=Attenuation.PART_SOLID))

    assert (made.asked.tolist(), made.index.tolist()) == ([1], [0])
    assert [r["nodule"] for r in made.refused] == ["test 1", "test 4"]
    with pytest.raises(LungSynthError, match=r"ball made none of the 1 .* no part-solid balls"):
        generate(nine_cubes, asked[:1], ball(refuses=Attenuation.PART_SOLID))
