"""Nodules that a study asks for at the sites of real ones, with any class and any noise.

Where ``pairs`` makes each nodule once as the site's own was, this makes it as often and as
different as a study wants.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.contracts import CtSynthesizer
from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import Malignancy, Seed
from lungsynth.data.nodule_cubes import CUBE_VOXELS, NoduleCubes
from lungsynth.evaluation.pair_cache import Arrays, cache_name, load_arrays, store_arrays
from lungsynth.evaluation.pairs import HU_LOW, HU_STEP, own_seed, quantised
from lungsynth.imaging.insertion import insert

CHUNK = 64
"""Nodules that are kept in one file: a study that was stopped loses no more than these."""


@dataclass(frozen=True)
class Asked:
    """One nodule that is asked for.

    Args:
        index: Which nodule of the split gives its site.
        seed: Place and spec.
    """

    index: int
    seed: Seed


@dataclass(frozen=True, eq=False)
class Generated:
    """Nodules that were made.

    Args:
        asked: Which of those asked for each one is, (M,).
        index: Whose site each one has, (M,).
        hu: HU, int16, (M, 48, 48, 48), axes (z, y, x), 1 mm, quantised as the real cubes are.
        mask: Masks as the engine measures them, bool, same shape.
        centre: Voxel (z, y, x) of the middle of each site, (M, 3).
        within_tolerance: Whether the engine says that the promise was kept, (M,).
        refused: Those that the engine would not insert, with the reason.
    """

    asked: NDArray[np.int64]
    index: NDArray[np.int64]
    hu: NDArray[np.int16]
    mask: NDArray[np.bool_]
    centre: NDArray[np.float64]
    within_tolerance: NDArray[np.bool_]
    refused: Sequence[dict[str, str]]

    def __len__(self) -> int:
        return len(self.asked)


def ask(
    cubes: NoduleCubes,
    split: str,
    index: int,
    latent_seed: int,
    malignancy: Malignancy | None = None,
) -> Asked:
    """Return the question for a nodule of a real one's size, attenuation and place.

    Raises:
        LungSynthError: If the nodule's attenuation is not known.
    """
    own = own_seed(cubes, split, index)
    spec = replace(own.spec, latent_seed=latent_seed, malignancy=malignancy)
    return Asked(index, replace(own, spec=spec))


def generate(
    cubes: NoduleCubes,
    asked: Sequence[Asked],
    synthesizer: CtSynthesizer,
    *,
    cache: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Generated:
    """In-paint the sites of real nodules with those that are asked for.

    Args:
        cubes: The split that the sites are of.
        asked: What is asked for, any number at one site; each is made in the untouched cube.
        synthesizer: Who makes them.
        cache: Folder in which they are kept and found again, as long as nothing changes.
        on_progress: Called with how many are done, and of how many.

    Raises:
        LungSynthError: If none could be made.
    """
    chosen = np.array([a.index for a in asked], dtype=np.int64)
    parts = []
    for first in range(0, len(asked), CHUNK):

        def tell(done: int, _: int, before: int = first) -> None:
            if on_progress is not None:
                on_progress(before + done, len(asked))

        part = _kept_or_made(cubes, asked[first : first + CHUNK], synthesizer, cache, tell)
        parts.append({**part, "asked": part["asked"] + first})
    known = {
        name: np.concatenate([part[name] for part in parts])
        for name in ("asked", "steps", "mask_bits", "within_tolerance")
    }
    refused = [one for part in parts for one in json.loads(str(part["refused"]))]
    if not len(known["asked"]):
        why = f"; the first: {refused[0]['reason']}" if refused else ""
        msg = f"{synthesizer.name} made none of the {len(asked)} nodules asked for{why}"
        raise LungSynthError(msg)
    index = chosen[known["asked"]]
    mask = np.unpackbits(known["mask_bits"], axis=1).reshape(-1, *(CUBE_VOXELS,) * 3)
    return Generated(
        asked=known["asked"],
        index=index,
        hu=np.asarray(known["steps"].astype(np.int16) * HU_STEP + HU_LOW, dtype=np.int16),
        mask=mask.astype(bool),
        centre=np.array([cubes.centre(n) for n in index.tolist()]),
        within_tolerance=known["within_tolerance"],
        refused=refused,
    )


def _kept_or_made(
    cubes: NoduleCubes,
    asked: Sequence[Asked],
    synthesizer: CtSynthesizer,
    cache: Path | None,
    on_progress: Callable[[int, int], None],
) -> Arrays:
    """Return some of the nodules, from the cache if they are there."""
    path = None
    if cache is not None:
        chosen = np.array([a.index for a in asked], dtype=np.int64)
        path = cache / cache_name(cubes, chosen, synthesizer, f"nodules {_digest(asked)}")
    known = load_arrays(path)
    if known is None:
        known = _generate(cubes, asked, synthesizer, on_progress)
        store_arrays(path, known)
    return known


def _digest(asked: Sequence[Asked]) -> str:
    """Return what changes with anything that is asked for, and with this file."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for one in asked:
        digest.update(repr((one.index, one.seed)).encode())
    return digest.hexdigest()


def _generate(
    cubes: NoduleCubes,
    asked: Sequence[Asked],
    synthesizer: CtSynthesizer,
    on_progress: Callable[[int, int], None],
) -> Arrays:
    made: list[int] = []
    steps, bits, within, refused = [], [], [], []
    for n, one in enumerate(asked):
        volume = cubes.cube_volume(one.index)
        try:
            result = insert(volume, [one.seed], synthesizer, replaced=cubes.mask[one.index])
        except LungSynthError as error:
            refused.append({"nodule": one.seed.name, "reason": str(error)})
        else:
            nodule = result.insertions[0]
            mask = np.zeros(volume.voxels.shape, dtype=bool)
            mask[nodule.slices] = nodule.mask
            hu = quantised(result.volume.voxels).astype(np.int32)
            made.append(n)
            steps.append(((hu - HU_LOW) // HU_STEP).astype(np.uint8))
            bits.append(np.packbits(mask.ravel()))
            within.append(nodule.within_tolerance)
        on_progress(n + 1, len(asked))
    cube = (CUBE_VOXELS,) * 3
    return {
        "asked": np.array(made, dtype=np.int64),
        "steps": np.array(steps, dtype=np.uint8).reshape(-1, *cube),
        "mask_bits": np.array(bits, dtype=np.uint8).reshape(-1, CUBE_VOXELS**3 // 8),
        "within_tolerance": np.array(within, dtype=bool),
        "refused": np.array(json.dumps(refused)),
    }
