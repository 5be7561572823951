"""All the outputs of a command, or none of them.

Every file is first written into a hidden folder beside its target, under its own name (so that
writers see the right suffix, and files that refer to each other, as .mhd and .raw do, agree).
Only when all are there are they moved to their places.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from lungsynth.core.errors import LungSynthError
from lungsynth.core.temporary import forget_temporary, remember_temporary
from lungsynth.io.atomic import check_output as refuse_overwriting


def check_output(option: str, path: Path, suffixes: Sequence[str], input_path: Path | None) -> None:
    """Refuse an output that can't be written, before the work is done.

    Args:
        option: How messages call it, such as ``--output``.
        path: The file to write.
        suffixes: Allowed endings of its name, lower case.
        input_path: What is read; it may not be overwritten, nor may files of its folder.

    Raises:
        LungSynthError: If the suffix is not allowed, the folder is missing or not writable, the
            path is a folder or a device, or it is the input.
    """
    if not path.name.lower().endswith(tuple(suffixes)):
        msg = f"{option} {path}: the name must end in {', '.join(suffixes)}"
        raise LungSynthError(msg)
    if path.exists() and not path.is_file() and not path.is_dir():
        msg = f"{option} {path}: is a device or pipe; give the name of a file"
        raise LungSynthError(msg)
    refuse_overwriting(path, input_path)
    check_writable(f"{option} {path}", path.absolute().parent)


def check_writable(option: str, folder: Path) -> None:
    """Refuse a folder in which no file can be made; asking the system alone may be wrong.

    Raises:
        LungSynthError: If a file can't be made there.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        msg = f"{option}: can't write in {folder}: {error.strerror}"
        raise LungSynthError(msg) from None


@contextmanager
def made_folder(option: str, folder: Path) -> Iterator[None]:
    """Make a folder for outputs, and take it away again if the block fails and it is empty.

    Raises:
        LungSynthError: If it can't be made, or nothing can be written there.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"{option} {folder}: can't make this folder: {error.strerror}"
            raise LungSynthError(msg) from None
        check_writable(option, folder)
        yield
    except BaseException:
        with suppress(OSError):  # the user's own files may lie there by now
            for path in missing:
                path.rmdir()
        raise


def check_distinct(outputs: dict[str, Path]) -> None:
    """Refuse two options that name one file.

    Raises:
        LungSynthError: If two of the paths are the same.
    """
    seen: dict[str, str] = {}
    for option, path in outputs.items():
        key = os.path.normcase(path.resolve())
        if key in seen:
            msg = f"{option} {path}: is the same file as {seen[key]}; give each its own name"
            raise LungSynthError(msg)
        seen[key] = option


class Outputs:
    """Files that appear together, when the ``with`` block ends well, or not at all."""

    def __init__(self) -> None:
        self._folders: dict[Path, Path] = {}
        self._targets: list[tuple[Path, Path]] = []

    def __enter__(self) -> Outputs:
        return self

    def path(self, target: Path) -> Path:
        """Return where to write what is to become ``target``."""
        parent = target.absolute().parent
        if parent not in self._folders:
            try:
                folder = Path(tempfile.mkdtemp(prefix=".lungsynth-", dir=parent))
            except OSError as error:
                raise _mendable(target, error) from None
            remember_temporary(folder)
            self._folders[parent] = folder
        written = self._folders[parent] / target.name
        self._targets.append((written, target))
        return written

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._move()
        except OSError as moving:
            raise _mendable(self._blamed(moving), moving) from None
        finally:
            for folder in self._folders.values():
                shutil.rmtree(folder, ignore_errors=True)
                forget_temporary(folder)
        if isinstance(error, OSError):
            raise _mendable(self._blamed(error), error) from None

    def _blamed(self, error: OSError) -> Path:
        """Return the output that an error is about, under the name that the user gave it."""
        named = Path(os.fsdecode(error.filename)) if error.filename else None
        for written, target in reversed(self._targets):
            if named is None or named.name == written.name or not named.exists():
                return target
        return named or Path()

    def _move(self) -> None:
        """Move everything to its place; on an error put back what was there."""
        moved: list[tuple[Path, Path, Path]] = []
        try:
            for parent, folder in self._folders.items():
                for index, written in enumerate(sorted(folder.iterdir())):
                    target, backup = parent / written.name, folder / f".replaced-{index}"
                    # noted before anything moves: a signal may come between any two lines
                    moved.append((written, target, backup))
                    if target.exists():
                        target.rename(backup)
                    written.rename(target)
        except BaseException:
            for written, target, backup in reversed(moved):
                if not written.exists():
                    target.unlink(missing_ok=True)
                if backup.exists():
                    backup.rename(target)
            raise


def _mendable(path: Path, error: OSError) -> LungSynthError:
    reason = error.strerror or str(error)
    if error.errno == errno.ENOSPC:
        reason = "the disk is full"
    return LungSynthError(f"can't write {path}: {reason}")
