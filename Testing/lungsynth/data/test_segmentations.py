"""Segmented CTs: which files belong together, and which voxels of a mask are a nodule."""

import pickle

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from lungsynth.data.cut_cases import cut_case
from lungsynth.data.dicom_seg import SEG_CLASS
from lungsynth.data.records import Trouble
from lungsynth.data.segmentations import is_segmentations, list_segmentations


def positions(case):
    return [record.position_ras_mm for record in case.read().records]


@pytest.mark.parametrize(
    ("image", "mask", "name"),
    [
        ("A/ct.nii.gz", "A/nodules.nii.gz", "A"),
        ("A/image.nrrd", "A/segmentation.seg.nrrd", "A"),
        ("imagesTr/lung_007_0000.nii.gz", "labelsTr/lung_007.nii.gz", "lung_007"),
        ("images/7.mha", "masks/7.nrrd", "7"),
    ],
)
def test_images_and_masks_are_paired_by_their_names(tmp_path, phantom, nodules, image, mask, name):
    phantom.write(tmp_path / image)
    phantom.write(tmp_path / mask, (phantom.labels > 0).astype(np.uint8))
    assert is_segmentations(tmp_path)
    (case,) = list_segmentations(tmp_path).cases

    assert case.name == case.patient == name
    assert pickle.loads(pickle.dumps(case)) == case  # another process may read it
    # the connected parts are found in the order of the slices' axis, not of the table
    found = sorted(positions(case), key=lambda at: at[2])
    assert found == [
        pytest.approx(at, abs=0.4) for at, *_ in sorted(nodules, key=lambda n: n[0][2])
    ]


def test_touching_labels_are_two_nodules_and_specks_are_none(tmp_path, make_phantom):
    phantom = make_phantom([((-35.0, 25.0, -100.0), 10, 0), ((-26.0, 25.0, -100.0), 10, 0)])
    assert (phantom.labels == 1).any()
    labels = phantom.labels.copy()
    labels[2, 3, 4:6] = 3
    phantom.write(tmp_path / "A" / "ct.nrrd")
    phantom.write(tmp_path / "A" / "mask.nrrd", labels)
    (case,) = list_segmentations(tmp_path).cases

    assert len(positions(case)) == 2


def test_what_has_no_partner_is_named(tmp_path, phantom):
    phantom.write(tmp_path / "images" / "1.nrrd")
    phantom.write(tmp_path / "images" / "2.nrrd")
    phantom.write(tmp_path / "masks" / "2.nrrd", phantom.labels)
    phantom.write(tmp_path / "masks" / "3.nrrd", phantom.labels)
    source = list_segmentations(tmp_path)

    assert [case.name for case in source.cases] == ["2"]
    found = {(p.case, p.trouble) for p in source.problems}
    assert found == {("1", Trouble.NO_ANNOTATION), ("3", Trouble.NO_IMAGE)}


@pytest.mark.parametrize(
    ("spoil", "trouble", "text"),
    [
        (lambda labels: labels[:, :, :-1], Trouble.MASK_GEOMETRY, "65 x 60 x 44 voxels, 66 x 60"),
        (lambda labels: labels * 0, Trouble.EMPTY_MASK, "the mask is empty"),
        (lambda labels: labels + np.float32(0.5), Trouble.MASK, "not whole numbers"),
    ],
)
def test_a_mask_that_does_not_fit_is_named(tmp_path, phantom, spoil, trouble, text):
    phantom.write(tmp_path / "A" / "ct.nrrd")
    phantom.write(tmp_path / "A" / "mask.nrrd", spoil(phantom.labels))
    (case,) = list_segmentations(tmp_path).cases
    (problem,) = cut_case(case).problems

    assert problem.trouble is trouble
    assert text in problem.message


def test_a_mask_of_the_same_size_but_elsewhere_is_of_another_geometry(
    tmp_path, phantom, make_phantom
):
    phantom.write(tmp_path / "A" / "ct.nrrd")
    make_phantom(spacing=(0.9, 1.1, 1.71)).write(tmp_path / "A" / "mask.nrrd", phantom.labels)
    (problem,) = cut_case(list_segmentations(tmp_path).cases[0]).problems

    assert problem.trouble is Trouble.MASK_GEOMETRY
    assert "but with other spacing, origin or direction" in problem.message


SERIES, ORIGIN, SPACING = "1.3.6.77", (-20.0, -35.0, -120.0), (0.7, 0.8, 2.5)


