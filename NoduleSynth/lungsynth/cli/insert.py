"""``lungsynth insert``: nodules into a CT or a radiograph of the user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungsynth.cli.insert_radiograph import RadiographJob, insert_radiograph
from lungsynth.cli.insertion import Targets, insert_and_write, load, summary
from lungsynth.cli.options import (
    MASK_SUFFIXES,
    VOLUME_SUFFIXES,
    BankOption,
    Device,
    DeviceOption,
    ProgressOption,
    RandomSeedOption,
    Site,
    WeightsOption,
    number,
    whole,
)
from lungsynth.cli.outputs import check_distinct, check_output
from lungsynth.cli.progress import ProgressMode, Reporter
from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import (
    Attenuation,
    Malignancy,
    NodulePopulation,
    NoduleSpec,
    Seed,
    draw_nodule,
)
from lungsynth.core.radiograph import Kind
from lungsynth.synthesizers import CXR_SYNTHESIZERS, KNOW_MALIGNANCY, SYNTHESIZERS

if TYPE_CHECKING:
    import numpy as np

    from lungsynth.core.volume import Volume

DEFAULT_DIAMETER_MM = 10.0
DEFAULT_SYNTHESIZER = "mcgan"
MOST_AUTO = 1000
UNDRAWN = 2**63 - 1  # stands for a latent seed that the user did not give


def insert(
    input_path: Annotated[
        Path,
        typer.Option(
            "--input",
            help="CT: DICOM folder, .dcm, .nii(.gz), .nrrd, .mha, .mhd. Radiograph: DICOM, .png, "
            ".jpg, or one slice.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", help="With nodules: .nii(.gz), .nrrd, .mha, .mhd; radiographs .dcm, .png."
        ),
    ],
    seed_ras: Annotated[
        list[str] | None,
        typer.Option("--seed-ras", metavar="R,A,S", help="Centre in RAS mm; may be repeated."),
    ] = None,
    seeds: Annotated[
        Path | None, typer.Option("--seeds", help="Seeds: .csv, or Slicer's .mrk.json.")
    ] = None,
    auto: Annotated[
        int | None,
        typer.Option(
            "--auto", parser=whole(1, MOST_AUTO), metavar="N", help="Find N places itself."
        ),
    ] = None,
    site: Annotated[
        Site | None, typer.Option("--site", help="CT: where --auto looks; parenchyma.")
    ] = None,
    synthesizer: Annotated[
        str | None,
        typer.Option(
            "--synthesizer",
            help="Which one; see 'lungsynth models list'. mcgan for CT, for radiographs the best "
            "that is ready.",
        ),
    ] = None,
    diameter_mm: Annotated[
        float | None,
        typer.Option(
            "--diameter-mm",
            parser=number,
            metavar="D",
            help="Diameter; 10 (15 in radiographs), or drawn with --auto.",
        ),
    ] = None,
    attenuation: Annotated[
        Attenuation | None,
        typer.Option("--attenuation", help="CT: kind; solid, or drawn with --auto."),
    ] = None,
    malignancy: Annotated[
        Malignancy | None, typer.Option("--malignancy", help="CT: what a reader would call it.")
    ] = None,
    diameter_px: Annotated[
        float | None,
        typer.Option(
            "--diameter-px", parser=number, metavar="D", help="Radiograph: diameter in its pixels."
        ),
    ] = None,
    pixel_spacing_mm: Annotated[
        float | None,
        typer.Option(
            "--pixel-spacing-mm",
            parser=number,
            metavar="S",
            help="Radiograph: its pixel spacing where the file has none; places stay as they are.",
        ),
    ] = None,
    contrast: Annotated[
        float | None,
        typer.Option(
            "--contrast",
            parser=number,
            metavar="C",
            help="Radiograph: how much brighter, over the image's range; about 0.03 to 0.2.",
        ),
    ] = None,
    lung_fields: Annotated[
        Path | None,
        typer.Option(
            "--lung-fields",
            help="Radiograph: mask of the lungs, or weights of the network that finds them.",
        ),
    ] = None,
    behind_heart: Annotated[
        bool,
        typer.Option(
            "--behind-heart", help="Radiograph: --auto also looks behind heart and diaphragm."
        ),
    ] = False,
    random_seed: RandomSeedOption = 0,
    mask: Annotated[
        Path | None, typer.Option("--mask", help="Nodule mask: .seg.nrrd, .nrrd, .nii(.gz).")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Asked and measured: .json.")
    ] = None,
    preview: Annotated[
        Path | None, typer.Option("--preview", help="Picture, before and after: .png.")
    ] = None,
    device: DeviceOption = Device.AUTO,
    weights: WeightsOption = None,
    bank: BankOption = None,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Put nodules into a chest CT or radiograph; the input is never changed."""
    if sum(bool(given) for given in (seed_ras, seeds, auto)) != 1:
        msg = "give the places by exactly one of --seed-ras, --seeds and --auto"
        raise LungSynthError(msg)
    targets = Targets(output, mask, report, preview)
    for_ct = {"--attenuation": attenuation, "--malignancy": malignancy, "--site": site}
    for_radiographs = {
        "--diameter-px": diameter_px,
        "--pixel-spacing-mm": pixel_spacing_mm,
        "--contrast": contrast,
        "--lung-fields": lung_fields,
        "--behind-heart": behind_heart or None,
    }
    kind = check_kind(input_path, synthesizer, for_ct, for_radiographs)
    _check_targets(targets, input_path, kind)
    if kind is Kind.RADIOGRAPH:
        job = RadiographJob(
            input_path=input_path,
            targets=targets,
            places=[parse_ras(text) for text in seed_ras or ()],
            seeds_path=seeds,
            auto=auto or 0,
            diameter_mm=diameter_mm,
            diameter_px=diameter_px,
            contrast=contrast,
            pixel_spacing_mm=pixel_spacing_mm,
            lung_fields=lung_fields,
            behind_heart=behind_heart,
            synthesizer=synthesizer,
            random_seed=random_seed,
        )
        with Reporter(progress) as reporter:
            insert_radiograph(job, reporter, device=device, weights=weights, bank=bank)
        return
    synthesizer = synthesizer or DEFAULT_SYNTHESIZER
    default = NoduleSpec(
        DEFAULT_DIAMETER_MM if diameter_mm is None else diameter_mm,
        attenuation or Attenuation.SOLID,
        malignancy,
    )
    rng = _rng(random_seed)
    # what needs no volume is checked before one is read
    listed = _listed_seeds(seed_ras, seeds, default, random_seed)

    with Reporter(progress) as reporter:
        from lungsynth.io.reading import read_ct

        reporter.stage("reading")
        volume = read_ct(input_path)
        model = load(synthesizer, device=device, weights=weights, bank=bank, reporter=reporter)
        if auto:
            fixed = {
                "diameter_mm": diameter_mm,
                "attenuation": attenuation,
                "malignancy": malignancy,
            }
            reporter.stage("finding places")
            listed = _proposed_seeds(
                volume, auto, site or Site.PARENCHYMA, fixed, rng, model.box_mm
            )
        asks_malignancy = any(seed.spec.malignancy is not None for seed in listed)
        if asks_malignancy and synthesizer not in KNOW_MALIGNANCY:
            reporter.info(
                f"malignancy is not used: {synthesizer} draws benign and malignant nodules alike"
            )
        insertions = insert_and_write(
            volume, listed, model, targets, input_path=input_path, reporter=reporter
        )
        files = {name: str(path) for name, path in targets.named().items()}
        within = sum(insertion.within_tolerance for insertion in insertions)
        reporter.done(
            summary(insertions, targets),
            insertions=len(insertions),
            within_tolerance=within,
            **files,
        )


