"""The panel's end of ``lungsynth worker``: requests go out, callbacks come back, nothing waits.

The process is started when it is first needed and ends with Slicer. Whatever happens to it, each
request gets exactly one of onDone, onError and onCancelled.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import re
import shutil
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt

logger = logging.getLogger(__name__)

CANCELLED = "cancelled"
REAL_PYTHON = "python-real"
STDERR_KEPT = 20_000  # letters, of which the last line goes into a message
MOST_IN_A_LINE = 16 << 20  # bytes; the worker's own lines are far shorter

Done = Callable[[dict[str, Any]], None]
Failed = Callable[[str], None]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class _Open:
    """A request that has no answer yet."""

    do: str
    onDone: Done
    onError: Failed
    onProgress: Progress | None
    onInfo: Callable[[str], None] | None
    onCancelled: Callable[[], None] | None


class Worker:
    """One worker process, or the possibility of one.

    Args:
        command: Program and arguments; this Python with ``-m lungsynth worker`` where None.
        onExit: Called with one line if the process ends without being told to.

    Attributes:
        generation: Grows with each start. What a process knows (volume, synthesizer) is gone with
            it, so whoever told it has to tell the next.
    """

    def __init__(
        self, command: list[str] | None = None, onExit: Callable[[str], None] | None = None
    ) -> None:
        self.command = command
        self.onExit = onExit
        self.generation = 0
        self._process: Any = None  # a QProcess
        self._open: dict[int, _Open] = {}
        self._nextId = 1
        self._stdout = b""
        self._stderr = b""
        _all.add(self)

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    @property
    def busy(self) -> bool:
        """Whether a request has no answer yet."""
        return bool(self._open)

    @property
    def processId(self) -> int:
        """The system's number of the process; 0 where there is none."""
        return int(self._process.processId()) if self._process is not None else 0

    def start(self) -> None:
        """Start the process if there is none; returns at once."""
        if self._process is not None:
            return
        _killAtExit()
        self.generation += 1
        self._stdout = b""
        self._stderr = b""
        process = qt.QProcess()
        environment = qt.QProcessEnvironment.systemEnvironment()
        for name, value in workerEnvironment().items():
            environment.insert(name, value)
        process.setProcessEnvironment(environment)
        # Each slot names its process: one that was killed still has things to say
        process.readyReadStandardOutput.connect(lambda: self._readOutput(process))
        process.readyReadStandardError.connect(lambda: self._readError(process))
        process.finished.connect(lambda *_: self._finished(process))
        process.errorOccurred.connect(lambda error: self._failed(process, error))
        self._process = process
        program, *arguments = self.command or workerCommand()
        process.start(program, arguments)

    def request(
        self,
        do: str,
        *,
        onDone: Done,
        onError: Failed,
        onProgress: Progress | None = None,
        onInfo: Callable[[str], None] | None = None,
        onCancelled: Callable[[], None] | None = None,
        **values: object,
    ) -> int:
        """Send a request, starting the process if need be; answers come in the order of requests.

        Args:
            do: What is wanted; ``lungsynth.cli.worker`` says what there is.
            onDone: Called with what the answer holds.
            onError: Called with one line.
            onProgress: Called with how many are done, of how many, and the stage.
            onInfo: Called with a line that the user should see.
            onCancelled: Called where the request is cancelled; onError("cancelled") without it.
            values: The rest of the request, as JSON can hold it.

        Returns:
            The number of the request.
        """
        number = self._nextId
        self._nextId += 1
        self._open[number] = _Open(do, onDone, onError, onProgress, onInfo, onCancelled)
        self.start()
        line = json.dumps({"id": number, "do": do, **values}) + "\n"
        if self._process is not None:  # it may have failed to start meanwhile
            self._process.write(line.encode("ascii"))
        return number

    def cancel(self) -> None:
        """Kill the process and take back all requests; the next one starts it again."""
        self._drop()
        requests, self._open = list(self._open.values()), {}
        for request in requests:
            if request.onCancelled is not None:
                request.onCancelled()
            else:
                request.onError(CANCELLED)

    def shutdown(self) -> None:
        """Kill the process without a word to anyone; for the end of the module or of Slicer."""
        self._open.clear()
        self._drop()

    def _drop(self) -> None:
        """Kill the process and keep it until the system has taken it away.

        To destroy a QProcess that still runs would wait for it.
        """
        process, self._process = self._process, None
        if process is not None:
            _dying.append(process)
            process.kill()

    def _readOutput(self, process: Any) -> None:  # noqa: ANN401 - a QProcess
        if process is not self._process:
            return
        self._stdout += _bytes(process.readAllStandardOutput())
        *lines, self._stdout = self._stdout.split(b"\n")
        if len(self._stdout) > MOST_IN_A_LINE:
            self._end("the worker writes what is no answer")
            return
        for line in lines:
            if process is not self._process:  # a callback cancelled
                return
            if line.strip():
                self._answer(line)

    def _answer(self, line: bytes) -> None:
        """Hand one event to the request it belongs to."""
        try:
            event = json.loads(line)
            kind, request = event["event"], self._open.get(event["id"])
        except (ValueError, TypeError, KeyError):
            logger.warning("the worker said: %s", line[:200].decode(errors="replace"))
            return
        if request is None:
            return
        if kind in ("done", "error"):
            del self._open[event["id"]]
        rest = {key: value for key, value in event.items() if key not in ("id", "event")}
        if kind == "done":
            request.onDone(rest)
        elif kind == "error":
            request.onError(explained(str(rest.get("message", ""))))
        elif kind == "progress" and request.onProgress is not None:
            request.onProgress(rest.get("done", 0), rest.get("total", 1), rest.get("stage", ""))
        elif kind == "info" and request.onInfo is not None:
            request.onInfo(str(rest.get("message", "")))

    def _readError(self, process: Any) -> None:  # noqa: ANN401
        self._stderr = (self._stderr + _bytes(process.readAllStandardError()))[-STDERR_KEPT:]

    def _finished(self, process: Any) -> None:  # noqa: ANN401
        if process is self._process:
            self._readError(process)
            self._readOutput(process)  # it may have answered before it died
        if process is self._process:
            self._explainEnd(process)
        if process in _dying:
            _dying.remove(process)
        process.deleteLater()  # not at once: it is the one that calls

    def _explainEnd(self, process: Any) -> None:  # noqa: ANN401
        """Say how a process ended that was not told to, and its last words."""
        how = f"ended with status {process.exitCode()}"
        if process.exitStatus() == qt.QProcess.CrashExit:
            how = "was killed, perhaps because memory ran out, or crashed"
        said = _lastLine(self._stderr)
        self._end(explained(said) if _known(said) else f"the worker process {how}: {said}")

    def _failed(self, process: Any, error: Any) -> None:  # noqa: ANN401
        if process is self._process and error == qt.QProcess.FailedToStart:
            program = (self.command or workerCommand())[0]
            self._end(f"the worker process cannot be started ({program}): {process.errorString()}")
            _dying.remove(process)  # it never lived, so it won't be said to have finished
            process.deleteLater()

    def _end(self, message: str) -> None:
        """Give up on this process; tell each open request, and whoever else wants to know."""
        message = message.rstrip(": ")
        if not _known(message):
            message += "; it will be started again when it is next needed"
        self._drop()
        requests, self._open = list(self._open.values()), {}
        for request in requests:
            request.onError(message)
        if self.onExit is not None:
            self.onExit(message)


