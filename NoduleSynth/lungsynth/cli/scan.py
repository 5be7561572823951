"""``lungsynth scan``: what in a radiograph does not fit a normal one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lungsynth.cli.options import Device, DeviceOption, ProgressOption, number, whole
from lungsynth.cli.outputs import Outputs, made_folder
from lungsynth.cli.progress import ProgressMode, Reporter
from lungsynth.core.errors import LungSynthError

if TYPE_CHECKING:
    from lungsynth.detectors.scan_files import FoundFile
    from lungsynth.detectors.scanner import Scanner

_PICTURES_SHOWN = 200


def scan(
    input_path: Annotated[
        Path, typer.Option("--input", help="A chest radiograph, or a folder of them.")
    ],
    output: Annotated[
        Path, typer.Option("--output", help="Folder for tables, pictures and volumes.")
    ],
    false_positive_rate: Annotated[
        float,
        typer.Option(
            "--false-positive-rate",
            parser=number,
            metavar="P",
            help="Share of normals that may be called abnormal, such as 0.05.",
        ),
    ] = 0.05,
    volumes: Annotated[
        bool | None,
        typer.Option(
            "--volumes/--no-volumes",
            help="Write heatmap, normal image, difference and regions as .nrrd; for one file "
            "they are, for a folder not, unless you say.",
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option("--calibration", help="Calibration in place of the one that ships."),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", help="Generator (.safetensors) in place of the one that ships."),
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option("--encoder", help="Encoder (.safetensors) that belongs to the generator."),
    ] = None,
    batch_size: Annotated[
        int,
        typer.Option("--batch-size", parser=whole(1), metavar="N", help="Images at once."),
    ] = 8,
    device: DeviceOption = Device.AUTO,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Find in radiographs what the nearest normal image does not explain."""
    began = time.perf_counter()
    with Reporter(progress) as reporter, made_folder("--output", output):
        reporter.stage("loading")
        from lungsynth.detectors.bundle import load_scanner
        from lungsynth.detectors.scan_files import list_inputs, scan_files

        paths = list_inputs(input_path)
        _check_output(input_path, output)
        scanner, stored = load_scanner(
            calibration, generator=weights, encoder=encoder, device=device.value
        )
        scanner.scores.threshold(false_positive_rate)  # refused before the work is done
        _follow(scanner, reporter, alone=len(paths) == 1)
        with_volumes = len(paths) == 1 if volumes is None else volumes
        writer = _Writer(output, input_path, scanner, volumes=with_volumes)
        for done, found in enumerate(
            scan_files(
                paths, scanner, false_positive_rate=false_positive_rate, batch_size=batch_size
            ),
            start=1,
        ):
            if found.error and len(paths) == 1:
                raise LungSynthError(found.error)
            writer.add(found)
            if found.error:
                reporter.info(f"not scanned: {found.error}")
            reporter.progress("scanning", done, len(paths), **writer.entries[-1])
        failed = sum(e["status"] == "failed" for e in writer.entries)
        if failed == len(paths):
            msg = f"{input_path}: none of its {failed} images could be scanned; {found.error}"
            raise LungSynthError(msg)
        about = {
            "input": str(input_path),
            "device": device.value,
            "calibration_sha256": stored.sha256,
            "false_positive_rate": false_positive_rate,
            "seconds": round(time.perf_counter() - began, 3),
        }
        written = writer.end(about)
        reporter.done(_text(writer.entries, output), **written)


def _check_output(input_path: Path, output: Path) -> None:
    """Refuse an output among the inputs: its pictures would be scanned the next time."""
    if input_path.is_dir() and output.resolve().is_relative_to(input_path.resolve()):
        msg = f"--output {output}: lies in the input folder {input_path}; choose another"
        raise LungSynthError(msg)


def _follow(scanner: Scanner, reporter: Reporter, *, alone: bool) -> None:
    """Tell of each step of a search, where one image is all that there is."""
    detector: Any = scanner.detector
    if alone and hasattr(detector, "on_image"):
        steps = detector.config.steps
        detector.on_image = lambda done, _: reporter.progress(
            "searching", min(steps, round(done * steps)), steps
        )


class _Writer:
    """Writes what was found, file by file, and the tables at the end."""

    def __init__(self, output: Path, source: Path, scanner: Scanner, *, volumes: bool) -> None:
        self.output, self.source, self.scanner, self.volumes = output, source, scanner, volumes
        self.entries: list[dict[str, Any]] = []
        self.pictures: dict[str, bytes] = {}
        self._stems: set[str] = set()

    def add(self, found: FoundFile) -> None:
        """Write the pictures and volumes of one file."""
        from lungsynth.detectors import scan_output

        one = scan_output.entry(found, self.scanner.image_size)
        self.entries.append(one)
        if found.scan is None:
            return
        stem = self._stem(found.path)
        picture = scan_output.png(scan_output.overview(found), self.output)
        with Outputs() as outputs:
            outputs.path(self.output / f"{stem}.png").write_bytes(picture)
        one["picture"] = f"{stem}.png"
        if self.volumes:
            one["volumes"] = scan_output.write_volumes(found, self.output, stem, self.scanner)
        if len(self.pictures) < _PICTURES_SHOWN:
            self.pictures[str(found.path)] = picture

    def end(self, about: dict[str, Any]) -> dict[str, str]:
        """Write the tables and the page, all or none; return their names."""
        from lungsynth.detectors import scan_output

        values = scan_output.summary(self.entries, self.scanner, about)
        files, regions = scan_output.tables(self.entries)
        texts = {
            "json": ("scan.json", scan_output.as_json(values)),
            "csv": ("scan.csv", files),
            "regions": ("regions.csv", regions),
            "html": ("index.html", scan_output.page(values, self.pictures)),
        }
        with Outputs() as outputs:
            for name, text in texts.values():
                outputs.path(self.output / name).write_text(text, encoding="utf-8")
        return {key: str(self.output / name) for key, (name, _) in texts.items()}

    def _stem(self, path: Path) -> str:
        """Return a name for the outputs of a file, of no other file's."""
        inside = path.relative_to(self.source) if self.source.is_dir() else Path(path.name)
        base = "_".join(inside.parts)
        for suffix in (".nii.gz", inside.suffix):
            base = base.removesuffix(suffix) if suffix else base
        stem, number_ = base, 2
        while stem in self._stems:
            stem, number_ = f"{base}-{number_}", number_ + 1
        self._stems.add(stem)
        return stem


def _text(entries: list[dict[str, Any]], output: Path) -> str:
    """Return one line for each file, the most suspicious first; at most ten."""
    scanned = sorted((e for e in entries if e["status"] == "scanned"), key=lambda e: e["p_value"])
    lines = []
    for one in scanned[:10]:
        verdict = "above the threshold" if one["abnormal"] else "within normals"
        note = f"; {one['note']}" if one["note"] else ""
        lines.append(
            f"{Path(one['file']).name}: score {one['score']:.2f}, p {one['p_value']:.2g}, "
            f"{verdict}, {len(one['regions'])} regions{note}"
        )
    more = len(scanned) - len(lines)
    failed = len(entries) - len(scanned)
    lines += [f"and {more} more"] if more else []
    lines += [f"{failed} of {len(entries)} could not be scanned"] if failed else []
    return "\n".join([*lines, f"report: {output / 'index.html'}"])
