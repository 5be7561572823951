"""Ending with the program that started this one, even in the middle of work.

Slicer starts Python through a launcher, and whoever kills the launcher leaves Python alive. What
reaches Python all the same is the end of stdin: no one is there any more who wants the work.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable

from lungsynth.core.temporary import remove_temporary

VARIABLE = "LUNGSYNTH_END_WITH_STDIN"
"""Set by a program that holds this one's stdin open for as long as it wants the work."""
STDIN = 0


def is_wanted() -> bool:
    """Return whether this process is to end with its stdin."""
    return bool(os.environ.get(VARIABLE))


def end_with_stdin() -> None:
    """End this process at once when stdin ends; what is written there is not read by anyone."""
    _start(lambda _data: None)


class WatchedLines:
    """Lines from stdin, which is read on meanwhile: at its end the process ends at once."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._rest = b""
        _start(self._take)

    def readline(self) -> bytes:
        """Return the next line, once there is one."""
        return self._lines.get()

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._lines.put(line + b"\n")


def _start(take: Callable[[bytes], None]) -> None:
    # By its number: a thread inside sys.stdin would keep Python from ending in the usual way
    def read() -> None:
        while data := os.read(STDIN, 1 << 16):
            take(data)
        remove_temporary()
        os._exit(0)

    threading.Thread(target=read, name="stdin", daemon=True).start()
