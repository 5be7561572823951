"""Half-written files, and how none of them is left, even if the process is ended by force."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_temporary: set[Path] = set()


def remember_temporary(path: Path) -> None:
    """Note a temporary file or folder, to be removed should the process be ended by force."""
    _temporary.add(path)


def forget_temporary(path: Path) -> None:
    """Take back ``remember_temporary``."""
    _temporary.discard(path)


def remove_temporary() -> None:
    """Remove what is noted; the deepest first, whatever of it is there."""
    for path in sorted(_temporary, key=lambda path: -len(path.parts)):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
            continue
        try:
            path.unlink(missing_ok=True)
        except OSError:
            continue  # the process ends; there is nobody to tell


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield ``path`` with ".part" behind its name, which then takes the place of ``path``.

    On any failure it is removed, and an earlier file at ``path`` stays as it was.
    """
    temporary = path.with_name(path.name + ".part")
    remember_temporary(temporary)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
        forget_temporary(temporary)
