"""Volumes as .nrrd files: against SimpleITK, which wrote or reads the other end."""

import numpy as np
import pytest
import SimpleITK as sitk

from lungsynth.core.errors import LungSynthError


def test_what_is_shared_is_read_by_others_with_its_geometry(
    oblique_volume, wait_until, slicer_app, tmp_path
):
    from lungsynth_slicer.nrrd import nrrdHeader
    from lungsynth_slicer.sharing import VolumeSharer
    from lungsynth_slicer.volumes import volumeFromNode

    node = oblique_volume(shape=(3, 30, 40))

    def header(node):
        return nrrdHeader(node, {"DICOM_ViewPosition": "PA"})

    shared = []
    sharer = VolumeSharer(tmp_path, ".nrrd", header)
    sharer.share(node, lambda path, _new: shared.append(path), pytest.fail)
    wait_until(lambda: shared)
    image = sitk.ReadImage(str(shared[0]))

    volume = volumeFromNode(node)
    assert (sitk.GetArrayFromImage(image) == volume.voxels).all()
    assert image.GetPixelIDTypeAsString() == "16-bit signed integer"
    assert image.GetMetaData("DICOM_ViewPosition") == "PA"
    for index in ((0, 0, 0), (5, 17, 2), (39, 1, 1)):
        lps = image.TransformIndexToPhysicalPoint(index)
        ras = (volume.ijk_to_ras @ (*index, 1))[:3]
        assert lps == pytest.approx(ras * (-1, -1, 1), abs=1e-5)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_what_others_wrote_is_read_in_steps(slicer_app, tmp_path, dtype, packed):
    from lungsynth_slicer.nrrd import readingVoxels

    voxels = np.random.default_rng(2).normal(60, 20, (1, 70, 50)).astype(dtype)
    path = tmp_path / "map.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path), packed)
    found = {}
    for _ in readingVoxels(path, found):
        pass

    assert found["map.nrrd"].dtype == dtype
    assert (found["map.nrrd"] == voxels).all()


def test_a_file_that_is_not_whole_is_refused(slicer_app, tmp_path):
    from lungsynth_slicer.nrrd import readingVoxels

    path = tmp_path / "map.nrrd"
    voxels = np.random.default_rng(2).normal(size=(1, 70, 50))
    for packed in (True, False):
        sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path), packed)
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(LungSynthError, match=r"map\.nrrd: cannot be read"):
            list(readingVoxels(path, {}))
    path.write_bytes(b"no picture")
    with pytest.raises(LungSynthError, match=r"map\.nrrd: cannot be read"):
        list(readingVoxels(path, {}))