def check_kind(
    input_path: Path,
    synthesizer: str | None,
    for_ct: Mapping[str, object],
    for_radiographs: Mapping[str, object],
) -> Kind:
    """Return what the input is, once synthesizer and options are known to go with it.

    Raises:
        LungSynthError: If it is neither, or the synthesizer or an option is for the other kind.
    """
    from lungsynth.io.dicom import modality_of
    from lungsynth.io.radiograph_reading import kind_of  # which loads SimpleITK and pydicom
    from lungsynth.io.reading import volume_suffix

    kind = kind_of(input_path)
    by_name = volume_suffix(input_path) in VOLUME_SUFFIXES
    if kind is Kind.CT and input_path.is_file() and not by_name:
        modality = modality_of(input_path)
        if modality not in ("", "CT"):
            # else what is said first is that the output's name is not one of a CT
            msg = f"{input_path}: modality {modality}; a CT or a radiograph (CR, DX) is needed"
            raise LungSynthError(msg)
    tables = {Kind.CT: SYNTHESIZERS, Kind.RADIOGRAPH: CXR_SYNTHESIZERS}
    here = tables.pop(kind)
    ((other, elsewhere),) = tables.items()
    if synthesizer is not None and synthesizer not in here and synthesizer in elsewhere:
        msg = (
            f"{input_path} is a {kind}, and {synthesizer} needs a {other}; for a {kind} there are "
            f"{', '.join(sorted(here))}"
        )
        raise LungSynthError(msg)
    wrong = for_radiographs if kind is Kind.CT else for_ct
    for option, value in wrong.items():
        if value is not None:
            msg = f"{option} is for a {other}, and {input_path} is a {kind}"
            raise LungSynthError(msg)
    return kind


