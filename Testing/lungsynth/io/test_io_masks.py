"""Masks lie where the nodules are and Slicer finds its segments in them."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import NoduleSpec, Seed
from lungsynth.core.volume import Volume
from lungsynth.io.segments import label_map
from lungsynth.io.writing import write_mask

MATRIX = np.array(
    [[0.0, -0.8, 0.0, 30.0], [-0.7, 0.0, 0.0, 12.0], [0.0, 0.0, -2.5, 55.0], [0.0, 0.0, 0.0, 1.0]]
)


@pytest.fixture
def volume():
    header = {"qform_code": "1", "sform_code": "2"}
    return Volume(np.full((14, 40, 50), -800, np.int16), MATRIX, header)


@pytest.fixture
def two(volume, make_insertion):
    first = volume.ijk_to_ras_mm([14, 12, 5])
    second = volume.ijk_to_ras_mm([36, 28, 9])
    named = Seed(tuple(second), NoduleSpec(6.0), "läsion")
    return [make_insertion(volume, first, 8.0), make_insertion(volume, second, 6.0, seed=named)]


@pytest.mark.parametrize("suffix", [".seg.nrrd", ".nii.gz", ".nrrd", ".nii"])
def test_each_nodule_has_its_number_at_its_place(tmp_path, volume, two, suffix):
    write_mask(two, volume, tmp_path / f"mask{suffix}")
    image = sitk.ReadImage(str(tmp_path / f"mask{suffix}"))
    labels = sitk.GetArrayFromImage(image)

    assert labels.dtype == np.uint8
    assert labels.shape == volume.voxels.shape
    assert (labels[5, 12, 14], labels[9, 28, 36]) == (1, 2)
    for number, insertion in enumerate(two, start=1):
        assert np.count_nonzero(labels == number) == np.count_nonzero(insertion.mask)
        np.testing.assert_array_equal(labels[insertion.slices] == number, insertion.mask)
    left, posterior, superior = image.TransformIndexToPhysicalPoint((36, 28, 9))
    np.testing.assert_allclose([-left, -posterior, superior], volume.ijk_to_ras_mm([36, 28, 9]))


def test_segments_are_described_as_slicer_does(tmp_path, volume, two):
    write_mask(two, volume, tmp_path / "a.seg.nrrd")
    image = sitk.ReadImage(str(tmp_path / "a.seg.nrrd"))
    said = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}

    assert said["Segmentation_MasterRepresentation"] == "Binary labelmap"
    assert said["Segmentation_ContainedRepresentationNames"] == "Binary labelmap|"
    assert said["Segmentation_ReferenceImageExtentOffset"] == "0 0 0"
    assert said["Segment0_Name"] == "Nodule 1 (8 mm part-solid)"
    assert said["Segment1_Name"] == "läsion (6 mm solid)"
    assert (said["Segment0_ID"], said["Segment1_ID"]) == ("Nodule_1", "Nodule_2")
    assert (said["Segment0_LabelValue"], said["Segment1_LabelValue"]) == ("1", "2")
    assert (said["Segment0_Layer"], said["Segment1_Layer"]) == ("0", "0")
    assert [float(x) for x in said["Segment1_Color"].split()] == [0.34, 0.71, 0.91]
    tags = dict(tag.split(":", 1) for tag in said["Segment0_Tags"].split("|") if tag)
    terminology = tags["TerminologyEntry"].split("~")
    assert terminology[1] == "SCT^49755003^Morphologically Altered Structure"
    assert terminology[2] == "SCT^27925004^Nodule"
    assert len(terminology) == 7
    assert said["lungsynth_synthetic"] == "true"


def test_each_extent_spans_the_grid(tmp_path, volume, two):
    """Slicer cuts the layer that segments share to the first one's extent."""
    write_mask(two, volume, tmp_path / "a.seg.nrrd")
    image = sitk.ReadImage(str(tmp_path / "a.seg.nrrd"))

    assert image.GetMetaData("Segment0_Extent") == "0 49 0 39 0 13"
    assert image.GetMetaData("Segment1_Extent") == "0 49 0 39 0 13"


def test_nifti_mask_has_the_affine_and_codes_of_the_volume(tmp_path, volume, two):
    write_mask(two, volume, tmp_path / "a.nii.gz")
    image = nibabel.load(tmp_path / "a.nii.gz")

    np.testing.assert_array_equal(image.affine, np.float32(MATRIX))
    assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (1, 2)
    assert image.header["descrip"].item().startswith(b"SYNTHETIC")


def test_earlier_nodule_keeps_a_shared_voxel(volume, make_insertion):
    near = [volume.ijk_to_ras_mm([20, 20, 6]), volume.ijk_to_ras_mm([24, 20, 6])]
    first, second = (make_insertion(volume, at, 8.0) for at in near)

    labels = label_map([first, second], volume.voxels.shape)

    assert labels[6, 20, 22] == 1
    assert np.count_nonzero(labels == 1) == np.count_nonzero(first.mask)
    assert 0 < np.count_nonzero(labels == 2) < np.count_nonzero(second.mask)


def test_more_than_255_nodules_are_counted_in_16_bits(volume, two):
    labels = label_map([two[0]] * 299 + [two[1]], volume.voxels.shape)

    assert labels.dtype == np.uint16
    assert labels[9, 28, 36] == 300


def test_no_nodules_give_an_empty_mask(tmp_path, volume):
    write_mask([], volume, tmp_path / "a.seg.nrrd")

    assert not sitk.GetArrayViewFromImage(sitk.ReadImage(str(tmp_path / "a.seg.nrrd"))).any()


def test_other_suffix_is_refused(tmp_path, volume, two):
    with pytest.raises(LungSynthError, match=r"\.seg\.nrrd, \.nii\.gz"):
        write_mask(two, volume, tmp_path / "a.dcm")
