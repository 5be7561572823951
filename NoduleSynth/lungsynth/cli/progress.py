"""Saying how far the work is: a bar on a terminal, or JSON lines for another program."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class ProgressMode(StrEnum):
    """Where progress goes: a bar on stderr if that is a terminal, JSON on stdout, nowhere."""

    AUTO = "auto"
    JSON = "json"
    NONE = "none"


class Reporter:
    """Tells what is being done; results go to stdout, all else to stderr.

    With ``json``, stdout holds one JSON object a line and nothing else: ``{"event":
    "progress", "stage", "done", "total"}``, ``{"event": "info", "message"}``, and at the end
    ``{"event": "done", ...}`` or ``{"event": "error", "message"}``.
    """

    def __init__(self, mode: ProgressMode = ProgressMode.AUTO) -> None:
        self.mode = mode
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._stage = ""

    def __enter__(self) -> Reporter:
        if self.mode is ProgressMode.AUTO and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
            from rich.progress import TimeElapsedColumn as Elapsed

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            # transient: nothing but the result stays on the screen
            console = Console(stderr=True)
            self._bar = Progress(*columns, Elapsed(), console=console, transient=True)
            self._bar.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def progress(self, stage: str, done: int, total: int, **values: object) -> None:
        """Say that ``done`` of ``total`` steps of a stage are over; JSON takes more values."""
        if self.mode is ProgressMode.JSON:
            counted = {"event": "progress", "stage": stage, "done": done, "total": total}
            self._line({**counted, **values})
        elif self._bar is not None:
            if self._task is None or stage != self._stage:
                if self._task is not None:
                    self._bar.remove_task(self._task)
                self._task, self._stage = self._bar.add_task(stage, total=total), stage
            self._bar.update(self._task, completed=done, total=total)

    def stage(self, name: str) -> Callable[[int, int], None]:
        """Return a callback (done, total) for the steps of a stage, and start it at 0."""
        self.progress(name, 0, 1)
        return lambda done, total: self.progress(name, done, total)

    def info(self, message: str) -> None:
        """Say something that the user should know but need not act on."""
        if self.mode is ProgressMode.JSON:
            self._line({"event": "info", "message": message})
        elif self.mode is ProgressMode.AUTO:
            print(message, file=sys.stderr)  # noqa: T201 - this is where messages are printed

    def done(self, text: str, **values: object) -> None:
        """Print the result: ``text``, or with JSON the values."""
        if self.mode is ProgressMode.JSON:
            self._line({"event": "done", **values})
        else:
            self.__exit__(None, None, None)
            print(text)  # noqa: T201 - this is where results are printed

    @staticmethod
    def _line(values: dict[str, object]) -> None:
        # Plain ASCII: stdout may not be UTF-8 (a pipe on Windows), and JSON escapes the rest
        sys.stdout.write(json.dumps(values) + "\n")
        sys.stdout.flush()


def print_error(message: str, *, as_json: bool) -> None:
    """Print one line on stderr, and the same as a JSON event if progress goes out as JSON."""
    out, err = error_lines(message, as_json=as_json)
    if out:
        sys.stdout.write(out)
        sys.stdout.flush()
    sys.stderr.write(err)


def error_lines(message: str, *, as_json: bool) -> tuple[str, str]:
    """Return what an error puts on stdout, which may be nothing, and on stderr."""
    line = " ".join(message.split())
    event = json.dumps({"event": "error", "message": line}) + "\n" if as_json else ""
    return event, f"lungsynth: {line}\n"
