"""Lays the extension's files as the Extension Manager would, without a Slicer to build against."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = Path("lib/Slicer-5.12/qt-scripted-modules")
# The extension has nothing to compile, but project() looks for compilers: none is needed here.
_NO_COMPILERS = [
    f"-DCMAKE_{language}_COMPILER{word}"
    for language in ("C", "CXX")
    for word in (f":FILEPATH={sys.executable}", "_ID_RUN=1", "_FORCED=1", "_WORKS=1")
]


def install_tree(destination: Path, source: Path = PROJECT) -> Path:
    """Configure and install the extension.

    Args:
        destination: Folder that gets ``build/`` and ``installed/``.
        source: The project to install.

    Returns:
        The installed ``qt-scripted-modules`` folder.

    Raises:
        RuntimeError: If CMake is missing or fails; holds what it said.
    """
    build, prefix = destination / "build", destination / "installed"
    shutil.rmtree(prefix, ignore_errors=True)  # nothing of an earlier time may help
    cmake = _cmake()
    configure = [
        cmake,
        "-S",
        str(source),
        "-B",
        str(build),
        f"-DSlicer_DIR={Path(__file__).parent}",
    ]
    _call([*configure, "-DBUILD_TESTING=ON", *_NO_COMPILERS])
    _call([cmake, "--install", str(build), "--prefix", str(prefix)])
    return prefix / FOLDER


def _cmake() -> str:
    """Return pip's CMake, which the test extra brings, or else the system's."""
    beside = shutil.which("cmake", path=sysconfig.get_path("scripts"))
    found = beside or shutil.which("cmake")
    if found is None:
        msg = "no cmake; pip install -e '.[test]' brings one"
        raise RuntimeError(msg)
    return found


def _call(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"{' '.join(command)}\n{done.stdout}{done.stderr}"
        raise RuntimeError(msg)


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "build")
    sys.stdout.write(f"{install_tree(target.resolve())}\n")
