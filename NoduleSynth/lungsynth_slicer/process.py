"""A Python program in a process of its own, heard line by line, so that Slicer never waits."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import qt

from lungsynth_slicer.worker import explained, workerCommand, workerEnvironment

STDERR_KEPT = 20_000  # letters, of which the last line goes into a message

Event = Mapping[str, Any]


class PythonProcess:
    """One run of ``PythonSlicer`` with the library on its path; it starts at once.

    Exactly one of ``onDone`` and ``onError`` is called, unless it is stopped.

    Args:
        arguments: What follows the program, such as ``["-m", "lungsynth", "data", "check"]``.
        onDone: Called with the last event "done", or an empty one if the program printed none.
        onError: Called with one line: what the program said, or how it ended.
        onEvent: Called with each other line of JSON that the program prints.
        what: Names the process in messages.
    """

    def __init__(
        self,
        arguments: list[str],
        *,
        onDone: Callable[[Event], None],
        onError: Callable[[str], None],
        onEvent: Callable[[Event], None] = lambda _event: None,
        what: str = "the process",
    ) -> None:
        self._onDone, self._onError, self._onEvent = onDone, onError, onEvent
        self._what = what
        self._stdout = self._stderr = b""
        self._done: Event = {}
        self._error = ""
        self._over = False
        self._process = qt.QProcess()
        environment = qt.QProcessEnvironment.systemEnvironment()
        for name, value in workerEnvironment().items():
            environment.insert(name, value)
        self._process.setProcessEnvironment(environment)
        self._process.readyReadStandardOutput.connect(self._readOutput)
        self._process.readyReadStandardError.connect(self._readError)
        self._process.finished.connect(lambda *_: self._finished())
        self._process.errorOccurred.connect(self._failed)
        self._program = workerCommand()[0]
        self._process.start(self._program, arguments)

    @property
    def running(self) -> bool:
        """Whether it has neither ended nor been stopped."""
        return not self._over

    @property
    def processId(self) -> int:
        """The system's number of the process; 0 once it has ended."""
        return int(self._process.processId())

    def stop(self) -> None:
        """Kill the process and call nothing any more."""
        if self._over:
            return
        self._over = True
        _dying.append(self)  # a QProcess that is destroyed while it runs waits for its process
        self._process.kill()

    def _readOutput(self) -> None:
        self._stdout += _bytes(self._process.readAllStandardOutput())
        *lines, self._stdout = self._stdout.split(b"\n")
        for line in lines:
            if self._over:
                return
            self._hear(line)

    def _hear(self, line: bytes) -> None:
        try:
            event = json.loads(line)
            kind = event["event"]
        except (ValueError, TypeError, KeyError):
            return  # a library that prints
        if kind == "done":
            self._done = event
        elif kind == "error":
            self._error = str(event.get("message", ""))
        else:
            self._onEvent(event)

    def _readError(self) -> None:
        stderr = self._stderr + _bytes(self._process.readAllStandardError())
        self._stderr = stderr[-STDERR_KEPT:]

    def _finished(self) -> None:
        if self in _dying:
            _dying.remove(self)
        if self._over:  # stopped: nobody waits, and the process may be deleted already
            with contextlib.suppress(RuntimeError, ValueError):
                self._process.deleteLater()
            return
        self._readError()
        self._readOutput()
        crashed = self._process.exitStatus() == qt.QProcess.CrashExit
        status = int(self._process.exitCode())
        self._process.deleteLater()  # its connections hold this object, and this object holds it
        self._over = True
        self._tell(status, crashed=crashed)

    def _tell(self, status: int, *, crashed: bool) -> None:
        """Call what is waiting for the end."""
        if not crashed and status == 0:
            self._onDone(self._done)
            return
        if self._error:
            self._onError(explained(self._error))
            return
        how = "was killed, perhaps because memory ran out" if crashed else f"ended with {status}"
        said = explained(_lastLine(self._stderr))
        self._onError(f"{self._what} {how}" + (f": {said}" if said else ""))

    def _failed(self, error: Any) -> None:  # noqa: ANN401 - an enumerator of Qt
        if error == qt.QProcess.FailedToStart and not self._over:
            self._over = True
            reason = self._process.errorString()
            self._onError(f"{self._what} cannot be started ({self._program}): {reason}")


_dying: list[PythonProcess] = []


def waitForStopped(wait_ms: int = 2000) -> None:
    """Wait until what was stopped has gone: only where the module or Slicer itself ends."""
    for process in list(_dying):
        process._process.waitForFinished(wait_ms)


def stoppedIds() -> frozenset[int]:
    """Return the numbers of the processes that were stopped and have not gone yet."""
    return frozenset(process.processId for process in _dying)


def _lastLine(stderr: bytes) -> str:
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")[:500]


def _bytes(array: Any) -> bytes:  # noqa: ANN401 - PythonQt may give bytes, PySide6 a QByteArray
    data = array if isinstance(array, bytes) else array.data()
    return data.encode("utf-8") if isinstance(data, str) else bytes(data)
