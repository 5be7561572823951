"""What was made here says so: its nodes, its name, the files."""

import gzip

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from lungsynth import __version__


@pytest.fixture
def outputs(panel, add_seeds, insert, places):
    """Insert a nodule; return output, segmentation and table."""
    add_seeds(places[2:3])
    insert()
    return panel.p.outputVolume, panel.p.segmentation, panel.p.table


def assert_marked(nodes):
    for node in nodes:
        assert node.GetAttribute("lungsynth_synthetic") == "true"
        assert node.GetAttribute("lungsynth_version") == __version__
        assert node.GetDescription().startswith("SYNTHETIC")


def test_outputs_are_marked_and_stay_so_in_a_saved_scene(panel, ct, outputs, mrb, tmp_path):
    assert_marked(outputs)
    assert ct.GetAttribute("lungsynth_synthetic") is None
    assert ct.GetDescription() in (None, "")

    mrb.round_trip(tmp_path / "scene.mrb")

    assert_marked([panel.p.outputVolume, panel.p.segmentation, panel.p.table])
    assert panel.p.inputVolume.GetAttribute("lungsynth_synthetic") is None


def test_name_says_it_and_with_it_the_file_of_a_saved_scene(outputs):
    assert [node.GetName() for node in outputs] == [
        "Chest with synthetic nodules",
        "Chest with synthetic nodules masks",
        "Chest with synthetic nodules table",
    ]


def test_files_of_the_segmentation_say_it_of_each_segment(outputs, tmp_path):
    import slicer

    slicer.util.saveNode(outputs[1], str(tmp_path / "masks.seg.nrrd"))

    header = (tmp_path / "masks.seg.nrrd").read_bytes().partition(b"\n\n")[0].decode()
    assert "lungsynth.synthetic:true" in header


def test_slicers_own_nrrd_storage_keeps_the_mark(outputs, scene, tmp_path):
    """The default storage node keeps no attribute; this one, which Slicer has too, does."""

    storage = scene.AddNewNodeByClass("vtkMRMLNRRDStorageNode")
    storage.SetFileName(str(tmp_path / "out.nrrd"))
    assert storage.WriteData(outputs[0])

    header = (tmp_path / "out.nrrd").read_bytes().partition(b"\n\n")[0].decode()
    assert "lungsynth_synthetic:=true" in header


def test_script_saves_with_the_mark_in_the_header(panel, ct, places, tmp_path):
    import slicer

    logic = panel.logic
    seeds = logic.seedsFor(ct)
    seeds.add(places[4], diameter_mm=11)
    result = logic.insertNow(ct, seeds, synthesizer="procedural")
    result.save(tmp_path / "out.nrrd")
    result.save(str(tmp_path / "out.nii.gz"))
    slicer.util.saveNode(result.volume, str(tmp_path / "slicer.nrrd"))

    marked, plain = (sitk.ReadImage(str(tmp_path / n)) for n in ("out.nrrd", "slicer.nrrd"))
    assert marked.GetMetaData("lungsynth_synthetic") == "true"
    np.testing.assert_array_equal(sitk.GetArrayFromImage(marked), sitk.GetArrayFromImage(plain))
    assert marked.GetPixelIDValue() == plain.GetPixelIDValue()
    for read in ("GetOrigin", "GetSpacing", "GetDirection"):
        np.testing.assert_allclose(getattr(marked, read)(), getattr(plain, read)(), atol=1e-9)
    with gzip.open(tmp_path / "out.nii.gz") as file:
        assert b"SYNTHETIC (lungsynth" in file.read(348)
    nifti = nibabel.load(tmp_path / "out.nii.gz")
    np.testing.assert_allclose(nifti.affine @ [3, 4, 5, 1], _ras(ct, (3, 4, 5)), atol=1e-3)


def _ras(node, ijk):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix.MultiplyPoint([*ijk, 1])
