"""SimpleITK at arm's length: quiet, without copies, and with its errors in one line."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""ITK, DICOM and NRRD point to left, posterior, superior; lungsynth and Slicer to RAS."""
_descriptor_2 = threading.RLock()  # the process has one; two threads must not swap it at once


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keep what the C and C++ readers print on file descriptor 2 away from the user.

    They print beside raising, and sometimes instead of it; what matters is checked and raised
    by the callers. Python's own stderr is flushed first, so that nothing of it gets lost.
    """
    if sys.stderr is not None:
        sys.stderr.flush()
    with _descriptor_2:
        try:
            saved = os.dup(2)
        except OSError:  # a windowed application without a stderr: nothing to keep quiet
            yield
            return
        try:
            with tempfile.TemporaryFile() as sink:
                os.dup2(sink.fileno(), 2)
                yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def reason(error: BaseException) -> str:
    """Return the telling part of an ITK message, which spans many lines, as one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith("Exception thrown in SimpleITK")]
    text = " ".join(telling or lines)
    text = re.sub(r"\S+\.(cxx|hxx|h):\d+:", "", text)
    text = re.sub(r"(sitk::ERROR|ITK ERROR|itk::ERROR):", "", text)
    return re.sub(r"\(0x[0-9a-f]+\)", "", re.sub(r"\s+", " ", text)).strip()[:200]


class _Buffer:
    """Keeps a SimpleITK image alive for as long as the array that looks into it."""

    def __init__(self, image: sitk.Image) -> None:
        self._image = image
        interface = dict(sitk.GetArrayViewFromImage(image).__array_interface__)
        # SimpleITK marks its view read-only because others may share the image; here the
        # array is its only user.
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface


def array_of(image: sitk.Image) -> NDArray[np.generic]:
    """Return the voxels (K, J, I) of an image without copying them; give the image up."""
    return np.asarray(_Buffer(image))


def ijk_to_ras_of(geometry: Any) -> NDArray[np.float64]:  # noqa: ANN401 - an Image or a reader
    """Return the 4 x 4 matrix of a SimpleITK image, or of a reader that has read the header.

    Of a 4-D image the first three axes are taken; a 2-D one lies in the plane S = 0.
    """
    spacing, origin = geometry.GetSpacing(), geometry.GetOrigin()
    size, used = len(spacing), min(3, len(spacing))
    matrix = np.eye(4)
    direction = np.reshape(geometry.GetDirection(), (size, size))[:used, :used]
    matrix[:used, :used] = direction * np.asarray(spacing[:used])
    matrix[:used, 3] = origin[:used]
    return np.asarray(LPS_TO_RAS @ matrix)


def place_image(image: Any, ijk_to_ras: NDArray[np.float64]) -> None:  # noqa: ANN401 - untyped
    """Give ``image`` the geometry of ``ijk_to_ras``.

    Raises:
        LungSynthError: If the axes are not at right angles: no format here can hold that.
    """
    matrix = LPS_TO_RAS @ ijk_to_ras
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    direction = matrix[:3, :3] / spacing
    skew = np.abs(direction.T @ direction - np.eye(3)).max()
    if skew > 1e-3:
        msg = (
            "the axes of the volume are not at right angles (a sheared or tilted geometry), "
            "which NIfTI, NRRD and MetaImage files cannot hold; resample it first"
        )
        raise LungSynthError(msg)
    image.SetSpacing([float(x) for x in spacing])
    image.SetOrigin([float(x) for x in matrix[:3, 3]])
    image.SetDirection([float(x) for x in direction.ravel()])
