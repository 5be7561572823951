"""Small sources of training data, written without the library: balls in lung, in any geometry."""

import csv

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

LUNG = -850


def turned(angle_x, angle_z):
    """A rotation about x and then z (radians)."""
    cx, sx, cz, sz = np.cos(angle_x), np.sin(angle_x), np.cos(angle_z), np.sin(angle_z)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    return np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]]) @ about_x


class Phantom:
    """Balls in lung; voxels (K, J, I) and their matrix to RAS."""

    def __init__(self, balls, shape, spacing, rotation, origin):
        self.matrix = np.eye(4)
        self.matrix[:3, :3] = rotation * np.asarray(spacing)
        self.matrix[:3, 3] = origin
        k, j, i = np.indices(shape)
        self.ras = np.stack([i, j, k], -1) @ self.matrix[:3, :3].T + self.matrix[:3, 3]
        self.voxels = np.full(shape, LUNG, np.int16)
        self.labels = np.zeros(shape, np.uint8)
        for number, (at, diameter, hu) in enumerate(balls, start=1):
            inside = np.linalg.norm(self.ras - at, axis=-1) <= diameter / 2
            self.voxels[inside] = hu
            self.labels[inside] = number

    def write(self, path, voxels=None):
        """Write an image file with SimpleITK, LPS as ITK has it."""
        image = sitk.GetImageFromArray(self.voxels if voxels is None else voxels)
        lps = np.diag([-1, -1, 1, 1]) @ self.matrix
        spacing = np.linalg.norm(lps[:3, :3], axis=0)
        image.SetSpacing(spacing.tolist())
        image.SetOrigin(lps[:3, 3].tolist())
        image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(image, str(path))
        return path


NODULES = [
    ((-43.0, 21.0, -118.0), 9.0, -30),
    ((-21.0, 44.0, -96.0), 13.0, -620),
    ((-30.0, 28.0, -89.0), 7.0, 20),
]
"""RAS mm, mm, HU: off every middle and apart from their mirror images."""


@pytest.fixture(scope="session")
def nodules():
    return NODULES


@pytest.fixture(scope="session")
def make_phantom():
    """Return a maker of phantoms; as it stands oblique, of 0.9 x 1.1 x 1.7 mm, flipped in i."""

    def make(balls=NODULES, *, shape=(44, 60, 66), spacing=(0.9, 1.1, 1.7), oblique=True):
        rotation = np.diag([-1.0, 1.0, 1.0])
        if oblique:
            rotation = turned(0.21, -0.17) @ rotation
        middle = (np.array(shape[::-1]) - 1) / 2
        origin = np.array([-31.0, 30.0, -104.0]) - (rotation * np.asarray(spacing)) @ middle
        return Phantom(balls, shape, spacing, rotation, origin)

    return make


@pytest.fixture(scope="session")
def phantom(make_phantom):
    return make_phantom()


@pytest.fixture(scope="session")
def write_table():
    """Write rows (dicts) as CSV; the columns are those of the first row."""

    def write(path, rows, columns=None):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, columns or list(rows[0]), restval="")
            table.writeheader()
            table.writerows(rows)
        return path

    return write


@pytest.fixture
def luna16(tmp_path, phantom, nodules, write_table):
    """Return a writer of LUNA16: two series, annotated in LPS; ``change`` edits the rows."""

    def write(change=None):
        root = tmp_path / "luna"
        for series, subset in (("1.3.6.1", "subset0"), ("1.3.6.2", "subset7")):
            phantom.write(root / subset / f"{series}.mhd")
        rows = [
            {"seriesuid": series, "coordX": -r, "coordY": -a, "coordZ": s, "diameter_mm": d}
            for series, chosen in (("1.3.6.1", nodules), ("1.3.6.2", nodules[:1]))
            for (r, a, s), d, _ in chosen
        ]
        if change is not None:
            change(rows)
        write_table(root / "annotations.csv", rows)
        return root

    return write


@pytest.fixture(scope="session")
def write_dicom():
    """Write a CT series: one file for each slice, named against the order of the slices.

    ``voxels`` (K, J, I) in HU; ``origin`` LPS mm of the first voxel; ``spacing`` between columns,
    rows and slices. SOP UIDs are the series' with the number of the slice behind.
    """

    def write(folder, voxels, *, uid, patient="P1", origin=(0, 0, 0), spacing=(1, 1, 1)):
        folder.mkdir(parents=True, exist_ok=True)
        for number, plane in enumerate(voxels):
            meta = FileMetaDataset()
            meta.MediaStorageSOPClassUID = CTImageStorage
            meta.MediaStorageSOPInstanceUID = f"{uid}.{number}"
            meta.TransferSyntaxUID = ExplicitVRLittleEndian
            one = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
            one.SOPClassUID, one.SOPInstanceUID = CTImageStorage, f"{uid}.{number}"
            one.SeriesInstanceUID, one.StudyInstanceUID = uid, "1.2.3"
            one.PatientID, one.Modality = patient, "CT"
            one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
            one.Rows, one.Columns = plane.shape
            one.BitsAllocated = one.BitsStored = 16
            one.HighBit, one.PixelRepresentation = 15, 0
            one.RescaleSlope, one.RescaleIntercept = "1", "-1024"
            one.PixelData = (plane.astype(int) + 1024).astype(np.uint16).tobytes()
            x, y, z = origin
            one.ImagePositionPatient = [x, y, z + number * spacing[2]]
            one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
            one.PixelSpacing = [spacing[1], spacing[0]]
            one.save_as(folder / f"1-{99 - number:02d}.dcm", enforce_file_format=True)
        return folder

    return write
