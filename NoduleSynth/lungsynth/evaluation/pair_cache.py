"""Generated cubes kept on disk, since making them costs more than judging them."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.contracts import CtSynthesizer
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.io.atomic import atomic_path

_PACKAGE = Path(__file__).resolve().parents[1]
_MAKERS = ("core", "data", "imaging", "nn", "synthesizers")

Arrays = dict[str, NDArray[Any]]


def cache_name(
    cubes: NoduleCubes, chosen: NDArray[np.int64], synthesizer: CtSynthesizer, what: str
) -> str:
    """Return the name of the file: it changes with all that could change the cubes.

    Args:
        cubes: The real nodules.
        chosen: Which of them.
        synthesizer: Who makes the others.
        what: Split and random seed.
    """
    digest = hashlib.sha256()
    digest.update(f"{synthesizer.name} {synthesizer.weights_sha256} {what}".encode())
    digest.update(synthesizer.device.partition(":")[0].encode())
    digest.update(np.ascontiguousarray(cubes.hu[chosen]).data)
    digest.update(np.packbits(cubes.mask[chosen]).data)
    bank = getattr(synthesizer, "bank", None)
    if isinstance(bank, NoduleCubes):
        digest.update(np.ascontiguousarray(bank.hu).data)
        digest.update(np.packbits(bank.mask).data)
        digest.update(repr(bank.table).encode())
    sources = [path for folder in _MAKERS for path in sorted((_PACKAGE / folder).rglob("*.py"))]
    for source in (*sources, Path(__file__).with_name("pairs.py")):
        digest.update(source.read_bytes())
    return f"pairs-{synthesizer.name}-{what.split(maxsplit=1)[0]}-{digest.hexdigest()[:16]}.npz"


def load_arrays(path: Path | None) -> Arrays | None:
    """Return what is stored; None if nothing is, or the file is broken and must be made again."""
    if path is None or not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile):
        return None


def store_arrays(path: Path | None, arrays: Arrays) -> None:
    """Keep the cubes for the next study."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        # no allow_pickle: numpy 1 would store it as an array
        np.savez(temporary, **arrays)  # type: ignore[arg-type]
