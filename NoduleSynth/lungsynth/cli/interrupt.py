"""Ending within two seconds on Ctrl-C or SIGTERM, with nothing half-written.

Python runs a signal's handler only between two of its own instructions, so that one long call
into C (reading a compressed volume, say) can hold it back. The handler raises ``Interrupted``,
which unwinds as any error does; beside it a thread, woken by the signal itself, removes the
temporary files and folders, says so and ends the process if that takes too long.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType

from lungsynth.cli.progress import error_lines
from lungsynth.core.temporary import remove_temporary

GRACE_S = 1.2
"""How long unwinding may take before the process is ended from outside."""

_SHOW_CURSOR = "\r\x1b[2K\x1b[?25h"  # the bar hides it, and its line is half drawn


class Interrupted(BaseException):
    """Raised in the main thread by SIGINT or SIGTERM; no ``except Exception`` catches it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.signal_number = signal_number

    @property
    def exit_status(self) -> int:
        """What shells expect: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signal_number

    @property
    def message(self) -> str:
        """The one line about it."""
        return f"ended by {self}; no output was left half-written"


def _raise(signal_number: int, _frame: FrameType | None) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not break the clearing up
    raise Interrupted(signal_number)


def _watch(
    receiver: socket.socket, finished: threading.Event, stderr: int, *, as_json: bool
) -> None:
    with receiver:
        signals = receiver.recv(16)  # one byte for each signal; b"" once the other end is closed
    ending = [number for number in signals if number in (signal.SIGINT, signal.SIGTERM)]
    if not ending or finished.wait(GRACE_S):
        return
    remove_temporary()
    ended = Interrupted(ending[0])
    out, err = error_lines(ended.message, as_json=as_json)
    with suppress(OSError):  # nobody may be reading; Python's own streams may be locked
        os.write(1, out.encode())
    with suppress(OSError):
        os.write(stderr, ((_SHOW_CURSOR if os.isatty(stderr) else "") + err).encode())
    os._exit(ended.exit_status)


@contextmanager
def interruptible(*, as_json: bool = False) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into ``Interrupted`` inside the block.

    Outside the main thread, where Python allows no handlers, the block just runs.

    Args:
        as_json: Whether the line of a process that is ended by force is also a JSON event.
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
    stderr = _copy_of_stderr()
    watch = partial(_watch, receiver, finished, stderr, as_json=as_json)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        finished.set()
        signal.set_wakeup_fd(wakeup_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        sender.close()
        if stderr > 2:
            os.close(stderr)


def _copy_of_stderr() -> int:
    """Return a descriptor that stays the user's while readers in C have theirs put aside."""
    try:
        return os.dup(2)
    except OSError:  # there is none
        return 2
