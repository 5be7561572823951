"""Whether nodules are what was asked: a grid of diameters, attenuations and places.

Diameter and mean HU are measured again here, from the output's voxels and the mask, so that the
engine's own report is put to the test and not believed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import lungsynth
from lungsynth.core.contracts import CtSynthesizer
from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import Insertion, diameter_tolerance_mm
from lungsynth.core.nodule import (
    ATTENUATION_HU_RANGE,
    Attenuation,
    NoduleSpec,
)
from lungsynth.core.volume import Volume
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.evaluation.realism import Progress, load_for_study, write_json
from lungsynth.evaluation.sites import ControlConfig, Site, ct_sites, cube_sites, plan_cts
from lungsynth.evaluation.splits import check_split, nodule_folder
from lungsynth.imaging.insertion import insert


@dataclass(frozen=True)
class Outcome:
    """One nodule that was asked for.

    Args:
        site: Where.
        asked_mm: Diameter asked.
        attenuation: Attenuation asked.
        latent_seed: Of the nodule.
        refused: Why it was not inserted; empty if it was.
        measured_mm: Diameter of the sphere with the mask's volume, measured here.
        mean_hu: Mean intensity in the mask, measured here.
        said_within: Whether the engine's report says that it is as asked.
        reported_alike: Whether the engine's numbers agree with those measured here.
    """

    site: str
    asked_mm: float
    attenuation: str
    latent_seed: int
    refused: str = ""
    measured_mm: float = 0.0
    mean_hu: float = 0.0
    said_within: bool = False
    reported_alike: bool = True

    @property
    def size_kept(self) -> bool:
        """Whether the diameter is within max(1 mm, 10 %) of that asked."""
        miss = abs(self.measured_mm - self.asked_mm)
        return not self.refused and miss <= diameter_tolerance_mm(self.asked_mm)

    @property
    def density_kept(self) -> bool:
        """Whether the mean HU is within the 5-95 % of the class's real training nodules."""
        low, high = ATTENUATION_HU_RANGE[Attenuation(self.attenuation)]
        return not self.refused and low <= self.mean_hu <= high

    @property
    def told_truly(self) -> bool:
        """Whether the engine says within tolerance exactly if it is."""
        return bool(self.refused) or self.said_within == (self.size_kept and self.density_kept)


def measure_again(volume: Volume, insertion: Insertion) -> tuple[float, float]:
    """Return diameter in mm and mean HU of a nodule from the output's voxels and the mask."""
    inside = volume.voxels[insertion.slices][insertion.mask].astype(np.float64)
    if not inside.size:
        return 0.0, 0.0
    volume_mm3 = inside.size * abs(float(np.linalg.det(volume.ijk_to_ras[:3, :3])))
    return float((6 * volume_mm3 / np.pi) ** (1 / 3)), float(inside.mean())


def try_site(site: Site, synthesizer: CtSynthesizer) -> Iterator[Outcome]:
    """Insert the seeds of a site and measure each; refused ones are told, not dropped."""
    for spec, reason in site.unplaced:
        yield replace(_asked(site, spec), refused=reason)
    for seed in site.seeds:
        try:  # one by one, so that a refusal takes no other seed with it
            done = insert(site.volume, [seed], synthesizer)
        except LungSynthError as error:
            yield replace(_asked(site, seed.spec), refused=str(error))
            continue
        made = done.insertions[0]
        measured_mm, mean_hu = measure_again(done.volume, made)
        reported = (made.measured.diameter_mm, made.measured.mean_hu)
        yield replace(
            _asked(site, seed.spec),
            measured_mm=measured_mm,
            mean_hu=mean_hu,
            said_within=made.within_tolerance,
            reported_alike=bool(np.allclose(reported, (measured_mm, mean_hu), atol=0.05)),
        )


