"""``lungsynth demo``: the main job on a phantom that the library makes itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungsynth.cli.insert import DEFAULT_SYNTHESIZER, draw_latent_seed
from lungsynth.cli.insert_radiograph import (
    default_synthesizer,
    insert_and_write_radiograph,
    load_cxr,
)
from lungsynth.cli.insertion import Targets, insert_and_write, load, summary
from lungsynth.cli.options import (
    BankOption,
    Device,
    DeviceOption,
    ProgressOption,
    RandomSeedOption,
    WeightsOption,
)
from lungsynth.cli.outputs import made_folder
from lungsynth.cli.progress import ProgressMode, Reporter
from lungsynth.core.nodule import Attenuation, NoduleSpec

if TYPE_CHECKING:
    from lungsynth.core.contracts import CxrSynthesizer

CXR_NODULES = ((22.0, 0.14), (14.0, 0.12), (9.0, 0.1))
"""Diameter in mm and contrast."""
NODULES = (
    (12.0, Attenuation.PART_SOLID),
    (8.0, Attenuation.SOLID),
    (16.0, Attenuation.GROUND_GLASS),
)


def demo(
    output: Annotated[
        Path, typer.Option("--output", help="Folder for the results; made if missing.")
    ] = Path("demo_output"),
    radiograph: Annotated[
        bool, typer.Option("--radiograph", help="A chest radiograph in place of a CT.")
    ] = False,
    synthesizer: Annotated[
        str | None, typer.Option("--synthesizer", help="Which one; see 'lungsynth models list'.")
    ] = None,
    random_seed: RandomSeedOption = 0,
    device: DeviceOption = Device.AUTO,
    weights: WeightsOption = None,
    bank: BankOption = None,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Make a phantom, put three nodules into it, and draw a picture of them."""
    import numpy as np

    if radiograph:
        demo_radiograph(
            output,
            synthesizer,
            random_seed,
            progress,
            load=lambda name, reporter: load_cxr(name, device, weights, bank, reporter=reporter),
        )
        return
    phantom_path = output / "phantom.nrrd"
    targets = Targets(
        output / "phantom_with_nodules.nrrd",
        output / "nodules.seg.nrrd",
        output / "report.json",
        output / "preview.png",
    )
    with Reporter(progress) as reporter, made_folder("--output", output):
        from lungsynth.imaging.phantom import thorax_phantom
        from lungsynth.imaging.proposal import propose_seeds

        model = load(
            synthesizer or DEFAULT_SYNTHESIZER,
            device=device,
            weights=weights,
            bank=bank,
            reporter=reporter,
        )
        reporter.stage("making the phantom")
        volume = thorax_phantom(random_seed)
        specs = [
            NoduleSpec(diameter, kind, latent_seed=draw_latent_seed(random_seed, index))
            for index, (diameter, kind) in enumerate(NODULES)
        ]
        reporter.stage("finding places")
        rng = np.random.default_rng(random_seed)
        seeds = propose_seeds(volume, len(specs), rng, specs=specs, box_mm=model.box_mm)
        insertions = insert_and_write(
            volume,
            seeds,
            model,
            targets,
            input_path=phantom_path,
            reporter=reporter,
            write_input=True,
        )
        files = {"phantom": phantom_path, **targets.named()}
        text = f"{summary(insertions, targets)}\nphantom: {phantom_path}"
        text += f"\n\nLook at the picture: {targets.preview}"
        reporter.done(
            text,
            insertions=len(insertions),
            within_tolerance=sum(insertion.within_tolerance for insertion in insertions),
            **{name: str(path) for name, path in files.items()},
        )


def demo_radiograph(
    output: Path,
    synthesizer: str | None,
    random_seed: int,
    progress: ProgressMode,
    *,
    load: Callable[[str, Reporter], CxrSynthesizer],
) -> None:
    """Make a phantom radiograph, put three nodules into it, and draw a picture of them.

    Args:
        output: Folder for the results; made if missing.
        synthesizer: Its name; None takes the best that is ready.
        random_seed: All that is drawn follows from it.
        progress: How progress is shown.
        load: Loads a synthesizer by its name.
    """
    import numpy as np

    targets = Targets(
        output / "radiograph_with_nodules.nrrd",
        output / "radiograph_nodules.seg.nrrd",
        output / "radiograph_report.json",
        output / "radiograph_preview.png",
    )
    with Reporter(progress) as reporter, made_folder("--output", output):
        from lungsynth.core.radiograph import CxrNoduleSpec
        from lungsynth.imaging.lung_fields import LungFields
        from lungsynth.imaging.radiograph_phantom import thorax_radiograph
        from lungsynth.imaging.radiograph_proposal import propose_cxr_seeds

        model = load(synthesizer or default_synthesizer(), reporter)
        reporter.stage("making the phantom")
        phantom = thorax_radiograph(random_seed)
        specs = [
            CxrNoduleSpec(
                diameter, contrast=contrast, latent_seed=draw_latent_seed(random_seed, index)
            )
            for index, (diameter, contrast) in enumerate(CXR_NODULES)
        ]
        rng = np.random.default_rng(random_seed)
        seeds = propose_cxr_seeds(phantom.image, np.asarray(phantom.lungs.any(axis=0)), specs, rng)
        insert_and_write_radiograph(
            phantom.image,
            seeds,
            model,
            targets,
            input_path=output / "radiograph.nrrd",
            fields=LungFields(phantom.lungs.astype(np.float32)),
            reporter=reporter,
            write_input=True,
        )
