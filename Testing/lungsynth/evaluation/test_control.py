"""Control: asked against measured, measured again from the voxels."""

import json
import weakref

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import Insertion, Measurement
from lungsynth.core.nodule import ATTENUATION_HU_RANGE, Attenuation, NoduleSpec, Seed
from lungsynth.core.volume import Volume
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.evaluation import control, sites
from lungsynth.evaluation.control import (
    Outcome,
    Study,
    measure_again,
    run_control,
    summary,
    try_site,
)
from lungsynth.evaluation.sites import ControlConfig, Site, cube_sites
from lungsynth.imaging.phantom import SMALL as SMALL_CHEST
from lungsynth.imaging.phantom import thorax_phantom
from lungsynth.io.writing import write_volume

SMALL = ControlConfig(diameters_mm=(6.0, 10.0), sites_per_cell=2)


def outcome(**values):
    defaults = {
        "site": "here",
        "asked_mm": 8.0,
        "attenuation": "solid",
        "latent_seed": 0,
        "measured_mm": 8.0,
        "mean_hu": -200.0,
        "said_within": True,
    }
    return Outcome(**{**defaults, **values})


def control_study(sites, synthesizer):
    study = Study(synthesizer, len(sites))
    study.add(sites)
    return study.values()


def test_measuring_again_by_hand_on_a_sheared_anisotropic_grid():
    """Three voxels of |det| = 0.5 * 1 * 2 = 1 mm^3: (18 / pi)^(1/3) mm; mean (10 + 20 + 60) / 3."""
    voxels = np.zeros((4, 5, 6), np.int16)
    matrix = np.diag([0.5, -1.0, 2.0, 1.0])
    matrix[0, 1] = 0.3  # shear leaves the volume of a voxel as it is
    mask = np.zeros((2, 2, 3), bool)
    mask[0, 0, 0] = mask[1, 1, 2] = mask[0, 1, 1] = True
    voxels[1:3, 2:4, 3:6][mask] = [10, 20, 60]
    made = Insertion(
        seed=Seed((0, 0, 0), NoduleSpec(8.0)),
        measured=Measurement(0, 0, 0),
        box=((1, 2, 3), (3, 4, 6)),
        mask=mask,
        before=np.zeros((2, 2, 3), np.int16),
        within_tolerance=False,
    )

    measured_mm, mean_hu = measure_again(Volume(voxels, matrix), made)

    assert measured_mm == pytest.approx((18 / np.pi) ** (1 / 3))
    assert mean_hu == pytest.approx(30.0)


@pytest.mark.parametrize(
    ("asked", "measured", "kept"),
    [(4, 5.0, True), (4, 5.01, False), (20, 18.0, True), (20, 22.1, False), (10, 9, True)],
)
def test_size_is_kept_within_a_millimetre_or_a_tenth(asked, measured, kept):
    assert outcome(asked_mm=asked, measured_mm=measured).size_kept is kept


@pytest.mark.parametrize(
    ("attenuation", "mean_hu", "kept"),
    [
        ("solid", 99.0, True),
        ("solid", 100.0, False),
        ("part-solid", -661.0, True),
        ("part-solid", -219.0, False),
        ("ground-glass", -800.0, False),
        ("ground-glass", -700.0, True),
    ],
)
def test_density_is_kept_within_the_range_of_its_class(attenuation, mean_hu, kept):
    assert outcome(attenuation=attenuation, mean_hu=mean_hu).density_kept is kept


def test_a_miss_that_says_so_is_true_and_one_that_does_not_is_not():
    assert outcome(measured_mm=12.0, said_within=False).told_truly
    assert not outcome(measured_mm=12.0, said_within=True).told_truly
    assert not outcome(said_within=False).told_truly
    assert outcome(refused="too near the edge", said_within=False).told_truly


def test_shares_are_of_those_inserted_and_refusals_are_counted():
    found = summary(
        [
            outcome(),
            outcome(measured_mm=9.5, said_within=False),
            outcome(asked_mm=30.0, measured_mm=28.0, mean_hu=300.0, said_within=True),
            outcome(asked_mm=30.0, refused="no room", said_within=False),
        ]
    )

    assert found["all"]["asked"] == 4
    assert found["all"]["refused"] == 1
    assert found["all"]["size_kept"] == pytest.approx(2 / 3)
    assert found["all"]["density_kept"] == pytest.approx(2 / 3)
    assert found["all"]["both_kept"] == pytest.approx(1 / 3)
    assert found["all"]["largest_size_error_mm"] == pytest.approx(2.0)
    assert found["by_diameter_mm"]["8"]["size_kept"] == 0.5
    assert found["by_diameter_mm"]["30"]["refused"] == 1
    assert found["every_miss_says_so"] is False
    assert [o["mean_hu"] for o in found["untrue"]] == [300.0]


def test_nothing_inserted_gives_no_shares():
    found = summary([outcome(refused="no")])

    assert found["all"]["size_kept"] is None
    assert found["all"]["largest_size_error_mm"] is None


def test_the_grid_has_so_many_other_sites_in_each_cell(nine_cubes):
    grid = list(cube_sites(nine_cubes, "test", SMALL))

    cells = {}
    for site in grid:
        (seed,) = site.seeds
        cells.setdefault((seed.spec.diameter_mm, seed.spec.attenuation), []).append(site.name)
    assert set(cells) == {(d, a) for d in (6.0, 10.0) for a in Attenuation}
    assert all(len(set(names)) == 2 for names in cells.values())
    assert len({seed.spec.latent_seed for site in grid for seed in site.seeds}) == 12
    again = list(cube_sites(nine_cubes, "test", SMALL))
    assert [s.seeds for s in again] == [s.seeds for s in grid]


