"""``lungsynth demo``: the main job on a phantom that the library makes itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lungsynth.cli.insert import draw_latent_seed
from lungsynth.cli.insertion import Targets, insert_and_write, load, summary
from lungsynth.cli.options import (
    BankOption,
    Device,
    DeviceOption,
    ProgressOption,
    RandomSeedOption,
    SynthesizerOption,
    WeightsOption,
)
from lungsynth.cli.outputs import made_folder
from lungsynth.cli.progress import ProgressMode, Reporter
from lungsynth.core.nodule import Attenuation, NoduleSpec

NODULES = (
    (12.0, Attenuation.PART_SOLID),
    (8.0, Attenuation.SOLID),
    (16.0, Attenuation.GROUND_GLASS),
)


def demo(
    output: Annotated[
        Path, typer.Option("--output", help="Folder for the results; made if missing.")
    ] = Path("demo_output"),
    synthesizer: SynthesizerOption = "mcgan",
    random_seed: RandomSeedOption = 0,
    device: DeviceOption = Device.AUTO,
    weights: WeightsOption = None,
    bank: BankOption = None,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Make a phantom CT, put three nodules into it, and draw a picture of them."""
    import numpy as np

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

        model = load(synthesizer, device=device, weights=weights, bank=bank, reporter=reporter)
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