def _check_targets(targets: Targets, input_path: Path, kind: Kind) -> None:
    from lungsynth.io.radiograph_writing import output_suffixes

    options = {
        "volume": (
            "--output",
            VOLUME_SUFFIXES if kind is Kind.CT else output_suffixes(input_path),
        ),
        "mask": ("--mask", MASK_SUFFIXES),
        "report": ("--report", (".json",)),
        "preview": ("--preview", (".png",)),
    }
    named = targets.named()
    for name, path in named.items():
        option, suffixes = options[name]
        if name == "volume" and path.name.lower().endswith(".seg.nrrd"):
            msg = f"{option} {path}: .seg.nrrd is for masks (--mask); a volume may end in .nrrd"
            raise LungSynthError(msg)
        check_output(option, path, suffixes, input_path)
    check_distinct({options[name][0]: path for name, path in named.items()})


def _rng(*entropy: int) -> np.random.Generator:
    import numpy as np

    return np.random.default_rng(entropy)


def _listed_seeds(
    texts: Sequence[str] | None, path: Path | None, default: NoduleSpec, random_seed: int
) -> list[Seed]:
    """Return the seeds that the user gave, each with a latent seed of its own."""
    undrawn = replace(default, latent_seed=UNDRAWN)
    if path is not None:
        from lungsynth.io.seeds import read_seeds

        seeds = read_seeds(path, undrawn)
    else:
        seeds = [
            Seed(parse_ras(text), undrawn, name=str(number))
            for number, text in enumerate(texts or (), start=1)
        ]
    return [
        replace(seed, spec=replace(seed.spec, latent_seed=draw_latent_seed(random_seed, index)))
        if seed.spec.latent_seed == UNDRAWN
        else seed
        for index, seed in enumerate(seeds)
    ]


def draw_latent_seed(random_seed: int, index: int) -> int:
    """Draw the latent seed of the seed of that index."""
    return int(_rng(random_seed, index).integers(2**31))


def parse_ras(text: str) -> tuple[float, float, float]:
    """Return the three numbers of "R,A,S".

    Raises:
        LungSynthError: If it is not three finite numbers.
    """
    try:
        right, anterior, superior = (float(part) for part in text.split(","))
    except ValueError:
        example = _with_commas(text.replace(";", " ").split()) or "-30,12.5,-80"
        msg = f"--seed-ras '{text}': give three numbers in mm, R,A,S, such as {example}"
        raise LungSynthError(msg) from None
    return (right, anterior, superior)


def meant_by_spaces(arguments: Sequence[str]) -> str:
    """Return what to write instead of ``--seed-ras -62 18 -140``; empty where that is not there.

    The shell makes three arguments of it, so that the parser complains of the second or third.

    Args:
        arguments: What follows the program's name.
    """
    for start, option in enumerate(arguments):
        if option == "--seed-ras":
            meant = _with_commas(arguments[start + 1 : start + 4])
            if meant:
                return f"--seed-ras takes its three numbers with commas: --seed-ras {meant}"
    return ""


def _with_commas(parts: Sequence[str]) -> str:
    """Return three numbers as "R,A,S"; empty if they are not three numbers."""
    try:
        numbers = [float(part.strip(",")) for part in parts]
    except ValueError:
        return ""
    return ",".join(f"{number:g}" for number in numbers) if len(numbers) == 3 else ""


def _proposed_seeds(
    volume: Volume,
    count: int,
    site: Site,
    fixed: Mapping[str, object],
    rng: np.random.Generator,
    box_mm: Callable[[float], float],
) -> list[Seed]:
    """Draw the nodules and find a place for each."""
    from lungsynth.imaging.proposal import propose_seeds

    population = NodulePopulation()
    given = {name: value for name, value in fixed.items() if value is not None}
    specs = [replace(draw_nodule(population, rng), **given) for _ in range(count)]  # type: ignore[arg-type]
    return propose_seeds(
        volume, count, rng, population, site=site.value, specs=specs, box_mm=box_mm
    )
