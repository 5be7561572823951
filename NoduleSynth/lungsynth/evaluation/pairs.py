"""Real nodules and generated ones in their place: the same site, size and attenuation.

Both versions of a nodule are on the grid of the real cubes. The engine adds a resampled
*difference* to the voxels, so the real nodule put back through it would be itself; what is left
to make equal are rounding and clipping, which ``quantised`` does for both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.contracts import CtSynthesizer
from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import DIAMETER_RANGE_MM, NoduleSpec, Seed
from lungsynth.data.nodule_cubes import SPLITS, NoduleCubes
from lungsynth.evaluation.pair_cache import Arrays, cache_name, load_arrays, store_arrays
from lungsynth.evaluation.seam import Seam, measure_seam
from lungsynth.imaging.insertion import insert

HU_STEP, HU_LOW, HU_HIGH = 8, -1024, 1016
"""Steps and limits of the real cubes' intensities."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Nodules of a split in two versions.

    Args:
        index: Which nodules of the split, (N,).
        real: HU, int16, (N, 48, 48, 48), axes (z, y, x), 1 mm.
        generated: The same sites with generated nodules, int16, same shape.
        centre: Voxel (z, y, x) of each nodule's middle, (N, 3).
        patient: Whose they are, (N,); both versions of a nodule are the same patient's.
        asked_mm: Diameters asked, (N,).
        measured_mm: Diameters of the generated nodules as the engine reports them, (N,).
        measured_hu: Mean HU of the generated nodules as the engine reports it, (N,).
        within_tolerance: Whether the engine says that it kept the promise, (N,).
        box: What was changed, half-open, (N, 2, 3), in (z, y, x).
        seams: Gradients across the faces of the boxes, before the quantisation.
        refused: Nodules that the engine would not insert, with the reason.
    """

    index: NDArray[np.int64]
    real: NDArray[np.int16]
    generated: NDArray[np.int16]
    centre: NDArray[np.float64]
    patient: NDArray[np.str_]
    asked_mm: NDArray[np.float64]
    measured_mm: NDArray[np.float64]
    measured_hu: NDArray[np.float64]
    within_tolerance: NDArray[np.bool_]
    box: NDArray[np.int64]
    seams: Sequence[Seam]
    refused: Sequence[dict[str, str]]

    def __len__(self) -> int:
        return len(self.index)

    def where(self, chosen: NDArray[np.bool_]) -> Pairs:
        """Return the pairs that a mask (N,) chooses."""
        kept = {name: getattr(self, name)[chosen] for name in ARRAYS}
        seams = [seam for seam, keep in zip(self.seams, chosen, strict=True) if keep]
        return Pairs(**kept, seams=seams, refused=self.refused)


ARRAYS = (
    "index",
    "real",
    "generated",
    "centre",
    "patient",
    "asked_mm",
    "measured_mm",
    "measured_hu",
    "within_tolerance",
    "box",
)


def joined(several: Sequence[Pairs]) -> Pairs:
    """Return the pairs of several splits as one."""
    arrays = {name: np.concatenate([getattr(p, name) for p in several]) for name in ARRAYS}
    seams = [seam for pairs in several for seam in pairs.seams]
    return Pairs(**arrays, seams=seams, refused=[r for pairs in several for r in pairs.refused])


def quantised(hu: NDArray[np.generic]) -> NDArray[np.int16]:
    """Return HU in steps of 8 and clipped to [-1024, 1016], int16, as the real cubes are."""
    steps = np.rint((hu.astype(np.float32) - HU_LOW) / HU_STEP)
    return np.asarray(np.clip(HU_LOW + HU_STEP * steps, HU_LOW, HU_HIGH), dtype=np.int16)


def _to_steps(hu: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Return quantised HU as steps of 8 above -1024, which take half the room."""
    return ((hu.astype(np.int32) - HU_LOW) // HU_STEP).astype(np.uint8)


def _from_steps(steps: NDArray[np.uint8]) -> NDArray[np.int16]:
    return np.asarray(steps.astype(np.int16) * HU_STEP + HU_LOW, dtype=np.int16)


def draw_latent_seed(split: str, index: int, random_seed: int) -> int:
    """Return the latent seed of a nodule of a split."""
    entropy = [random_seed, SPLITS.index(split), index]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def own_seed(cubes: NoduleCubes, split: str, index: int, random_seed: int = 0) -> Seed:
    """Return a seed that asks for a nodule like a real one, in its place.

    Raises:
        LungSynthError: If the nodule's attenuation is not known.
    """
    attenuation = cubes.attenuation[index]
    if attenuation is None:
        msg = f"{split} nodule {index} has no clear attenuation"
        raise LungSynthError(msg)
    z, y, x = cubes.centre(index)
    ras_mm = cubes.cube_volume(index).ijk_to_ras_mm((x, y, z))
    spec = NoduleSpec(
        diameter_mm=float(np.clip(cubes.diameter_mm[index], *DIAMETER_RANGE_MM)),
        attenuation=attenuation,
        latent_seed=draw_latent_seed(split, index, random_seed),
    )
    place = (float(ras_mm[0]), float(ras_mm[1]), float(ras_mm[2]))
    return Seed(place, spec, name=f"{split} {index}")


def chosen_nodules(cubes: NoduleCubes, max_nodules: int | None) -> NDArray[np.int64]:
    """Return the usable nodules of a split, or so many of them evenly spread over it."""
    usable = np.flatnonzero(cubes.usable)
    if max_nodules is None or max_nodules >= len(usable):
        return usable
    return np.asarray(usable[np.linspace(0, len(usable) - 1, max_nodules).astype(int)])


def make_pairs(
    cubes: NoduleCubes,
    split: str,
    synthesizer: CtSynthesizer,
    *,
    max_nodules: int | None = None,
    random_seed: int = 0,
    cache: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Pairs:
    """In-paint the own site of each usable nodule of a split.

    Args:
        cubes: The split.
        split: Its name.
        synthesizer: Who makes the nodules.
        max_nodules: Take only so many.
        random_seed: Decides the latent seeds.
        cache: Folder in which the generated cubes are kept and found again, as long as
            synthesizer, weights, nodules and code are the same.
        on_progress: Called with how many nodules are done, and of how many.

    Raises:
        LungSynthError: If no nodule could be made.
    """
    chosen = chosen_nodules(cubes, max_nodules)
    path = None
    if cache is not None:
        path = cache / cache_name(cubes, chosen, synthesizer, f"{split} {random_seed}")
    known = load_arrays(path)
    if known is None:
        seeds = [own_seed(cubes, split, n, random_seed) for n in chosen.tolist()]
        known = _generate(cubes, chosen, seeds, synthesizer, on_progress)
        store_arrays(path, known)
    refused = json.loads(str(known["refused"]))
    index = known["index"]
    if not len(index):
        why = f"; the first: {refused[0]['reason']}" if refused else ""
        msg = f"{synthesizer.name} made none of the {len(chosen)} nodules of {split}{why}"
        raise LungSynthError(msg)
    return Pairs(
        index=index,
        real=quantised(cubes.hu[index]),
        generated=_from_steps(known["generated_steps"]),
        centre=np.array([cubes.centre(n) for n in index]),
        patient=np.array([cubes.table[n]["patient"] for n in index]),
        asked_mm=known["asked_mm"],
        measured_mm=known["measured_mm"],
        measured_hu=known["measured_hu"],
        within_tolerance=known["within_tolerance"],
        box=known["box"],
        seams=[Seam(float(b), float(a), int(n)) for b, a, n in known["seams"]],
        refused=refused,
    )


def _generate(
    cubes: NoduleCubes,
    chosen: NDArray[np.int64],
    seeds: Sequence[Seed],
    synthesizer: CtSynthesizer,
    on_progress: Callable[[int, int], None] | None,
) -> Arrays:
    rows: list[tuple[object, ...]] = []
    generated, refused = [], []
    for done, (n, seed) in enumerate(zip(chosen.tolist(), seeds, strict=True), start=1):
        volume = cubes.cube_volume(n)
        try:
            result = insert(volume, [seed], synthesizer, replaced=cubes.mask[n])
        except LungSynthError as error:
            refused.append({"nodule": seed.name, "reason": str(error)})
        else:
            made = result.insertions[0]
            seam = measure_seam(volume.voxels, result.volume.voxels, made.box)
            generated.append(quantised(result.volume.voxels))
            measured = (made.measured.diameter_mm, made.measured.mean_hu, made.within_tolerance)
            faces = (seam.before, seam.after, seam.count)
            rows.append((n, seed.spec.diameter_mm, *measured, made.box, faces))
        if on_progress is not None:
            on_progress(done, len(chosen))
    columns = list(zip(*rows, strict=True)) if rows else [()] * 7
    cube = cubes.hu.shape[1:]
    return {
        "index": np.array(columns[0], dtype=np.int64),
        "asked_mm": np.array(columns[1], dtype=np.float64),
        "measured_mm": np.array(columns[2], dtype=np.float64),
        "measured_hu": np.array(columns[3], dtype=np.float64),
        "within_tolerance": np.array(columns[4], dtype=bool),
        "box": np.array(columns[5], dtype=np.int64).reshape(-1, 2, 3),
        "seams": np.array(columns[6], dtype=np.float64).reshape(-1, 3),
        "generated_steps": _to_steps(np.array(generated, dtype=np.int16).reshape(-1, *cube)),
        "refused": np.array(json.dumps(refused)),
    }