def test_a_maker_of_true_balls_keeps_what_was_asked(nine_cubes, ball):
    found = control_study(list(cube_sites(nine_cubes, "test", SMALL)), ball())

    assert found["all"]["inserted"] == 12
    assert found["all"]["both_kept"] == 1
    assert found["every_miss_says_so"]
    assert found["reported_numbers_agree"]


def test_balls_that_never_have_the_size_asked_are_seen_and_say_so(nine_cubes, ball):
    """Three times too large: more than a box scaled by a half can mend."""
    found = control_study(list(cube_sites(nine_cubes, "test", SMALL))[:3], ball(scale=3.0))

    assert found["all"]["size_kept"] == 0
    assert found["all"]["said_within"] == 0
    assert found["every_miss_says_so"]


def test_a_refused_seed_is_told_and_takes_no_other_with_it(nine_cubes, ball):
    volume = nine_cubes.cube_volume(0)
    good, outside = Seed((0, 0, 0), NoduleSpec(6.0)), Seed((500, 0, 0), NoduleSpec(6.0))

    found = list(try_site(Site("cube", volume, [outside, good]), ball()))

    assert [bool(o.refused) for o in found] == [True, False]
    assert "outside the volume" in found[0].refused
    assert found[1].size_kept


def test_a_nodule_without_a_place_counts_as_refused(nine_cubes, ball):
    site = Site("ct", nine_cubes.cube_volume(0), [], [(NoduleSpec(30.0), "no room")])

    found = control_study([site], ball())

    assert found["by_diameter_mm"]["30"]["refused"] == 1
    assert found["outcomes"][0]["refused"] == "no room"


def test_numbers_and_picture_are_written(nodule_data, ball, monkeypatch):
    monkeypatch.setattr(control, "load_for_study", lambda *_: ball())
    json_path, picture = nodule_data / "control.json", nodule_data / "control.png"

    run_control(
        nodule_data, "test", ["ball"], json_path=json_path, report_path=picture, config=SMALL
    )

    written = json.loads(json_path.read_text(encoding="utf-8"))
    assert written["synthesizers"]["ball"]["all"]["asked"] == 12
    assert len(written["synthesizers"]["ball"]["outcomes"]) == 12
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert sorted(p.name for p in nodule_data.iterdir()) == [
        "control.json",
        "control.png",
        "ct_nodules",
    ]


def test_whole_cts_are_read_one_by_one_and_searched_once(tmp_path, ball, monkeypatch):
    """Two CTs and two synthesizers: each CT is planned once, and gone when the next is read."""
    paths = [tmp_path / "a.nrrd", tmp_path / "b.nrrd"]
    for seed, path in enumerate(paths):
        write_volume(thorax_phantom(seed, **SMALL_CHEST), path)
    alive, searched, told = [], [], []
    read, find = sites.read_ct, sites.find_lungs

    def reads(path):
        assert [name for name, volume in alive if volume() is not None] == []
        volume = read(path)
        alive.append((path.name, weakref.ref(volume)))
        return volume

    monkeypatch.setattr(sites, "read_ct", reads)
    monkeypatch.setattr(sites, "find_lungs", lambda v: searched.append(1) or find(v))
    makers = {"one": ball(), "two": ball(scale=0.99)}
    makers["two"].name = "other ball"
    monkeypatch.setattr(control, "load_for_study", lambda name, *_: makers[name])

    values = run_control(
        None,
        "test",
        ["one", "two"],
        ct=paths,
        config=ControlConfig(diameters_mm=(6.0,)),
        on_progress=lambda *event: told.append(event),
    )

    assert [name for name, _ in alive] == ["a.nrrd", "b.nrrd", "a.nrrd", "b.nrrd"]
    assert len(searched) == 2
    for name in ("ball", "other ball"):
        found = values["synthesizers"][name]
        assert (found["all"]["asked"], found["all"]["inserted"]) == (6, 6)
        places = [o["site"].partition("/")[2] for o in found["outcomes"]]
        assert places == ["a.nrrd"] * 3 + ["b.nrrd"] * 3
        assert [e[1:] for e in told if e[0] == f"control of {name}"] == [(1, 2), (2, 2)]


def test_a_ct_that_cannot_be_read_is_named_before_any_work(tmp_path, ball, monkeypatch):
    good, maker = tmp_path / "a.nrrd", ball()
    write_volume(thorax_phantom(0, **SMALL_CHEST), good)
    monkeypatch.setattr(control, "load_for_study", lambda *_: maker)
    config = ControlConfig(diameters_mm=(6.0,))
    with pytest.raises(LungSynthError, match=r"no file or folder .*missing.nrrd"):
        run_control(None, "test", ["ball"], ct=[good, tmp_path / "missing.nrrd"], config=config)

    assert maker.calls == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": None, "split": "test"}, "nodule cubes .--data., CTs .--ct. or both"),
        ({"split": "tests"}, "unknown split 'tests'; there are train, val, test"),
        ({"split": "test", "report_path": "control.pdf"}, "must end in .png"),
    ],
)
def test_bad_input_is_refused(nodule_data, arguments, message):
    arguments = {"data": nodule_data, "synthesizers": ["procedural"], **arguments}
    if "report_path" in arguments:
        arguments["report_path"] = nodule_data / arguments["report_path"]

    with pytest.raises(LungSynthError, match=message):
        run_control(**arguments)


def test_ranges_of_mean_hu_are_those_of_the_real_training_nodules(shared_data):
    train = NoduleCubes.load(shared_data / "ct_nodules", "train")

    for kind, limits in ATTENUATION_HU_RANGE.items():
        mean_hu = train.mean_hu[[a is kind for a in train.attenuation]]
        np.testing.assert_allclose(np.percentile(mean_hu, [5, 95]), limits, atol=0.6)
