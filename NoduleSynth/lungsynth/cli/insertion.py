"""What ``insert`` and ``demo`` have in common: nodules in, all the files out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lungsynth.cli.options import Device
from lungsynth.cli.outputs import Outputs
from lungsynth.cli.progress import Reporter

if TYPE_CHECKING:
    from lungsynth.core.contracts import CtSynthesizer, CxrSynthesizer
    from lungsynth.core.insertion import Insertion
    from lungsynth.core.nodule import Seed
    from lungsynth.core.volume import Volume


@dataclass(frozen=True)
class Targets:
    """The files to write; all but the volume may be left out."""

    volume: Path
    mask: Path | None = None
    report: Path | None = None
    preview: Path | None = None

    def named(self) -> dict[str, Path]:
        """Return the files that were asked for, by what each is."""
        every = {
            "volume": self.volume,
            "mask": self.mask,
            "report": self.report,
            "preview": self.preview,
        }
        return {name: path for name, path in every.items() if path is not None}


def load(
    name: str, *, device: Device, weights: Path | None, bank: Path | None, reporter: Reporter
) -> CtSynthesizer:
    """Load a synthesizer and say so if the CPU had to do.

    Raises:
        LungSynthError: If there is no such synthesizer, weights, bank or device.
    """
    from lungsynth.synthesizers import load_synthesizer

    reporter.stage(f"loading {name}")
    synthesizer = load_synthesizer(name, weights=weights, device=str(device), bank=bank)
    tell_device(synthesizer, device, reporter)
    return synthesizer


def tell_device(
    synthesizer: CtSynthesizer | CxrSynthesizer, device: Device, reporter: Reporter
) -> None:
    """Say so if the CPU had to do where a GPU would have been taken."""
    if device is Device.AUTO and synthesizer.weights_sha256 and synthesizer.device == "cpu":
        reporter.info("no usable GPU found: running on the CPU")


def insert_and_write(
    volume: Volume,
    seeds: Sequence[Seed],
    synthesizer: CtSynthesizer,
    targets: Targets,
    *,
    input_path: Path,
    reporter: Reporter,
    write_input: bool = False,
) -> list[Insertion]:
    """Insert the nodules and write every file that is asked for, or none.

    Args:
        volume: The CT; not changed.
        seeds: The nodules.
        synthesizer: What makes them.
        targets: The files.
        input_path: Where the CT came from, for the report.
        reporter: Told how far it is, and the result.
        write_input: Whether the CT itself is to be written to ``input_path`` with the rest.

    Raises:
        LungSynthError: If a seed can't be used or a file can't be written.
    """
    from lungsynth.imaging.insertion import insert
    from lungsynth.io.preview import write_preview
    from lungsynth.io.report import insertion_report, write_report
    from lungsynth.io.writing import write_mask, write_volume

    result = insert(volume, seeds, synthesizer, on_progress=reporter.stage("inserting"))
    report = insertion_report(
        insertions=result.insertions,
        synthesizer=synthesizer,
        input_path=input_path,
        output_path=targets.volume,
        seconds=result.seconds,
    )
    total = len(targets.named())
    with Outputs() as outputs:
        reporter.progress("writing", 0, total)
        if write_input:
            write_volume(volume, outputs.path(input_path))
        write_volume(result.volume, outputs.path(targets.volume))
        if targets.mask:
            reporter.progress("writing", 1, total)
            write_mask(result.insertions, volume, outputs.path(targets.mask))
        if targets.report:
            write_report(report, outputs.path(targets.report))
        if targets.preview:
            reporter.progress("writing", total - 1, total)
            write_preview(volume, result.volume, result.insertions, outputs.path(targets.preview))
        reporter.progress("writing", total, total)
    return result.insertions


def summary(insertions: Sequence[Insertion], targets: Targets) -> str:
    """Return what a person reads at the end: each nodule asked and measured, and the files."""
    lines = []
    for insertion in insertions:
        asked, measured = insertion.spec, insertion.measured
        line = (
            f"{insertion.seed}: asked {asked.diameter_mm:.1f} mm {asked.attenuation}, "
            f"measured {measured.diameter_mm:.1f} mm, mean {measured.mean_hu:.0f} HU"
        )
        if not insertion.within_tolerance:
            line += f" (not within tolerance: {insertion.note})"
        elif insertion.note:
            line += f" (note: {insertion.note})"
        lines.append(line)
    lines += [f"{name + ':':9}{path}" for name, path in targets.named().items()]
    return "\n".join(lines)
