"""One radiograph from its node to the maps of a scan, in a process beside Slicer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Protocol

import slicer
from slicer.i18n import tr as _

from AnomalyScanLib.Outputs import Maps
from AnomalyScanLib.Result import Result, resultOf
from AnomalyScanLib.Weights import Files, weightsArguments
from lungsynth.core.errors import LungSynthError
from lungsynth_slicer.nrrd import nrrdHeader, readingVoxels
from lungsynth_slicer.process import PythonProcess
from lungsynth_slicer.radiographs import dicomValue, photometricOf, spacingOf
from lungsynth_slicer.sessionfolder import SessionFolder
from lungsynth_slicer.sharing import VolumeSharer
from lungsynth_slicer.steps import Steps

HEADER = {
    "DICOM_ViewPosition": "0018,5101",
    "DICOM_BodyPartExamined": "0018,0015",
    "DICOM_PatientOrientation": "0020,0020",
    "DICOM_SeriesDescription": "0008,103e",
}
"""What else the scan wants to know of a radiograph, and the tag of it."""

Progress = Callable[[int, int, str], None]
Failed = Callable[[str], None]


class Settings(Files, Protocol):
    """How to scan; the parameter node is one."""

    falsePositivePercent: float
    device: str


def scanArguments(source: Path | str, output: Path | str, settings: Settings) -> list[str]:
    """Return the command that scans a file or a folder."""
    return [
        *("-m", "lungsynth", "scan", "--input", str(source), "--output", str(output)),
        *("--false-positive-rate", f"{settings.falsePositivePercent / 100:.6g}"),
        *("--device", settings.device, "--progress", "json"),
        *weightsArguments(settings),
    ]


def radiographHeader(node: slicer.vtkMRMLScalarVolumeNode) -> bytes:
    """Return what comes before the pixels in the file that is scanned."""
    values = {key: dicomValue(node, tag) for key, tag in HEADER.items()}
    values["DICOM_PhotometricInterpretation"] = str(photometricOf(node))
    written = {key: " ".join(value.split()) for key, value in values.items() if value}
    return nrrdHeader(node, written)


class Scanning:
    """Scans one radiograph at a time; exactly one of ``onDone`` and ``onError`` is called.

    Unless it is cancelled: then neither is. Nothing is put into the scene here.
    """

    def __init__(self) -> None:
        self._folder: SessionFolder | None = None
        self._sharer: VolumeSharer | None = None
        self._work: Any = None  # Steps or a PythonProcess, whichever is under way
        self._number = 0
        self._onDone: Callable[[Result, Maps], None] = lambda *_: None
        self._onError: Failed = lambda _: None

    @property
    def running(self) -> bool:
        """Whether a radiograph is being scanned."""
        return self._work is not None

    @property
    def processId(self) -> int:
        """The system's number of the process; 0 while there is none."""
        return self._work.processId if isinstance(self._work, PythonProcess) else 0

    def start(
        self,
        node: slicer.vtkMRMLScalarVolumeNode,
        settings: Settings,
        *,
        onDone: Callable[[Result, Maps], None],
        onError: Failed,
        onProgress: Progress,
    ) -> None:
        """Scan a radiograph.

        Args:
            node: The radiograph.
            settings: How; looked at now alone.
            onDone: Called with the result and the maps; see ``addOutputs``.
            onError: Called with one line.
            onProgress: Called with how many are done, of how many, and the stage.

        Raises:
            LungSynthError: If it can't be begun.
        """
        if self.running:
            msg = _("a scan is running already; cancel it or wait")
            raise LungSynthError(msg)
        self._onDone, self._onError = onDone, onError
        self._number += 1
        place = self._place()
        for old in place.glob("scan-*"):  # of a scan that was cancelled
            shutil.rmtree(old, ignore_errors=True)
        out = place / f"scan-{self._number}"
        name = f"volume '{node.GetName()}'"
        spacingKnown = spacingOf(node) is not None

        def shared(path: Path, _isNew: bool) -> None:
            def failed(message: str) -> None:
                self._fail(out, message.replace(str(path), name))

            arguments = [*scanArguments(path, out, settings), "--volumes"]
            self._work = PythonProcess(
                arguments,
                onDone=lambda event: self._read(event, out, spacingKnown=spacingKnown),
                onError=failed,
                onEvent=lambda event: _tell(event, onProgress),
                what=_("the scan"),
            )
            if not self._work.running:  # it could not be started
                self._work = None

        self._work = True  # sharing may be over at once
        try:
            sharing = self._sharer.share(node, shared, lambda message: self._fail(out, message))
        except LungSynthError:
            self._work = None
            raise
        if sharing is not None:
            self._work = sharing

    def cancel(self) -> None:
        """Stop; nothing is called any more."""
        work, self._work = self._work, None
        if isinstance(work, PythonProcess):
            work.stop()
        elif work is not None:
            work.cancel()

    def close(self) -> None:
        """Stop and remove all files."""
        self.cancel()
        if self._sharer is not None:
            self._sharer.forget()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = self._sharer = None

    def _place(self) -> Path:
        """Return the folder for files between here and the process."""
        if self._folder is None or not self._folder.path.is_dir():
            self._folder = SessionFolder()
            self._sharer = VolumeSharer(self._folder.path, ".nrrd", radiographHeader)
        return self._folder.path

    def _fail(self, out: Path, message: str) -> None:
        self._work = None
        shutil.rmtree(out, ignore_errors=True)
        self._onError(message)

    def _read(self, event: Mapping[str, Any], out: Path, *, spacingKnown: bool) -> None:
        """Read the maps a piece at a time, then hand them on."""
        maps: dict[str, Any] = {}
        results: list[Result] = []

        def steps() -> Generator[None, None, None]:
            values = json.loads(Path(event["json"]).read_text(encoding="utf-8"))
            results.append(resultOf(values, spacingKnown=spacingKnown))
            for kind, name in values["files"][0]["volumes"].items():
                yield from readingVoxels(out / name, maps)
                maps[kind] = maps.pop(name)

        def done() -> None:
            self._work = None
            shutil.rmtree(out, ignore_errors=True)
            self._onDone(results[0], maps)

        self._work = Steps(steps(), done, lambda message: self._fail(out, message))


def _tell(event: Mapping[str, Any], onProgress: Progress) -> None:
    if event.get("event") == "progress":
        done, total = int(event.get("done", 0)), int(event.get("total", 1))
        onProgress(done, total, str(event.get("stage", "")))
