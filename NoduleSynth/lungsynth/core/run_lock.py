"""One training at a time in a folder: a file there names the process that trains into it."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lungsynth.core.errors import LungSynthError
from lungsynth.core.temporary import forget_temporary, remember_temporary

LOCK = "train.lock"
UNWRITTEN_S = 10.0
"""How old a lock without words is before it counts as left: a new one is written at once."""
TRIES = 5
_held: set[Path] = set()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from training into a folder, which is made if there is none.

    A lock whose process is gone is taken over. The lock goes at the end, also after an error;
    a process that is killed leaves it behind.

    Raises:
        LungSynthError: If another process trains there, or the folder cannot be written.
    """
    was_there = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{folder}: cannot be made a folder for the run ({error.strerror})"
        raise LungSynthError(msg) from None
    lock = folder.resolve() / LOCK
    _take(folder, lock)
    _held.add(lock)
    remember_temporary(lock)  # a signal that ends the process takes it away
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink(missing_ok=True)
        forget_temporary(lock)
        _held.discard(lock)
        if not was_there:
            with suppress(OSError):
                folder.rmdir()  # the data could not be used, say: only an empty one goes


def is_first_process() -> bool:
    """Return whether this is not one of the processes that the first of a run has started."""
    names = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in names)


def who_trains(folder: Path, *, but: frozenset[int] = frozenset()) -> str:
    """Return who trains into a folder and what to do, as one line; empty if nobody does.

    Args:
        folder: Of the run; it need not exist.
        but: Numbers of processes that do not count: they were killed and are about to go.
    """
    lock = folder.resolve() / LOCK
    words = _read(lock)
    if words is None or _is_left(lock, words):
        return ""
    process, host = _parsed(words)
    if process in but:
        return ""
    where = f" on {host}" if host and host != socket.gethostname() else ""
    return (
        f"{folder}: a training runs there already (process {process or 'unknown'}{where}); wait "
        f"for it or stop it, name another folder, or, if there is none, remove {LOCK} there"
    )


def _take(folder: Path, lock: Path) -> None:
    """Make the lock, in place of one that was left."""
    try:
        for _ in range(TRIES):
            if _make(lock):
                return
            if busy := who_trains(folder):
                raise LungSynthError(busy)
            _remove_left(lock)
    except OSError as error:
        msg = f"{folder}: cannot be written ({error.strerror or error}); name another folder"
        raise LungSynthError(msg) from None
    msg = f"{folder}: another training starts there at this moment; name another folder"
    raise LungSynthError(msg)


def _make(lock: Path) -> bool:
    """Make the lock; return whether it was not there."""
    try:
        number = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(number, "w", encoding="utf-8") as file:
        file.write(json.dumps({"process": os.getpid(), "host": socket.gethostname()}) + "\n")
    return True


def _remove_left(lock: Path) -> None:
    """Remove a lock that was left, but not one that has taken its place meanwhile."""
    aside = lock.with_name(f"{LOCK}.{os.getpid()}")
    try:
        lock.rename(aside)  # of two that do so, one gets the file
    except FileNotFoundError:
        return
    words = _read(aside)
    if words is not None and not _is_left(aside, words) and not lock.exists():
        aside.rename(lock)
        return
    aside.unlink(missing_ok=True)


def _read(lock: Path) -> str | None:
    try:
        return lock.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _parsed(words: str) -> tuple[int, str]:
    """Return process and host of a lock; 0 and nothing if it does not tell."""
    try:
        known = json.loads(words)
        return int(known["process"]), str(known["host"])
    except (ValueError, TypeError, KeyError):
        return 0, ""


def _is_left(lock: Path, words: str) -> bool:
    """Return whether nobody holds this lock any more."""
    process, host = _parsed(words)
    if not process:
        with suppress(OSError):
            return time.time() - lock.stat().st_mtime > UNWRITTEN_S
        return True
    if host != socket.gethostname():
        return False  # another machine's processes cannot be seen
    if process == os.getpid():  # in a container each start may get the same number
        return lock not in _held
    return not is_alive(process)


def is_alive(process: int) -> bool:
    """Return whether a process of this machine runs."""
    if sys.platform == "win32":  # where os.kill ends a process, whatever the signal
        return _is_alive_on_windows(process)
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def _is_alive_on_windows(process: int) -> bool:
    import ctypes

    access_denied, still_running, synchronize = 5, 0x102, 0x100000
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
    kernel.OpenProcess.restype = ctypes.c_void_p
    kernel.OpenProcess.argtypes = [ctypes.c_uint32, ctypes.c_int, ctypes.c_uint32]
    kernel.WaitForSingleObject.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    kernel.CloseHandle.argtypes = [ctypes.c_void_p]
    handle = kernel.OpenProcess(synchronize, False, process)
    if not handle:  # there is none, or it is another user's
        return bool(ctypes.get_last_error() == access_denied)  # type: ignore[attr-defined,unused-ignore]
    try:
        return bool(kernel.WaitForSingleObject(handle, 0) == still_running)
    finally:
        kernel.CloseHandle(handle)