def _asked(site: Site, spec: NoduleSpec) -> Outcome:
    return Outcome(site.name, spec.diameter_mm, str(spec.attenuation), spec.latent_seed)


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the shares that kept what was asked: of all, by attenuation and by diameter."""
    cells: dict[str, Any] = {"all": _shares(outcomes)}
    cells["by_attenuation"] = {
        str(kind): _shares([o for o in outcomes if o.attenuation == kind])
        for kind in dict.fromkeys(o.attenuation for o in outcomes)
    }
    cells["by_diameter_mm"] = {
        f"{asked:g}": _shares([o for o in outcomes if o.asked_mm == asked])
        for asked in sorted({o.asked_mm for o in outcomes})
    }
    untrue = [asdict(o) for o in outcomes if not o.told_truly]
    cells["every_miss_says_so"] = not untrue
    cells["untrue"] = untrue
    cells["reported_numbers_agree"] = all(o.reported_alike for o in outcomes)
    return cells


def _shares(outcomes: Iterable[Outcome]) -> dict[str, float | int | None]:
    """Return counts, and shares among those that were inserted."""
    every = list(outcomes)
    made = [o for o in every if not o.refused]

    def share(kept: Callable[[Outcome], bool]) -> float | None:
        return sum(map(kept, made)) / len(made) if made else None

    errors = [abs(o.measured_mm - o.asked_mm) for o in made]
    return {
        "asked": len(every),
        "inserted": len(made),
        "refused": len(every) - len(made),
        "size_kept": share(lambda o: o.size_kept),
        "density_kept": share(lambda o: o.density_kept),
        "both_kept": share(lambda o: o.size_kept and o.density_kept),
        "said_within": share(lambda o: o.said_within),
        "median_size_error_mm": float(np.median(errors)) if errors else None,
        "largest_size_error_mm": max(errors, default=None),
    }


class Study:
    """What one synthesizer made so far, CT after CT.

    Args:
        synthesizer: Who is measured.
        count: Sites in all.
        on_progress: Told what is being done.
    """

    def __init__(
        self, synthesizer: CtSynthesizer, count: int, on_progress: Progress | None = None
    ) -> None:
        self.synthesizer, self.count, self.on_progress = synthesizer, count, on_progress
        self.outcomes: list[Outcome] = []
        self.done, self.seconds = 0, 0.0

    def add(self, sites: Iterable[Site]) -> None:
        """Insert at more sites."""
        started = time.perf_counter()
        for site in sites:
            self.outcomes += try_site(site, self.synthesizer)
            self.done += 1
            if self.on_progress is not None:
                self.on_progress(f"control of {self.synthesizer.name}", self.done, self.count)
        self.seconds += time.perf_counter() - started

    def values(self) -> dict[str, Any]:
        """Return what JSON has: weights, shares, and each nodule under "outcomes"."""
        return {
            "weights_sha256": self.synthesizer.weights_sha256,
            **summary(self.outcomes),
            "seconds": self.seconds,
            "outcomes": [
                {**asdict(o), "size_kept": o.size_kept, "density_kept": o.density_kept}
                for o in self.outcomes
            ],
        }


def _insert_all(sites: Sequence[Site], studies: Sequence[Study]) -> None:
    for study in studies:
        study.add(sites)


def run_control(
    data: Path | None,
    split: str,
    synthesizers: Sequence[str],
    weights: Path | None = None,
    json_path: Path | None = None,
    *,
    report_path: Path | None = None,
    ct: Sequence[Path] = (),
    bank: Path | None = None,
    max_nodules: int | None = None,
    on_progress: Progress | None = None,
    config: ControlConfig | None = None,
) -> dict[str, Any]:
    """Run the study from files to files; what the command line calls.

    Args:
        data: Folder with the nodule cubes, or whose ``ct_nodules`` is it; None for CTs alone.
        split: Whose cubes are the sites.
        synthesizers: Names; copy-paste takes ``bank``, or the cubes' folder.
        weights: Weights for mcgan in place of those that ship.
        json_path: Where the numbers go.
        report_path: Where the picture goes, .png.
        ct: Whole CTs, with automatic seeds.
        bank: Folder of real nodules for copy-paste.
        max_nodules: Try only so many of the sites in cubes, evenly spread over the grid.
        on_progress: Told what is being done.
        config: What is asked; the defaults where None.

    Returns:
        The numbers.

    Raises:
        LungSynthError: If there is nothing to insert into, or an input or output is no good.
    """
    from lungsynth.evaluation.control_report import check_report, write_report

    config = config or ControlConfig()
    if report_path is not None:
        check_report(report_path)
    if data is None and not ct:
        msg = "control needs places to insert into: nodule cubes (--data), CTs (--ct) or both"
        raise LungSynthError(msg)
    check_split(split)
    folder = nodule_folder(data) if data is not None else None
    loaded = []
    for name in synthesizers:
        nodules = bank or folder
        if name == "copy-paste" and nodules is None:
            msg = "copy-paste needs a bank of real nodules: --bank FOLDER"
            raise LungSynthError(msg)
        loaded.append(load_for_study(name, weights, config.device, nodules or Path()))
    sites: list[Site] = []
    if folder is not None:
        sites += cube_sites(NoduleCubes.load(folder, split), split, config)
        if max_nodules is not None and max_nodules < len(sites):
            sites = [sites[n] for n in np.linspace(0, len(sites) - 1, max_nodules).astype(int)]
    plans = plan_cts(ct, config)
    count = len(sites) + sum(map(len, plans.values()))
    studies = [Study(synthesizer, count, on_progress) for synthesizer in loaded]
    _insert_all(sites, studies)
    for path, planned in plans.items():
        _insert_all(ct_sites(path, planned), studies)  # no name, so that the CT goes with it
    values: dict[str, Any] = {
        "version": lungsynth.__version__,
        "study": "control",
        "split": split,
        "random_seed": config.random_seed,
        "hu_range": {str(kind): list(limits) for kind, limits in ATTENUATION_HU_RANGE.items()},
        "synthesizers": {s.synthesizer.name: s.values() for s in studies},
    }
    write_json(values, json_path)
    if report_path is not None:
        write_report(values, report_path)
    return values