_all: weakref.WeakSet[Worker] = weakref.WeakSet()
_dying: list[Any] = []
_watched: list[bool] = []


def _killAtExit() -> None:
    """See to it, once, that no process outlives Slicer."""
    if not _watched:
        _watched.append(True)
        atexit.register(shutdownAll)
        application = qt.QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(shutdownAll)


def shutdownAll() -> None:
    """Kill every worker, and wait for their ends: only when Slicer itself ends."""
    for worker in list(_all):
        worker.shutdown()
    waitForEnded()


def waitForEnded(wait_ms: int = 2000) -> None:
    """Wait for those that were killed: only where the module or Slicer itself ends."""
    for process in list(_dying):
        process.waitForFinished(wait_ms)


def workerCommand() -> list[str]:
    """Return the program and arguments of the worker: Slicer's Python, or the one that runs.

    Inside Slicer that is ``python-real``, which runs Slicer's Python command-line modules too:
    PythonSlicer only launches it, may keep stdin to itself, and is all that a kill would end.
    """
    python = sys.executable or ""
    if Path(python).stem != REAL_PYTHON:
        # Inside Slicer they are on the PATH; elsewhere there are none
        python = shutil.which(REAL_PYTHON) or shutil.which("PythonSlicer") or python
    return [python, "-m", "lungsynth", "worker"]


def workerEnvironment() -> dict[str, str]:
    """Return what the worker's environment has beside Slicer's: the library's place, for one."""
    import lungsynth

    library = str(Path(lungsynth.__file__).resolve().parents[1])
    paths = [library, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    added = {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
        # Where there is a launcher in between, to kill it does not end the Python it started
        "LUNGSYNTH_END_WITH_STDIN": "1",
    }
    if Path(workerCommand()[0]).stem == REAL_PYTHON and "PYTHONHOME" not in os.environ:
        added["PYTHONHOME"] = sys.base_prefix  # which the launcher would set
    if "OMP_NUM_THREADS" not in os.environ:
        # One core stays for Slicer: with as many threads as cores each waits for the other
        added["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 2) - 1))
    return added


_MISSING = re.compile(r"No module named '(\w+)|needs the Python package '(\w+)")
_TORCH = "PyTorch is not installed; press 'Install packages', or use the PyTorch Utils module"


def _known(message: str) -> bool:
    return (
        message == _TORCH or "is not installed; press" in message or bool(_MISSING.search(message))
    )


def explained(message: str) -> str:
    """Return a message of the worker with what to do about it, where that is known."""
    found = _MISSING.search(message)
    if found is None:
        return message
    package = found[1] or found[2]
    if package == "torch":
        return _TORCH
    return f"the Python package '{package}' is not installed; press 'Install packages'"


def _lastLine(stderr: bytes) -> str:
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")[:500]


def _bytes(array: Any) -> bytes:  # noqa: ANN401 - PythonQt may give bytes, PySide6 a QByteArray
    data = array if isinstance(array, bytes) else array.data()
    return data.encode("utf-8") if isinstance(data, str) else bytes(data)
