"""The loop in console.md, run as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

PAGE = Path(__file__).resolve().parents[3] / "Resources" / "Docs" / "console.md"


def loop_over_a_folder(place):
    """Return the code of that section, with a place in the phantom's lung and no network."""
    section = PAGE.read_text(encoding="utf-8").split("## A folder of CTs")[1]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    assert "(-62, 18, -140)" in code
    code = code.replace("(-62, 18, -140)", repr(tuple(map(float, place))))
    return code.replace("insertNow(ct, seeds)", 'insertNow(ct, seeds, synthesizer="procedural")')


def write(path, volume, voxels=None):
    from lungsynth.core.volume import Volume
    from lungsynth.io.writing import write_volume

    write_volume(Volume(volume.voxels if voxels is None else voxels, volume.ijk_to_ras), path)


def test_loop_goes_on_after_a_bad_ct_and_leaves_the_users_nodes(
    ct, phantom, places, module_tree, node_ids, tmp_path, monkeypatch, capsys
):
    import slicer

    monkeypatch.syspath_prepend(str(module_tree))
    from NoduleSynth import NoduleSynthLogic

    folder = tmp_path / "cts"
    folder.mkdir()
    grey = np.clip((phantom.voxels + 1000) // 8, 0, 255).astype(np.uint8)
    write(folder / "1.nrrd", phantom)
    write(folder / "2 grey.nrrd", phantom, grey)
    (folder / "3 broken.nrrd").write_bytes(b"NRRD0004\nnothing")
    write(folder / "4 small.nrrd", phantom, phantom.voxels[:3])
    write(folder / "5.nrrd", phantom)
    monkeypatch.chdir(tmp_path)
    mine = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "mine")
    before = node_ids()
    values = {"logic": NoduleSynthLogic(), "slicer": slicer}

    exec(compile(loop_over_a_folder(places[1]), str(PAGE), "exec"), values)

    assert sorted(p.name for p in (tmp_path / "with-nodules").iterdir()) == ["1.nrrd", "5.nrrd"]
    first, last = (sitk.ReadImage(str(tmp_path / "with-nodules" / n)) for n in ("1.nrrd", "5.nrrd"))
    voxels = sitk.GetArrayFromImage(first)
    assert (voxels != phantom.voxels).sum() > 20
    np.testing.assert_array_equal(voxels, sitk.GetArrayFromImage(last))
    assert list(values["problems"]) == ["2 grey.nrrd", "3 broken.nrrd", "4 small.nrrd"]
    assert "not a chest CT in HU" in values["problems"]["2 grey.nrrd"]
    assert "outside the volume" in values["problems"]["4 small.nrrd"]
    assert "4 small.nrrd: seed" in capsys.readouterr().out
    assert node_ids() == before
    assert mine.GetScene() is slicer.mrmlScene
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(ct), phantom.voxels)
    assert not values["logic"].session.worker.running


@pytest.mark.parametrize("wanted", [None, "gone"])
def test_to_remove_no_volume_is_nothing(ct, module_tree, monkeypatch, node_ids, wanted):
    import slicer

    monkeypatch.syspath_prepend(str(module_tree))
    from NoduleSynth import NoduleSynthLogic

    volume = None
    if wanted == "gone":
        volume = slicer.util.addVolumeFromArray(np.zeros((3, 4, 5), np.int16))
        slicer.mrmlScene.RemoveNode(volume)
    before = node_ids()
    NoduleSynthLogic().remove(volume)
    assert node_ids() == before