def write_seg(path, frames, *, series=SERIES, corner=(0, 0), shift=0.0):
    """Write a SEG of (segment, slice, pixels); ``corner`` is its first row and column."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SEG_CLASS
    meta.MediaStorageSOPInstanceUID = "1.2.9"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    one.SOPClassUID, one.SOPInstanceUID = SEG_CLASS, "1.2.9"
    one.Modality, one.SegmentationType = "SEG", "BINARY"
    reference = Dataset()
    reference.SeriesInstanceUID = series
    one.ReferencedSeriesSequence = Sequence([reference])
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.Rows, one.Columns = frames[0][2].shape
    one.NumberOfFrames = len(frames)
    one.BitsAllocated = one.BitsStored = 1
    one.HighBit = one.PixelRepresentation = 0
    bits = np.concatenate([pixels.ravel() for *_, pixels in frames])
    packed = np.packbits(bits, bitorder="little").tobytes()
    one.PixelData = packed + b"\0" * (len(packed) % 2)
    measures, plane, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([plane])
    one.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for segment, k, _ in frames:
        number, place, group = Dataset(), Dataset(), Dataset()
        number.ReferencedSegmentNumber = segment
        place.ImagePositionPatient = [
            ORIGIN[0] + corner[1] * SPACING[0] + shift,
            ORIGIN[1] + corner[0] * SPACING[1],
            ORIGIN[2] + k * SPACING[2],
        ]
        group.SegmentIdentificationSequence = Sequence([number])
        group.PlanePositionSequence = Sequence([place])
        groups.append(group)
    one.PerFrameFunctionalGroupsSequence = Sequence(groups)
    path.parent.mkdir(parents=True, exist_ok=True)
    one.save_as(path, enforce_file_format=True)


@pytest.fixture
def dicom(tmp_path, write_dicom):
    voxels = np.full((16, 72, 80), -850)
    voxels[6:9, 21:30, 31:42] = -600
    write_dicom(tmp_path / "ct", voxels, uid=SERIES, patient="P-9", origin=ORIGIN, spacing=SPACING)
    return tmp_path


def test_a_dicom_segmentation_is_put_onto_the_series_it_names(dicom):
    """Frames in any order, of a part of the slice; what two segments share is the earlier's."""
    pixels = np.zeros((20, 25), np.uint8)
    pixels[1:10, 1:12] = 1
    beside = np.zeros((20, 25), np.uint8)
    beside[1:10, 9:20] = 1
    frames = [(1, 8, pixels), (1, 6, pixels), (1, 7, pixels), (2, 7, beside), (2, 6, beside)]
    write_seg(dicom / "seg" / "nodules.dcm", frames, corner=(20, 30))
    assert is_segmentations(dicom)
    (case,) = list_segmentations(dicom).cases
    first, second = case.read().records

    assert case.patient == "P-9"
    left, posterior = ORIGIN[0] + 36 * 0.7, ORIGIN[1] + 25 * 0.8
    assert first.position_ras_mm == pytest.approx((-left, -posterior, ORIGIN[2] + 7 * 2.5))
    assert first.mask.voxels.shape == (3, 9, 11)
    assert second.mask.voxels.shape == (2, 9, 8)
    row = cut_case(case).rows[0]
    assert (row["attenuation"], row["attenuation_from"]) == ("ground-glass", "derived")


def test_a_dicom_segmentation_off_the_grid_or_without_its_ct_is_named(dicom):
    pixels = np.ones((9, 11), np.uint8)
    write_seg(dicom / "a.dcm", [(1, 7, pixels)], corner=(21, 31), shift=0.3)
    write_seg(dicom / "b.dcm", [(1, 7, pixels)], series="1.2.840.1")
    write_seg(dicom / "c.dcm", [(1, 17, pixels)], corner=(21, 31))
    source = list_segmentations(dicom)

    (absent,) = source.problems
    assert (absent.case, absent.trouble) == ("b.dcm", Trouble.NO_IMAGE)
    assert "drawn on the series '1.2.840.1', which is in none" in absent.message
    for case in source.cases:
        (problem,) = cut_case(case).problems
        assert problem.trouble is Trouble.MASK_GEOMETRY
        assert "off the image's voxels" in problem.message


def test_a_damaged_dicom_segmentation_is_named(dicom):
    path = dicom / "a.dcm"
    write_seg(path, [(1, 7, np.ones((9, 11), np.uint8))] * 3, corner=(21, 31))
    path.write_bytes(path.read_bytes()[:-20])
    (problem,) = cut_case(list_segmentations(dicom).cases[0]).problems

    assert problem.trouble is Trouble.MASK
    assert "a.dcm: damaged or incomplete DICOM segmentation" in problem.message
