"""The worker with a volume opened and a synthesizer loaded, made ready when it is needed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungsynth.core.errors import LungSynthError
from lungsynth_slicer.kinds import RADIOGRAPH_KIND, kindOf
from lungsynth_slicer.sessionfolder import SessionFolder
from lungsynth_slicer.sharing import VolumeSharer, imageTime
from lungsynth_slicer.steps import Steps
from lungsynth_slicer.volumes import volumeFromNode
from lungsynth_slicer.worker import Worker, waitForEnded
from NoduleSynthLib.Outputs import Case

Failed = Callable[[str], None]
Key = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class _Waiting:
    onReady: Callable[[], None]
    onError: Failed


class Session:
    """Brings one worker to the state that a request needs, whatever state it is in.

    Args:
        worker: Talks to the process; tests hand in their own.
        folder: For files between here and the worker; a temporary one where None.

    Attributes:
        device: What the synthesizer runs on and how fast, in words; empty until one is loaded.
        onInfo: Called with a line that the user should see.
    """

    def __init__(self, worker: Worker | None = None, folder: Path | None = None) -> None:
        self.worker = worker or Worker()
        self.device = ""
        self._deviceNow = ""  # as the worker calls it
        self.onInfo: Callable[[str], None] = _ignore
        self._folder = folder
        self._temporary: SessionFolder | None = None
        self._sharer: VolumeSharer | None = None
        self._sharing: Steps | None = None
        self._opened: Key | None = None  # what the worker knows, with its generation
        self._loaded: Key | None = None
        self._wanted: Key | None = None
        self._waiting: list[_Waiting] = []

    @property
    def folder(self) -> Path:
        """Where files for the worker go; made when first asked for.

        Raises:
            LungSynthError: If it can't be made.
        """
        if self._folder is None or not self._folder.is_dir():
            try:
                self._temporary = SessionFolder()
            except OSError as error:
                msg = (
                    f"cannot write to the temporary folder: {error.strerror or error}; free "
                    "space there, or set TMPDIR to another folder"
                )
                raise LungSynthError(msg) from error
            self._folder = self._temporary.path
            self._sharer = None
        return self._folder

    def answerFile(self, name: str) -> Path:
        """Return where the worker puts an answer: one that was killed may still be writing its."""
        return self.folder / f"{name}-{self.worker.generation}.npz"

    def prepare(self, p: Case, onReady: Callable[[], None], onError: Failed) -> None:
        """Open the volume and load the synthesizer, as far as that is not done yet.

        Args:
            p: The volume, synthesizer, device and weights.
            onReady: Called, at once or later, when requests can be sent.
            onError: Called with one line if it does not work.
        """
        try:
            key = self._key(p)
            if self._sharer is None:
                self._sharer = VolumeSharer(self.folder)
        except LungSynthError as error:
            onError(str(error))
            return
        if self._isReady(key):
            onReady()
            return
        if self._wanted is not None and key != self._wanted:
            self._abandon("another volume or synthesizer was chosen")
        self._waiting.append(_Waiting(onReady, onError))
        if self._wanted is None:
            self._wanted = key
            self._share(p, key)

    def isWarm(self, p: Case) -> bool:
        """Return whether a request could be sent without waiting."""
        try:
            return self._isReady(self._key(p))
        except LungSynthError:
            return False

    def request(
        self,
        do: str,
        *,
        onDone: Callable[[dict[str, Any]], None],
        **values: Any,  # noqa: ANN401 - see Worker.request
    ) -> None:
        """Send a request to the worker; see ``Worker.request``."""

        def done(answer: dict[str, Any]) -> None:
            # A GPU whose memory runs out is left for the CPU in the middle of a request
            if answer.get("device", self._deviceNow) != self._deviceNow:
                self._deviceNow = answer["device"]
                self.device = _inWords(answer)
            onDone(answer)

        self.worker.request(do, onInfo=self.onInfo, onDone=done, **values)

    def stop(self) -> None:
        """Kill the worker; it is started again when it is next needed."""
        waiting, self._waiting = self._waiting, []
        self._wanted = self._opened = self._loaded = None
        if self._sharing is not None:
            self._sharing.cancel()
        self.worker.cancel()
        for one in waiting:
            one.onError("stopped")

    def close(self) -> None:
        """End the worker without a word, and remove the files."""
        self._waiting.clear()
        self._wanted = self._opened = self._loaded = None
        if self._sharing is not None:
            self._sharing.cancel()
        self.worker.shutdown()
        if self._sharer is not None:
            self._sharer.forget()
        if self._temporary is not None:
            waitForEnded()
            self._temporary.cleanup()
            self._temporary = self._folder = self._sharer = None

    # --- the three steps: share, open, load ----------------------------------------------------

    def _key(self, p: Case) -> Key:
        volume = volumeFromNode(p.inputVolume)
        place = tuple(volume.ijk_to_ras.ravel())
        kind = kindOf(p.inputVolume)
        values = json.dumps(kind.openValues(p.inputVolume))
        open_ = (p.inputVolume.GetID(), imageTime(p.inputVolume), place, values)
        if kind is RADIOGRAPH_KIND:
            return open_, (str(kind.kind), p.cxrSynthesizer, p.device, "")
        return open_, (str(kind.kind), p.synthesizer, p.device, p.weights)

    def _isReady(self, key: Key) -> bool:
        now = self.worker.generation
        return self.worker.running and (self._opened, self._loaded) == (
            (now, key[0]),
            (now, key[1]),
        )

    def _share(self, p: Case, key: Key) -> None:
        self.worker.start()  # it loads libraries while the volume is written
        matrix = volumeFromNode(p.inputVolume).ijk_to_ras.tolist()
        name = f"volume '{p.inputVolume.GetName()}'"
        values = kindOf(p.inputVolume).openValues(p.inputVolume)

        def shared(path: Path, _isNew: bool) -> None:
            if self._wanted == key:
                self._open(key, path, ijk_to_ras=matrix, name=name, **values)

        self._sharing = self._sharer.share(p.inputVolume, shared, self._abandon)

    def _open(self, key: Key, path: Path, **values: Any) -> None:  # noqa: ANN401 - as JSON holds
        if self.worker.running and self._opened == (self.worker.generation, key[0]):
            self._load(key)
            return

        def opened(_answer: dict[str, Any]) -> None:
            if self._wanted == key:
                self._opened = (self.worker.generation, key[0])
                self._load(key)

        self._opened = None  # whatever comes of it, the worker lets go of the volume it has
        self.request(
            "open",
            onDone=opened,
            onError=self._abandon,
            onCancelled=lambda: None,  # whoever cancelled has told those who wait
            volume=str(path),
            **values,
        )

    def _load(self, key: Key) -> None:
        if self.worker.running and self._loaded == (self.worker.generation, key[1]):
            self._ready()
            return
        kind, name, device, weights = key[1]

        def loaded(answer: dict[str, Any]) -> None:
            if self._wanted == key:
                self._loaded = (self.worker.generation, key[1])
                self.device = _inWords(answer)
                self._ready()

        self._loaded = None  # as above
        self.request(
            "load",
            onDone=loaded,
            onError=self._abandon,
            onCancelled=lambda: None,
            kind=kind,
            synthesizer=name,
            device=device,
            weights=weights or None,
        )

    def _ready(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._wanted = None
        for one in waiting:
            one.onReady()

    def _abandon(self, message: str) -> None:
        waiting, self._waiting = self._waiting, []
        self._wanted = None
        if self._sharing is not None:
            self._sharing.cancel()
        for one in waiting:
            one.onError(message)


def _ignore(_message: str) -> None:
    """Tell no one."""


def _inWords(answer: dict[str, Any]) -> str:
    seconds = answer.get("seconds_per_nodule")
    pace = f", about {seconds:.2g} s per nodule" if seconds else ""
    if str(answer.get("device", "")).startswith("cuda"):
        return f"{answer.get('device_name')}, CUDA{pace}"
    return f"CPU: slower than a GPU{pace}"
