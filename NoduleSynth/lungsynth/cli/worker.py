"""``lungsynth worker``: a process that stays, and does what a panel asks it line by line.

One JSON object a line on stdin, ``{"id": 1, "do": "insert", ...}``, and on stdout ``{"id": 1,
"event": "progress" | "info" | "done" | "error", ...}``, ASCII, nothing else. The volume is mapped
from a .npy file and the synthesizer stays loaded, so that a preview costs little more than the
network. A request that can't be met gets one error line; only "quit" and the end of stdin, which
comes when the parent dies, end the process.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from lungsynth.cli import protocol
from lungsynth.cli.changes import write_changes, write_cxr_changes
from lungsynth.cli.protocol import Request
from lungsynth.cli.stdin_watch import WatchedLines, is_wanted
from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import NodulePopulation, Seed, draw_nodule
from lungsynth.core.radiograph import Kind
from lungsynth.core.volume import Volume
from lungsynth.io.hounsfield import check_hounsfield

if TYPE_CHECKING:
    from lungsynth.cli.worker_latent import LatentDesk
    from lungsynth.cli.worker_radiograph import RadiographDesk
    from lungsynth.core.contracts import CtSynthesizer, CxrSynthesizer
    from lungsynth.imaging.lungs import CoarseLungs

logger = logging.getLogger(__name__)

_NOTHING_LOADED = "no synthesizer is loaded; send a 'load' request first"

Events = Callable[[Mapping[str, object]], None]
Result = dict[str, object]


class Worker:
    """Holds a volume and a synthesizer, and answers requests.

    Args:
        send: Takes each event: a mapping that JSON can hold.
    """

    def __init__(self, send: Events) -> None:
        self._send = send
        self._volume: Volume | None = None
        self._lungs: CoarseLungs | None = None
        self._desk: RadiographDesk | None = None  # in place of a volume
        self._latent: LatentDesk | None = None
        self._synthesizer: CtSynthesizer | None = None
        self._painter: CxrSynthesizer | None = None
        self._weights: Path | None = None
        self._id: object = None
        self._handlers: dict[str, Callable[[Request], Result]] = {
            "open": self._open,
            "load": self._load,
            "insert": self._insert,
            "preview": self._preview,
            "propose": self._propose,
            "check": self._check,
            "load-axes": self._load_axes,
            "draw": self._draw,
        }

    def answer(self, line: str | bytes) -> bool:
        """Do what a line asks and send the events of it; return False once it asks to quit."""
        self._id = None
        try:
            request = protocol.parse(line)
            self._id = request.id
            if request.do == "quit":
                self._event("done")
                return False
            if request.do not in self._handlers:
                msg = f"unknown request '{request.do}'; there are {', '.join(self._handlers)}, quit"
                raise LungSynthError(msg)
            result = self._handlers[request.do](request)
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 - one bad request never ends the worker
            self._event("error", message=_one_line(error))
        else:
            self._event("done", **result)
        return True

    def _event(self, event: str, **values: object) -> None:
        self._send({"id": self._id, "event": event, **values})

    def _open(self, request: Request) -> Result:
        path = Path(request.text("volume"))
        try:
            voxels = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            msg = f"{path}: not a readable .npy file of voxels ({error})"
            raise LungSynthError(msg) from None
        self._lungs = None
        self._volume = self._desk = None
        if request.text("kind", str(Kind.CT)) == Kind.RADIOGRAPH:
            from lungsynth.cli.worker_radiograph import RadiographDesk

            self._desk = RadiographDesk(voxels, request)
            return {"shape": list(voxels.shape), "dtype": str(voxels.dtype)}
        volume = Volume(voxels, request.matrix("ijk_to_ras"))
        check_hounsfield(voxels, request.text("name", "the volume"))
        self._volume = volume
        return {"shape": list(voxels.shape), "dtype": str(voxels.dtype)}

    def _load(self, request: Request) -> Result:
        name = request.text("synthesizer")
        device = request.text("device", "auto")
        weights = request.text("weights", "")
        self._weights = Path(weights) if weights else None
        self._synthesizer = self._painter = None  # two at once may be more than memory holds
        kind = request.text("kind", str(Kind.CT))
        try:
            seconds = self._load_and_warm_up(kind, name, device)
        except Exception as error:
            if device != "auto" or not _out_of_memory(error):
                raise
            self._event("info", message="the GPU is out of memory: running on the CPU, slower")
            seconds = self._load_and_warm_up(kind, name, "cpu")
        loaded = self._loaded_one()
        return {
            "device": loaded.device,
            "device_name": _device_name(loaded.device),
            "weights_sha256": loaded.weights_sha256,
            "seconds_per_nodule": round(seconds, 3),
        }

    def _load_and_warm_up(self, kind: str, name: str, device: str) -> float:
        """Load a synthesizer and return the seconds that its second nodule takes."""
        if kind != Kind.RADIOGRAPH:
            self._synthesizer = _load_synthesizer(name, device, self._weights)
            return _warm_up(self._synthesizer)
        from lungsynth.cli.worker_radiograph import load_for_radiographs, warm_up

        self._painter = load_for_radiographs(name, device, self._weights)
        started = 0.0
        for _ in range(2):
            started = time.perf_counter()
            warm_up(self._painter)
        return time.perf_counter() - started

    def _insert(self, request: Request) -> Result:
        return self._make(request, self._asked(request, "seeds"), rounds=None)

    def _preview(self, request: Request) -> Result:
        seeds = self._asked(request, "seed")
        return self._make(request, seeds, rounds=request.whole("rounds", 1))

    def _asked(self, request: Request, key: str) -> list[Any]:
        """Return the seeds of a request, of the kind that the open volume takes."""
        if self._desk is not None:
            values = request.listed(key) if key == "seeds" else [request.values.get(key)]
            return [protocol.parse_cxr_seed(value) for value in values]
        return request.seeds(key) if key == "seeds" else [request.seed(key)]

    def _make(self, request: Request, seeds: list[Any], rounds: int | None) -> Result:
        """Make nodules and write them; a GPU that runs out of memory is left for the CPU."""
        started = time.perf_counter()
        output = Path(request.text("output"))

        def progress(done: int, total: int) -> None:
            if rounds is None:  # a preview is over too soon
                self._event("progress", stage="inserting", done=done, total=total)

        def make() -> list[Any]:
            return self._make_all(request, seeds, rounds, progress)

        progress(0, len(seeds))
        attempts = None
        try:
            attempts = make()
        except Exception as error:
            if not (_out_of_memory(error) and self._loaded_one().device.startswith("cuda")):
                raise
        if attempts is None:  # out of the handler: the error holds on to the GPU's memory
            self._leave_gpu()
            attempts = make()
        (write_changes if self._desk is None else write_cxr_changes)(output, attempts)
        seconds = round(time.perf_counter() - started, 4)
        return {"file": str(output), "seconds": seconds, "device": self._loaded_one().device}

    def _make_all(
        self,
        request: Request,
        seeds: list[Any],
        rounds: int | None,
        progress: Callable[[int, int], None],
    ) -> list[Any]:
        if self._desk is not None:
            return list(self._desk.make(seeds, self._painted_by(), request, rounds, progress))
        from lungsynth.imaging.insertion import ROUNDS, make_all

        return make_all(
            self._opened(),
            seeds,
            self._loaded(),
            earlier=request.taken("earlier"),
            rounds=ROUNDS if rounds is None else rounds,
            on_progress=progress,
        )

    def _leave_gpu(self) -> None:
        """Load the synthesizer again on the CPU and say so."""
        self._event("info", message="the GPU is out of memory: going on with the CPU, slower")
        import torch

        name = self._loaded_one().name
        kind = Kind.CT if self._painter is None else Kind.RADIOGRAPH
        self._synthesizer = self._painter = None
        torch.cuda.empty_cache()  # for the user's other programs
        self._load_and_warm_up(kind, name, "cpu")

    def _propose(self, request: Request) -> Result:
        from lungsynth.imaging.lungs import find_lungs
        from lungsynth.imaging.proposal import propose_seeds

        if self._desk is not None:
            self._event("progress", stage="finding the lung fields", done=0, total=1)
            return {"seeds": [protocol.seed_values(seed) for seed in self._desk.propose(request)]}
        volume = self._opened()
        count = request.whole("count", None)
        rng = np.random.default_rng(request.whole("random_seed", 0))
        fixed = request.spec_values("diameter_mm", "attenuation", "malignancy")
        population = NodulePopulation()
        specs = [protocol.with_values(draw_nodule(population, rng), fixed) for _ in range(count)]
        if self._lungs is None:
            self._event("progress", stage="finding the lungs", done=0, total=1)
            self._lungs = find_lungs(volume)
        self._event("progress", stage="finding places", done=0, total=1)
        seeds = propose_seeds(
            volume,
            count,
            rng,
            lungs=self._lungs,
            site=request.text("site", "parenchyma"),  # type: ignore[arg-type] # checked there
            specs=specs,
            box_mm=self._box_mm(),
            earlier=request.taken("earlier"),
        )
        return {"seeds": [protocol.seed_values(seed) for seed in seeds]}

    def _check(self, request: Request) -> Result:
        from lungsynth.imaging.placement import check_seeds, place_note

        if self._desk is not None:
            return self._desk.check(request)
        volume = self._opened()
        earlier = request.taken("earlier")
        boxes = _Boxes(self._box_mm())
        good: list[Seed] = []
        problems: list[Result] = []
        warnings: list[Result] = []
        for index, value in enumerate(request.listed("seeds")):
            try:
                seed = protocol.parse_seed(value)
                # box_mm is all that it asks of a synthesizer
                check_seeds(volume, [*good, seed], boxes, earlier=earlier)  # type: ignore[arg-type]
                good.append(seed)
            except LungSynthError as error:
                problems.append({"index": index, "message": str(error)})
            else:
                note = place_note(volume, seed)
                warnings += [{"index": index, "message": note}] if note else []
        return {"problems": problems, "warnings": warnings}

    def _load_axes(self, request: Request) -> Result:
        from lungsynth.cli.worker_latent import LatentDesk

        self._latent = None
        self._latent = LatentDesk(request)
        return {"names": list(self._latent.names), "device": str(self._latent.generator.device)}

    def _draw(self, request: Request) -> Result:
        if self._latent is None:
            msg = "no axes are loaded; send a 'load-axes' request first"
            raise LungSynthError(msg)
        return self._latent.draw(request)

    def _opened(self) -> Volume:
        if self._volume is None:
            msg = "no volume is open; send an 'open' request first"
            raise LungSynthError(msg)
        return self._volume

    def _loaded(self) -> CtSynthesizer:
        if self._synthesizer is None:
            raise LungSynthError(_NOTHING_LOADED)
        return self._synthesizer

    def _painted_by(self) -> CxrSynthesizer:
        if self._painter is None:
            raise LungSynthError(_NOTHING_LOADED)
        return self._painter

    def _loaded_one(self) -> CtSynthesizer | CxrSynthesizer:
        return self._loaded() if self._painter is None else self._painter

    def _box_mm(self) -> Callable[[float], float]:
        """Return how large boxes are; as they mostly are, while no synthesizer is loaded."""
        from lungsynth.imaging.proposal import box_side_mm

        return box_side_mm if self._synthesizer is None else self._synthesizer.box_mm


class _Boxes:
    """As much of a synthesizer as the check of seeds needs."""

    def __init__(self, box_mm: Callable[[float], float]) -> None:
        self.box_mm = box_mm


def _load_synthesizer(name: str, device: str, weights: Path | None) -> CtSynthesizer:
    from lungsynth.synthesizers import load_synthesizer

    try:
        return load_synthesizer(name, weights=weights, device=device)
    except ModuleNotFoundError as error:
        msg = f"'{name}' needs the Python package '{error.name}', which is not installed"
        raise LungSynthError(msg) from None


def _warm_up(synthesizer: CtSynthesizer) -> float:
    """Make a nodule that no one sees, so that the first real one is quick; return its seconds.

    The second of two is timed: the first also loads libraries.
    """
    from lungsynth.core.contracts import GRID_VOXELS
    from lungsynth.core.nodule import NoduleSpec

    spec = NoduleSpec(10.0)
    cube = np.full((1, GRID_VOXELS, GRID_VOXELS, GRID_VOXELS), -850, np.float32)
    started = 0.0
    for _ in range(2):
        started = time.perf_counter()
        synthesizer.inpaint(cube, [spec], [synthesizer.box_mm(spec.diameter_mm)])
    return time.perf_counter() - started


def _device_name(device: str) -> str:
    if not device.startswith("cuda"):
        return "CPU"
    import torch

    return str(torch.cuda.get_device_name(device))


def _out_of_memory(error: BaseException) -> bool:
    """Tell torch's errors of a full GPU, of which some are plain RuntimeErrors."""
    said = str(error).lower()
    return type(error).__name__ == "OutOfMemoryError" or (
        isinstance(error, RuntimeError)
        and ("out of memory" in said or "alloc_failed" in said)
        and ("cuda" in said or "cublas" in said or "cudnn" in said)
    )


def _one_line(error: Exception) -> str:
    """Return what the user reads."""
    if isinstance(error, LungSynthError):
        message = str(error)
    elif isinstance(error, MemoryError) or _out_of_memory(error):
        message = f"out of memory ({error}); free some, or choose the CPU as device"
    else:
        logger.error("a request failed", exc_info=error)
        message = f"a defect in lungsynth, please report it: {type(error).__name__}: {error}"
    return " ".join(message.split())


def serve(lines: BinaryIO | WatchedLines, stdout: int) -> None:
    """Answer requests until the end of ``lines`` or "quit".

    Args:
        lines: Requests, one a line.
        stdout: File descriptor for the events.
    """

    def send(event: Mapping[str, object]) -> None:
        data = (json.dumps(event) + "\n").encode("ascii")
        while data:
            data = data[os.write(stdout, data) :]

    worker = Worker(send)
    while line := lines.readline():
        if line.strip() and not worker.answer(line):
            break


def worker() -> None:
    """Serve requests on stdin; for programs, such as the Slicer module."""
    stdout = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not get between the events
    try:
        serve(WatchedLines() if is_wanted() else sys.stdin.buffer, stdout)
    finally:
        os.close(stdout)
