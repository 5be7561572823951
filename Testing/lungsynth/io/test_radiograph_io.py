"""Radiographs in and out: values, spacing, header and kind survive; every output is marked."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import Kind, Photometric
from lungsynth.io import png
from lungsynth.io.radiograph_reading import kind_of, lateral_view, read_radiograph
from lungsynth.io.radiograph_writing import output_suffixes, write_radiograph

DX = "1.2.840.10008.5.1.4.1.1.1.1"


def picture(shape=(150, 140), top=4000, dtype=np.uint16):
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    return ((rows * 3 + columns) * (top / (3 * shape[0] + shape[1]))).astype(dtype)


def write_dicom(path, pixels=None, **tags):
    pixels = picture() if pixels is None else pixels
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DX
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = tags.pop("syntax", ExplicitVRLittleEndian)
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    bits = 8 * pixels.dtype.itemsize
    values = {
        "SOPClassUID": DX,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "PatientID": "anonymous-7",
        "Modality": "DX",
        "ViewPosition": "PA",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": 12 if bits == 16 else 8,
        "HighBit": 11 if bits == 16 else 7,
        "PixelRepresentation": 0,
        "ImageType": ["ORIGINAL", "PRIMARY", "POST_PROCESSED"],
        "SeriesDescription": "chest",
        **tags,
    }
    for name, value in values.items():
        setattr(dataset, name, value)
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("photometric", list(Photometric))
def test_a_dicom_radiograph_keeps_stored_values_header_and_window(tmp_path, photometric):
    path = write_dicom(
        tmp_path / "in.dcm",
        PhotometricInterpretation=str(photometric),
        ImagerPixelSpacing=[0.143, 0.2],
        WindowCenter=2048,
        WindowWidth=3000,
        RescaleSlope=2,
        RescaleIntercept=-5,
    )

    image = read_radiograph(path)

    np.testing.assert_array_equal(image.pixels, picture())
    assert image.pixels.dtype == np.uint16
    assert image.photometric is photometric
    assert image.pixel_spacing_mm == (0.143, 0.2)
    assert image.limits == (0, 4095)
    assert np.diag(image.ijk_to_ras) == pytest.approx((-0.2, -0.143, 1, 1))

    new = image.pixels.copy()
    new[40:60, 70:80] += 17
    write_radiograph(image.with_pixels(new), tmp_path / "out.dcm", path)

    before, after = pydicom.dcmread(path), pydicom.dcmread(tmp_path / "out.dcm")
    np.testing.assert_array_equal(after.pixel_array, new)
    for tag in ("PatientID", "StudyInstanceUID", "WindowCenter", "WindowWidth", "RescaleSlope",
                "ImagerPixelSpacing", "PhotometricInterpretation", "BitsStored"):  # fmt: skip
        assert after[tag].value == before[tag].value
    assert after.SOPInstanceUID != before.SOPInstanceUID
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID
    assert after.SeriesInstanceUID != before.SeriesInstanceUID
    assert after.SourceImageSequence[0].ReferencedSOPInstanceUID == before.SOPInstanceUID
    assert list(after.ImageType) == ["DERIVED", "SECONDARY", "POST_PROCESSED"]
    assert "SYNTHETIC" in after.SeriesDescription
    assert "chest" in after.SeriesDescription
    assert "SYNTHETIC" in after.DerivationDescription
    again = read_radiograph(tmp_path / "out.dcm")
    np.testing.assert_array_equal(again.pixels, new)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, None),
        ({"ImagerPixelSpacing": [0.2, 0.2], "EstimatedRadiographicMagnificationFactor": 1.25},
         (0.16, 0.16)),
        ({"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.18, 0.19]}, (0.18, 0.19)),
        ({"ImagerPixelSpacing": [0, 0]}, None),
    ],
)  # fmt: skip
def test_the_spacing_is_the_calibrated_one_or_that_at_the_detector(tmp_path, tags, expected):
    image = read_radiograph(write_dicom(tmp_path / "in.dcm", **tags))

    assert image.pixel_spacing_mm == (None if expected is None else pytest.approx(expected))


def test_eight_bits_and_bits_above_those_stored(tmp_path):
    narrow = read_radiograph(write_dicom(tmp_path / "8.dcm", picture(top=250, dtype=np.uint8)))
    assert narrow.pixels.dtype == np.uint8
    assert narrow.limits == (0, 255)
    overlaid = picture()
    overlaid[5, 6] |= 1 << 13
    image = read_radiograph(write_dicom(tmp_path / "overlay.dcm", overlaid))
    np.testing.assert_array_equal(image.pixels, picture())


@pytest.mark.parametrize("channels", [0, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_png_keeps_bits_channels_and_chunks_and_is_marked(tmp_path, dtype, channels):
    grey = picture(top=250 if dtype == np.uint8 else 60000, dtype=dtype)
    pixels = grey if not channels else np.repeat(grey[..., None], channels, axis=2)
    if channels == 4:
        pixels[..., -1] = 200  # not quite opaque
    path = tmp_path / "in.png"
    sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=bool(channels)), str(path))
    png.add_chunks(path, [(b"pHYs", b"\0\0\x0b\x13\0\0\x0b\x13\x01")], {"Comment": "from a film"})

    image = read_radiograph(path)
    np.testing.assert_array_equal(image.pixels, grey)
    assert image.pixel_spacing_mm is None
    new = grey.copy()
    new[10:20, 30:35] = 7
    write_radiograph(image.with_pixels(new), tmp_path / "out.png", path)

    back = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out.png")))
    assert back.dtype == dtype
    assert back.shape == pixels.shape
    if channels == 4:
        assert (back[..., -1] == 200).all()
    np.testing.assert_array_equal(back if not channels else back[..., 0], new)
    said = png.texts(tmp_path / "out.png")
    assert said["lungsynth_synthetic"] == "true"
    assert said["Comment"] == "from a film"
    kinds = [kind for kind, _ in png.chunks((tmp_path / "out.png").read_bytes())]
    assert b"pHYs" in kinds
    assert kinds.index(b"tEXt") < kinds.index(b"IDAT")


def test_a_jpeg_is_read_and_becomes_a_png(tmp_path):
    path = tmp_path / "in.jpg"
    sitk.WriteImage(sitk.GetImageFromArray(picture(top=250, dtype=np.uint8)), str(path))

    image = read_radiograph(path)

    assert np.abs(image.pixels.astype(int) - picture(top=250, dtype=np.uint8)).max() < 12
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LungSynthError, match="truncated: the end of the JPEG is missing"):
        read_radiograph(path)
    assert output_suffixes(path)[0] == ".png"
    assert ".jpg" not in output_suffixes(path)


@pytest.mark.parametrize(
    ("suffix", "flat"),
    [(s, False) for s in (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")]
    + [(s, True) for s in (".nii", ".nrrd", ".mha")],
)
def test_a_single_slice_keeps_geometry_and_kind(tmp_path, suffix, flat):
    voxels = picture(dtype=np.int16)
    source = sitk.GetImageFromArray(voxels if flat else voxels[None])
    source.SetSpacing((0.3, 0.2) if flat else (0.3, 0.2, 4.0))
    source.SetOrigin((11, -7) if flat else (11, -7, 5))
    path = tmp_path / f"in{suffix}"
    sitk.WriteImage(source, str(path))
    assert kind_of(path) is Kind.RADIOGRAPH

    image = read_radiograph(path)

    np.testing.assert_array_equal(image.pixels, voxels)
    assert image.pixel_spacing_mm == pytest.approx((0.2, 0.3))
    assert image.pixel_to_ras_mm((10, 20))[:2] == pytest.approx((-17, 5))
    write_radiograph(image, tmp_path / f"out{suffix}", path)
    again = read_radiograph(tmp_path / f"out{suffix}")
    np.testing.assert_array_equal(again.pixels, voxels)
    assert again.ijk_to_ras == pytest.approx(image.ijk_to_ras, abs=1e-5)
    back = sitk.ReadImage(str(tmp_path / f"out{suffix}"))
    marks = [back.GetMetaData(key) for key in back.GetMetaDataKeys()]
    assert "true" in marks or any("SYNTHETIC" in mark for mark in marks)


def test_a_spacing_of_1_mm_that_makes_a_chest_of_a_metre_is_no_spacing(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(picture((1000, 900))[None]), str(tmp_path / "in.nrrd"))

    assert read_radiograph(tmp_path / "in.nrrd").pixel_spacing_mm is None


def test_monochrome1_survives_an_nrrd_but_is_refused_as_png(tmp_path):
    path = write_dicom(tmp_path / "in.dcm", PhotometricInterpretation="MONOCHROME1")
    image = read_radiograph(path)
    write_radiograph(image, tmp_path / "out.nrrd", path)
    assert read_radiograph(tmp_path / "out.nrrd").photometric is Photometric.MONOCHROME1
    with pytest.raises(LungSynthError, match="bright where dense; these are uint16, MONOCHROME1"):
        write_radiograph(image, tmp_path / "out.png", path)
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"Modality": "CT"}, "a CT image, where a radiograph"),
        ({"Modality": "MR"}, "modality MR"),
        ({"NumberOfFrames": 3}, "3 frames"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour image"),
        ({"PhotometricInterpretation": ""}, "no PhotometricInterpretation"),
    ],
)
def test_what_is_no_radiograph_is_refused(tmp_path, tags, said):
    path = write_dicom(tmp_path / "in.dcm", **tags)
    with pytest.raises(LungSynthError, match=said):
        read_radiograph(path)


def test_pictures_that_are_no_radiograph_are_refused(tmp_path):
    colour = np.random.default_rng(1).integers(0, 255, (150, 140, 3), dtype=np.uint8)
    page = np.full((300, 300), 255, np.uint8)
    page[100:120:4, 40:260] = 0
    text = np.zeros((300, 300), np.uint8)
    text[30:60:5, 40:260] = 255
    slice_hu = (picture(dtype=np.int16) - 1000).astype(np.int16)
    for name, pixels, said in (
        ("colour.png", colour, "a colour picture"),
        ("page.png", page, "burnt-in text"),
        ("text.png", text, "burnt-in text"),
        ("blank.png", np.full((300, 300), 9, np.uint8), "blank"),
        ("small.png", picture((90, 200)), "200 x 90 pixels"),
        ("opacity.png", np.stack([picture()] * 2, -1), "grey and opacity"),
        ("slice.nrrd", slice_hu[None], "slice of a CT in HU"),
    ):
        path = tmp_path / name
        sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=pixels.shape[-1] < 4), str(path))
        with pytest.raises(LungSynthError, match=said):
            read_radiograph(path)
    (tmp_path / "no.png").write_text("nothing")
    with pytest.raises(LungSynthError, match=r"it is no \.png file"):
        read_radiograph(tmp_path / "no.png")


def test_a_compression_without_a_decoder_is_named(tmp_path):
    path = write_dicom(tmp_path / "in.dcm")
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"  # MPEG-4
    dataset.PixelData = pydicom.encaps.encapsulate([b"nothing to decode"])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)

    with pytest.raises(LungSynthError, match=r"compressed as MPEG-4 .*decompress it first"):
        read_radiograph(path)


@pytest.mark.parametrize("photometric", list(Photometric))
def test_a_compressed_one_with_a_decoder_is_read_as_stored(tmp_path, photometric):
    """RLE, which GDCM decodes; neither a slope nor MONOCHROME1 may change what is stored."""
    path = write_dicom(
        tmp_path / "in.dcm",
        RescaleSlope=3,
        RescaleIntercept=-100,
        PhotometricInterpretation=str(photometric),
    )
    dataset = pydicom.dcmread(path)
    dataset.compress(pydicom.uid.RLELossless)
    dataset.save_as(tmp_path / "rle.dcm")

    image = read_radiograph(tmp_path / "rle.dcm")

    np.testing.assert_array_equal(image.pixels, picture())
    assert image.pixels.dtype == np.uint16
    write_radiograph(image, tmp_path / "out.dcm", tmp_path / "rle.dcm")
    np.testing.assert_array_equal(pydicom.dcmread(tmp_path / "out.dcm").pixel_array, picture())


def test_a_folder_with_one_radiograph_is_read_and_with_two_refused(tmp_path):
    write_dicom(tmp_path / "a.dcm")
    assert kind_of(tmp_path) is Kind.RADIOGRAPH
    assert read_radiograph(tmp_path).pixels.shape == (150, 140)
    write_dicom(tmp_path / "b.dcm")
    with pytest.raises(LungSynthError, match=r"2 DICOM images \(a.dcm, b.dcm\)"):
        read_radiograph(tmp_path)


@pytest.mark.parametrize(
    ("tags", "lateral"),
    [
        ({"ViewPosition": "LL"}, True),
        ({"ViewPosition": "AP"}, False),
        ({"ViewPosition": "", "PatientOrientation": ["A", "F"]}, True),
        ({"ViewPosition": "", "PatientOrientation": ["L", "F"]}, False),
        ({"ViewPosition": "", "SeriesDescription": "Chest LAT"}, True),
        ({"ViewPosition": "", "SeriesDescription": "Chest PA and LAT"}, False),
        ({"ViewPosition": "", "SeriesDescription": "lattice"}, False),
    ],
)
def test_a_lateral_view_is_told_by_its_header(tmp_path, tags, lateral):
    image = read_radiograph(write_dicom(tmp_path / "in.dcm", **tags))

    assert bool(lateral_view(image)) is lateral
