"""``lungsynth generate``: whole radiographs out of noise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lungsynth.cli.insert import draw_latent_seed
from lungsynth.cli.options import (
    Device,
    DeviceOption,
    ProgressOption,
    RandomSeedOption,
    WeightsOption,
    whole,
)
from lungsynth.cli.outputs import made_folder
from lungsynth.cli.progress import ProgressMode, Reporter


def generate(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which generator, such as pggan.")],
    output: Annotated[
        Path, typer.Option("--output", help="Folder for the images; made if missing.")
    ],
    count: Annotated[
        int, typer.Option("--count", parser=whole(1), metavar="N", help="How many.")
    ] = 36,
    bits: Annotated[
        int, typer.Option("--bits", parser=whole(8, 16), metavar="8|16", help="Of a pixel.")
    ] = 8,
    film: Annotated[
        int,
        typer.Option(
            "--film", parser=whole(0), metavar="K", help="Also a film through the first K images."
        ),
    ] = 0,
    film_frames: Annotated[
        int,
        typer.Option("--film-frames", parser=whole(1), metavar="F", help="From one to the next."),
    ] = 30,
    random_seed: RandomSeedOption = 0,
    device: DeviceOption = Device.AUTO,
    weights: WeightsOption = None,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Draw radiographs that nobody ever had: PNGs marked as synthetic, latents, a manifest."""
    with Reporter(progress) as reporter, made_folder("--output", output):
        reporter.stage("loading the networks")
        from lungsynth.core.errors import LungSynthError
        from lungsynth.core.registry import IMAGE_GENERATORS, resolve
        from lungsynth.synthesizers.pggan.gallery import check_gallery, write_film, write_gallery

        if film == 1 or film > count:
            msg = f"--film {film}: a film goes through 2 or more of the --count {count} images"
            raise LungSynthError(msg)
        load = resolve(IMAGE_GENERATORS, name, "generator of radiographs")
        check_gallery(output, bits)
        generator = load(weights, device.value)
        seeds = [draw_latent_seed(random_seed, number) for number in range(count)]
        files = {}
        if film:
            on_frame = reporter.stage("drawing the film")
            way = write_film(generator, seeds[:film], film_frames, output, on_progress=on_frame)
            files["film"] = way
        files["manifest"] = write_gallery(
            generator,
            seeds,
            output,
            bits=bits,
            about={"random_seed": random_seed},
            on_progress=reporter.stage("drawing"),
        )
        side = generator.image_size
        lines = [f"{count} synthetic radiographs of {side} x {side} pixels: {output / 'images'}"]
        lines += [f"{what}: {path}" for what, path in files.items()]
        lines.append(f"look at: {output / 'grid.png'}")
        reporter.done(
            "\n".join(lines),
            images=count,
            image_size=side,
            **{what: str(path) for what, path in files.items()},
        )
