"""The logic from Slicer's Python console, without a panel."""

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import NoduleSpec, Seed
from lungsynth.imaging.insertion import insert
from lungsynth.synthesizers import load_synthesizer


@pytest.fixture
def logic(scene, module_tree):
    import sys

    sys.path.insert(0, str(module_tree)) if str(module_tree) not in sys.path else None
    from NoduleSynth import NoduleSynthLogic

    made = NoduleSynthLogic()
    yield made
    made.cleanup()


def test_five_lines_insert_and_save(logic, ct, phantom, places, tmp_path):
    import slicer

    seeds = logic.seedsFor(ct)
    seeds.add(places[1], diameter_mm=12, attenuation="part-solid", latent_seed=3, name="upper")
    result = logic.insertNow(ct, seeds, synthesizer="procedural")
    slicer.util.saveNode(result.volume, str(tmp_path / "out.nrrd"))
    slicer.util.saveNode(result.segmentation, str(tmp_path / "out.seg.nrrd"))

    spec = NoduleSpec(12, "part-solid", latent_seed=3)
    expected = insert(phantom, [Seed(places[1], spec, "upper")], load_synthesizer("procedural"))
    voxels = slicer.util.arrayFromVolume(result.volume)
    np.testing.assert_array_equal(voxels, expected.volume.voxels)
    assert result.insertions[0].measured == expected.insertions[0].measured
    assert result.insertions[0].within_tolerance
    assert result.table.GetNumberOfRows() == 1
    assert (tmp_path / "out.nrrd").stat().st_size > 100_000
    assert (tmp_path / "out.seg.nrrd").is_file()


def test_loop_over_volumes(logic, ct, phantom, places):
    import slicer

    other = slicer.util.addVolumeFromArray(phantom.voxels.copy(), phantom.ijk_to_ras, "Other")
    outputs = []
    for volume in (ct, other):
        seeds = logic.seedsFor(volume)
        seeds.add(places[0], diameter_mm=9)
        outputs.append(logic.insertNow(volume, seeds, synthesizer="procedural").volume)

    assert [node.GetName() for node in outputs] == [
        "Chest with synthetic nodules",
        "Other with synthetic nodules",
    ]
    first, second = (slicer.util.arrayFromVolume(node) for node in outputs)
    np.testing.assert_array_equal(first, second)


def test_same_seeds_with_another_synthesizer_make_another_volume(logic, ct, places):
    import slicer

    seeds = logic.seedsFor(ct)
    seeds.add(places[0], diameter_mm=14)
    first = logic.insertNow(ct, seeds, synthesizer="procedural")
    again = logic.insertNow(ct, seeds, synthesizer="procedural")

    assert again.volume is not first.volume
    np.testing.assert_array_equal(
        slicer.util.arrayFromVolume(again.volume), slicer.util.arrayFromVolume(first.volume)
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"position_ras_mm": (900.0, 3.0, 4.0)}, "outside the volume"),
        ({"diameter_mm": 70.0}, "from 3 to 40 mm"),
        ({"attenuation": "fluffy"}, "allowed are solid"),
    ],
)
def test_what_cannot_be_raises_and_changes_nothing(logic, ct, places, node_ids, values, said):
    seeds = logic.seedsFor(ct)
    before = node_ids()
    with pytest.raises(LungSynthError, match=said):
        seeds.add(**({"position_ras_mm": places[0]} | values))
        logic.insertNow(ct, seeds, synthesizer="procedural")
    assert node_ids() == before


def test_module_test_that_slicer_runs_passes_here_too(logic, scene):
    from NoduleSynth import NoduleSynthTest

    NoduleSynthTest().runTest()
