"""A folder for files between Slicer and its worker; those of crashed sessions are removed."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from pathlib import Path
from typing import IO

logger = logging.getLogger(__name__)

PREFIX = "NoduleSynth-session-"
ALIVE = "alive.lock"
SETTLED_S = 60.0
"""How old a folder is before it may be taken for a forgotten one: a new one is not locked yet."""


class SessionFolder:
    """A temporary folder that says, by a locked file, that its session lives.

    The system lets go of the lock however the process ends, so that the folder of a crashed
    session, with a patient's voxels in it, is known and removed by the next.

    Raises:
        OSError: If it can't be made.
    """

    def __init__(self) -> None:
        # Windows keeps what a dying worker has mapped; the module is let go all the same
        self._folder = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
        self.path = Path(self._folder.name)
        self._lock = (self.path / ALIVE).open("wb")
        _lock(self._lock)
        removeStale(self.path.parent)

    def cleanup(self) -> None:
        """Remove the folder."""
        self._lock.close()
        self._folder.cleanup()


def removeStale(parent: Path) -> list[Path]:
    """Remove the folders of sessions that ended without doing so, and return them.

    One whose session lives, that is another user's, or that is only a minute old, stays.
    """
    removed = []
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            stale = not folder.is_symlink() and _isStale(folder)
        except OSError:  # gone meanwhile, or not ours to look into
            continue
        if stale:
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
            logger.info("removed %s, which a session that crashed had left", folder)
    return removed


def _isStale(folder: Path) -> bool:
    alive = folder / ALIVE
    if time.time() - folder.stat().st_mtime < SETTLED_S:
        return False
    with alive.open("r+b") as file:
        if not _lock(file):
            return False
    alive.unlink()  # Windows refuses while another process has it open
    return True


def _lock(file: IO[bytes]) -> bool:
    """Lock a file until it is closed; return whether that was possible."""
    try:
        import fcntl
    except ImportError:  # Windows, where an open file can't be removed
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
