"""What ``insert`` does with a chest radiograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lungsynth.cli.insertion import Targets, tell_device
from lungsynth.cli.options import Device
from lungsynth.cli.outputs import Outputs
from lungsynth.cli.progress import Reporter
from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import CxrNoduleSpec, CxrSeed, Radiograph
from lungsynth.core.shipped import shipped_file
from lungsynth.synthesizers import CXR_SYNTHESIZERS

if TYPE_CHECKING:
    from lungsynth.core.contracts import CxrSynthesizer
    from lungsynth.core.radiograph_insertion import CxrInsertion
    from lungsynth.imaging.lung_fields import LungFields

DEFAULT_DIAMETER_MM = 15.0
PREFERRED = ("shape-texture", "ct-projection", "procedural")
"""Which synthesizer is taken where none is named: the first that is ready."""
NEED_WEIGHTS = frozenset({"shape-texture"})
UNDRAWN = 2**63 - 1  # stands for a latent seed that the user did not give
SPACING_RANGE_MM = (0.02, 3.0)


@dataclass(frozen=True)
class RadiographJob:
    """What the user asked for; see the options of ``insert``."""

    input_path: Path
    targets: Targets
    places: Sequence[tuple[float, float, float]] = ()
    seeds_path: Path | None = None
    auto: int = 0
    diameter_mm: float | None = None
    diameter_px: float | None = None
    contrast: float | None = None
    pixel_spacing_mm: float | None = None
    lung_fields: Path | None = None
    behind_heart: bool = False
    synthesizer: str | None = None
    random_seed: int = 0

    def __post_init__(self) -> None:
        if self.diameter_mm is not None and self.diameter_px is not None:
            msg = "give the diameter in mm or in pixels, not both: --diameter-mm or --diameter-px"
            raise LungSynthError(msg)
        if self.behind_heart and not self.auto:
            msg = "--behind-heart says where --auto looks; it does nothing without --auto"
            raise LungSynthError(msg)
        low, high = SPACING_RANGE_MM
        if self.pixel_spacing_mm is not None and not low <= self.pixel_spacing_mm <= high:
            allowed = f"must be from {low:g} to {high:g}"
            msg = f"--pixel-spacing-mm {allowed}; got {self.pixel_spacing_mm:g}"
            raise LungSynthError(msg)
        # what may not be asked is told before anything is read
        if self.diameter_mm is not None or self.diameter_px is not None:
            CxrNoduleSpec(self.diameter_mm, self.diameter_px, self.contrast)
        else:
            CxrNoduleSpec(DEFAULT_DIAMETER_MM, None, self.contrast)


def insert_radiograph(
    job: RadiographJob,
    reporter: Reporter,
    *,
    device: Device,
    weights: Path | None,
    bank: Path | None,
) -> list[CxrInsertion]:
    """Insert nodules into a radiograph and write every file that is asked for, or none.

    Raises:
        LungSynthError: If the radiograph, a seed or an option cannot be used, or a file cannot
            be written.
    """
    from lungsynth.io.radiograph_reading import lateral_view, read_radiograph

    reporter.stage("reading")
    image = with_spacing(read_radiograph(job.input_path), job.pixel_spacing_mm, reporter)
    if said := lateral_view(image):
        reporter.info(f"this looks like a lateral view ({said}); only frontal ones are supported")
    default = default_spec(job, image, reporter)
    model = load_cxr(
        job.synthesizer or default_synthesizer(), device, weights, bank, reporter=reporter
    )
    reporter.stage("finding the lung fields")
    fields = _fields(job, image, reporter)
    seeds = _seeds(job, image, default, fields)
    return insert_and_write_radiograph(
        image,
        seeds,
        model,
        job.targets,
        input_path=job.input_path,
        fields=fields,
        reporter=reporter,
    )


def with_spacing(
    image: Radiograph, pixel_spacing_mm: float | None, reporter: Reporter
) -> Radiograph:
    """Return the radiograph with the spacing that the user gave, if one is given."""
    if pixel_spacing_mm is None:
        return image
    if image.pixel_spacing_mm is not None:
        row_mm, column_mm = image.pixel_spacing_mm
        reporter.info(
            f"--pixel-spacing-mm {pixel_spacing_mm:g} is used in place of the {row_mm:g} x "
            f"{column_mm:g} mm in the file"
        )
    return replace(image, pixel_spacing_mm=(pixel_spacing_mm, pixel_spacing_mm))


def default_spec(job: RadiographJob, image: Radiograph, reporter: Reporter) -> CxrNoduleSpec:
    """Return the nodule where neither file nor chance says more."""
    from lungsynth.imaging.radiograph_proposal import pixels_of

    diameter_px = job.diameter_px
    diameter_mm = job.diameter_mm
    if diameter_px is None and diameter_mm is None:
        if image.pixel_spacing_mm is not None:
            diameter_mm = DEFAULT_DIAMETER_MM
        else:
            diameter_px = round(pixels_of(DEFAULT_DIAMETER_MM, image), 1)
            reporter.info(
                "the pixel spacing of this radiograph is not known: diameters are in pixels "
                "(--pixel-spacing-mm gives it)"
            )
    spec = CxrNoduleSpec(diameter_mm, diameter_px, job.contrast, UNDRAWN)
    spec.diameter_in_pixels(image)  # in mm without a spacing: refused before the work
    return spec


def default_synthesizer() -> str:
    """Return the best synthesizer for radiographs that is ready."""
    ready = [
        name
        for name in PREFERRED
        if name in CXR_SYNTHESIZERS
        and (name not in NEED_WEIGHTS or shipped_file(f"{name}.safetensors") is not None)
    ]
    return ready[0]


def load_cxr(
    name: str, device: Device, weights: Path | None, bank: Path | None, *, reporter: Reporter
) -> CxrSynthesizer:
    """Load a synthesizer for radiographs and say so if the CPU had to do.

    Raises:
        LungSynthError: If there is no such synthesizer, weights, bank or device.
    """
    from lungsynth.synthesizers import load_cxr_synthesizer

    reporter.stage(f"loading {name}")
    synthesizer = load_cxr_synthesizer(name, weights=weights, device=str(device), bank=bank)
    tell_device(synthesizer, device, reporter)
    return synthesizer


def _fields(job: RadiographJob, image: Radiograph, reporter: Reporter) -> LungFields | None:
    """Return the lung fields; None where they cannot be found and are not needed."""
    from lungsynth.imaging.lung_fields import LungFields, find_lung_fields
    from lungsynth.io.lung_fields import read_lung_fields

    if job.lung_fields is not None and job.lung_fields.suffix == ".safetensors":
        return find_lung_fields(image, job.lung_fields)
    if job.lung_fields is not None:
        return LungFields(read_lung_fields(job.lung_fields, image))
    try:
        return find_lung_fields(image)
    except LungSynthError as error:
        if job.auto:
            msg = f"{job.input_path}: {error}"
            raise LungSynthError(msg) from None
        reporter.info(f"{error}; whether the seeds lie in them is not checked")
        return None


def _seeds(
    job: RadiographJob, image: Radiograph, default: CxrNoduleSpec, fields: LungFields | None
) -> list[CxrSeed]:
    """Return the seeds that were given or proposed, each with a latent seed of its own."""
    import numpy as np

    from lungsynth.cli.insert import draw_latent_seed
    from lungsynth.imaging.radiograph_proposal import (
        CxrPopulation,
        draw_cxr_nodule,
        propose_cxr_seeds,
    )
    from lungsynth.io.seeds import read_cxr_seeds

    if job.auto and fields is not None:
        rng = np.random.default_rng([job.random_seed])
        specs = [
            draw_cxr_nodule(CxrPopulation(), image, rng, job.contrast) for _ in range(job.auto)
        ]
        if job.diameter_mm is not None or job.diameter_px is not None:
            specs = [
                replace(spec, diameter_mm=job.diameter_mm, diameter_px=job.diameter_px)
                for spec in specs
            ]
        mask = fields.mask(image.pixels.shape, behind=job.behind_heart)
        return propose_cxr_seeds(image, mask, specs, rng)
    if job.seeds_path is not None:
        seeds = read_cxr_seeds(job.seeds_path, default)
    else:
        seeds = [CxrSeed(at, default, name=str(n)) for n, at in enumerate(job.places, start=1)]
    return [
        replace(seed, spec=replace(seed.spec, latent_seed=draw_latent_seed(job.random_seed, index)))
        if seed.spec.latent_seed == UNDRAWN
        else seed
        for index, seed in enumerate(seeds)
    ]


def insert_and_write_radiograph(
    image: Radiograph,
    seeds: Sequence[CxrSeed],
    synthesizer: CxrSynthesizer,
    targets: Targets,
    *,
    input_path: Path,
    fields: LungFields | None,
    reporter: Reporter,
    write_input: bool = False,
) -> list[CxrInsertion]:
    """Insert the nodules and write every file that is asked for, or none.

    Args:
        image: The radiograph; not changed.
        seeds: The nodules.
        synthesizer: What paints them.
        targets: The files.
        input_path: Where the radiograph came from, for the report and the output's header.
        fields: Where the lungs are, if that is known: a nodule outside gets a note.
        reporter: Told how far it is, and the result.
        write_input: Whether the radiograph itself is to be written to ``input_path``.

    Raises:
        LungSynthError: If a seed cannot be used or a file cannot be written.
    """
    from lungsynth.imaging.radiograph_insertion import insert_into_radiograph
    from lungsynth.io.radiograph_preview import write_radiograph_preview
    from lungsynth.io.radiograph_writing import write_radiograph
    from lungsynth.io.report import insertion_report, write_report
    from lungsynth.io.writing import write_mask

    within = None if fields is None else fields.mask(image.pixels.shape, behind=True)
    result = insert_into_radiograph(
        image,
        seeds,
        synthesizer,
        lung_fields=within,
        on_progress=reporter.stage("inserting"),
    )
    report: dict[str, Any] = insertion_report(
        insertions=result.insertions,
        synthesizer=synthesizer,
        input_path=input_path,
        output_path=targets.volume,
        seconds=result.seconds,
    )
    report["kind"] = "radiograph"
    spacing = image.pixel_spacing_mm
    report["pixel_spacing_mm"] = None if spacing is None else list(spacing)
    total = len(targets.named())
    with Outputs() as outputs:
        reporter.progress("writing", 0, total)
        if write_input:
            write_radiograph(image, outputs.path(input_path))
        source = None if write_input else _source_file(input_path)
        write_radiograph(result.image, outputs.path(targets.volume), source)
        if targets.mask:
            reporter.progress("writing", 1, total)
            write_mask(result.insertions, image.as_volume(), outputs.path(targets.mask))
        if targets.report:
            write_report(report, outputs.path(targets.report))
        if targets.preview:
            reporter.progress("writing", total - 1, total)
            write_radiograph_preview(
                image, result.image, result.insertions, outputs.path(targets.preview)
            )
        reporter.progress("writing", total, total)
    for insertion in result.insertions:
        if insertion.note:
            reporter.info(f"{insertion.seed}: {insertion.note}")
    reporter.done(
        radiograph_summary(result.insertions, targets),
        insertions=len(result.insertions),
        within_tolerance=sum(insertion.within_tolerance for insertion in result.insertions),
        **{name: str(path) for name, path in targets.named().items()},
    )
    return result.insertions


def _source_file(input_path: Path) -> Path:
    """Return the file that was read, where a folder was named."""
    from lungsynth.io.dicom import only_file

    return only_file(input_path) if input_path.is_dir() else input_path


def radiograph_summary(insertions: Sequence[CxrInsertion], targets: Targets) -> str:
    """Return what a person reads at the end: each nodule asked and measured, and the files."""
    lines = []
    for insertion in insertions:
        measured = insertion.measured
        size = f"{measured.diameter_px:.1f} px"
        if measured.diameter_mm is not None:
            size = f"{measured.diameter_mm:.1f} mm ({size})"
        line = (
            f"{insertion.seed}: asked {insertion.spec.size}, measured {size}, "
            f"contrast {measured.contrast:.3f}"
        )
        if not insertion.within_tolerance:
            line += f" (not within tolerance: {insertion.note})"
        elif insertion.note:
            line += f" (note: {insertion.note})"
        lines.append(line)
    lines += [f"{name + ':':9}{path}" for name, path in targets.named().items()]
    return "\n".join(lines)
