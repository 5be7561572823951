"""The voxels of a volume node as a file that a process reads, or maps into its memory."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path

import numpy as np
import slicer

from lungsynth.core.errors import LungSynthError
from lungsynth_slicer.steps import Steps, slabs
from lungsynth_slicer.volumes import volumeFromNode, voxelsOf

ATTEMPTS = 3
"""How often writing starts again because the volume changed meanwhile."""


def imageTime(node: slicer.vtkMRMLScalarVolumeNode) -> int:
    """Return a number that grows whenever the node's voxels change."""
    image = node.GetImageData()
    return max(image.GetMTime(), image.GetPointData().GetScalars().GetMTime()) if image else 0


def npyHeader(node: slicer.vtkMRMLScalarVolumeNode) -> bytes:
    """Return what comes before the voxels in a .npy file."""
    voxels = voxelsOf(node)
    values = {
        "descr": np.lib.format.dtype_to_descr(voxels.dtype),
        "fortran_order": False,
        "shape": voxels.shape,
    }
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, values)
    return file.getvalue()


class VolumeSharer:
    """Writes volumes once and again only when they changed.

    Args:
        folder: Where the files go; it must exist. Whoever made it removes it.
        suffix: Of the files.
        header: Gives what comes before the voxels in them.
    """

    def __init__(
        self,
        folder: Path,
        suffix: str = ".npy",
        header: Callable[[slicer.vtkMRMLScalarVolumeNode], bytes] = npyHeader,
    ) -> None:
        self.folder = Path(folder)
        self._suffix = suffix
        self._header = header
        self._shared: tuple[str, int, Path] | None = None
        self._count = 0

    def share(
        self,
        node: slicer.vtkMRMLScalarVolumeNode,
        onDone: Callable[[Path, bool], None],
        onError: Callable[[str], None],
    ) -> Steps | None:
        """Write a volume's voxels and say where.

        Args:
            node: The volume.
            onDone: Called with the file, and whether it is new since the last time. At once, if
                the volume is shared already; None is returned then.
            onError: Called with one line if it can't be written.

        Raises:
            LungSynthError: If the node is no volume that can be used.
        """
        volumeFromNode(node)
        known = self._shared
        if known and known[:2] == (node.GetID(), imageTime(node)) and known[2].is_file():
            onDone(known[2], False)
            return None
        self.forget()
        self._count += 1
        path = self.folder / f"volume-{os.getpid()}-{self._count}{self._suffix}"
        identity = node.GetID()
        started = [0]

        def finished() -> None:
            self._shared = (identity, started[0], path)
            onDone(path, True)

        def failed(message: str) -> None:
            path.unlink(missing_ok=True)
            onError(f"cannot write the volume to {self.folder} for the worker: {message}")

        return Steps(_writing(node, path, self._header, started), finished, failed)

    def forget(self) -> None:
        """Remove the file of the volume shared last."""
        if self._shared is not None:
            with suppress(OSError):  # Windows keeps a file that the worker has mapped
                self._shared[2].unlink(missing_ok=True)
        self._shared = None


def _writing(
    node: slicer.vtkMRMLScalarVolumeNode,
    path: Path,
    header: Callable[[slicer.vtkMRMLScalarVolumeNode], bytes],
    started: list[int],
) -> Generator[None, None, None]:
    """Write slab by slab; from the start again if the voxels changed on the way."""
    try:
        for _ in range(ATTEMPTS):
            started[0] = imageTime(node)
            voxels = voxelsOf(node)
            with path.open("wb") as file:
                file.write(header(node))
                for slab in slabs(voxels):
                    file.write(memoryview(np.ascontiguousarray(voxels[slab])).cast("B"))
                    yield
                    if imageTime(node) != started[0]:
                        break
            if imageTime(node) == started[0]:
                return
    except GeneratorExit:
        path.unlink(missing_ok=True)
        raise
    msg = "it kept changing while it was written"
    raise LungSynthError(msg)
