"""Ending within two seconds on Ctrl-C or SIGTERM, with nothing half-written.

Python runs a signal's handler only between two of its own instructions, so that one long call
into C (reading a compressed volume, say) can hold it back. The handler raises ``Interrupted``,
which unwinds as any error does; beside it a thread, woken by the signal itself, removes the
temporary folders and ends the process if that takes too long.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

GRACE_S = 1.2
"""How long unwinding may take before the process is ended from outside."""

_temporary: set[Path] = set()


class Interrupted(BaseException):
    """Raised in the main thread by SIGINT or SIGTERM; no ``except Exception`` catches it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.signal_number = signal_number

    @property
    def exit_status(self) -> int:
        """What shells expect: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signal_number


def remove_on_interrupt(folder: Path) -> None:
    """Remember a temporary folder, to be removed should the process be ended from outside."""
    _temporary.add(folder)


def forget(folder: Path) -> None:
    """Take back ``remove_on_interrupt``."""
    _temporary.discard(folder)


def _raise(signal_number: int, _frame: FrameType | None) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not break the clearing up
    raise Interrupted(signal_number)


def _watch(receiver: socket.socket, finished: threading.Event) -> None:
    with receiver:
        signals = receiver.recv(16)  # one byte for each signal; b"" once the other end is closed
    ending = [number for number in signals if number in (signal.SIGINT, signal.SIGTERM)]
    if not ending or finished.wait(GRACE_S):
        return
    for folder in list(_temporary):
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(128 + ending[0])


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into ``Interrupted`` inside the block.

    Outside the main thread, where Python allows no handlers, the block just runs.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    finished = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, _raise)
    wakeup_before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(receiver, finished), daemon=True).start()
    try:
        yield
    finally:
        finished.set()
        signal.set_wakeup_fd(wakeup_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        sender.close()
