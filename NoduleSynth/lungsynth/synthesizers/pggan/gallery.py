"""Drawn radiographs as files: images, their latents, a manifest, a grid and a film."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungsynth import __version__
from lungsynth.core.errors import LungSynthError
from lungsynth.core.mark import SYNTHETIC
from lungsynth.core.radiograph import Radiograph, image_plane_matrix
from lungsynth.io.atomic import atomic_path
from lungsynth.io.radiograph_writing import write_radiograph
from lungsynth.synthesizers.pggan.pictures import BITS, grid_picture, to_pixels
from lungsynth.synthesizers.pggan.synthesizer import RadiographGenerator, draw_latents, interpolate

IMAGES, LATENTS, GRID, FILM, FRAMES = "images", "latents.npy", "grid.png", "film.gif", "film"
TABLE, MANIFEST = "manifest.csv", "manifest.json"
GRID_COLUMNS, GRID_IMAGES = 6, 36
FRAME_MS = 60
Progress = Callable[[int, int], None]


def write_gallery(
    generator: RadiographGenerator,
    seeds: Sequence[int],
    folder: Path,
    *,
    bits: int = 8,
    about: dict[str, Any] | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """Draw one radiograph for each seed and write all of them; the same seed, the same image.

    The manifest is written last, so that a folder that has one is complete.

    Args:
        generator: Which draws.
        seeds: Of the latents.
        folder: An existing folder without a manifest.
        bits: Of a pixel of the images: 8 or 16; -1 becomes 0, 1 the greatest value.
        about: What else the manifest is to say.
        on_progress: Called with images written and images in all.

    Returns:
        The manifest.

    Raises:
        LungSynthError: If the folder holds generated images already, or cannot be written.
    """
    check_gallery(folder, bits)
    latents = draw_latents(seeds, generator.latent_size)
    rows, shown = [], []
    (folder / IMAGES).mkdir(exist_ok=True)
    for number, (seed, latent) in enumerate(zip(seeds, latents, strict=True)):
        (image,) = generator.draw(latent[None])
        name = f"{IMAGES}/{number:06d}.png"
        _write(to_pixels(image, bits), folder / name)
        rows.append({"image": name, "latent_row": number, "seed": seed, "synthetic": "true"})
        shown += [image] if number < GRID_IMAGES else []
        if on_progress is not None:
            on_progress(number + 1, len(seeds))
    with atomic_path(folder / LATENTS) as temporary:
        np.save(temporary, latents)
    _write(grid_picture(np.stack(shown), min(GRID_COLUMNS, len(shown))), folder / GRID)
    with atomic_path(folder / TABLE) as temporary, temporary.open("w", newline="") as lines:
        table = csv.DictWriter(lines, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    described = {
        **SYNTHETIC,
        "version": __version__,
        "system": "pggan",
        "weights_sha256": generator.weights_sha256,
        "device": str(generator.device.type),
        "image_size": generator.image_size,
        "latent_size": generator.latent_size,
        "bits": bits,
        "scale_of_training": generator.scale.to_dict(),
        **(about or {}),
        "images": rows,
    }
    with atomic_path(folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    return folder / MANIFEST


def check_gallery(folder: Path, bits: int) -> None:
    """Refuse what cannot be written, before anything is drawn.

    Raises:
        LungSynthError: If the folder holds generated images already, or no image has those bits.
    """
    if bits not in BITS:
        msg = f"an image of {bits} bits; allowed are {' and '.join(map(str, BITS))}"
        raise LungSynthError(msg)
    if (folder / MANIFEST).exists():
        msg = f"{folder}: holds generated images already ({MANIFEST}); name another folder"
        raise LungSynthError(msg)


def write_film(
    generator: RadiographGenerator,
    seeds: Sequence[int],
    frames: int,
    folder: Path,
    *,
    on_progress: Progress | None = None,
) -> Path:
    """Write the way through the latents of some seeds and back: PNGs, and a GIF of them.

    Args:
        generator: Which draws.
        seeds: Two at least.
        frames: From each to the next.
        folder: An existing folder.
        on_progress: Called with frames written and frames in all.

    Returns:
        The GIF; the folder of the PNGs where Pillow, which writes GIFs, is not installed.
    """
    way = interpolate(draw_latents(seeds, generator.latent_size), frames)
    (folder / FRAMES).mkdir(exist_ok=True)
    pictures = []
    for number, latent in enumerate(way):
        picture = to_pixels(generator.draw(latent[None])[0])
        _write(picture, folder / FRAMES / f"{number:04d}.png")
        pictures.append(picture)
        if on_progress is not None:
            on_progress(number + 1, len(way))
    try:
        from PIL import Image
    except ImportError:
        return folder / FRAMES
    first, *others = [Image.fromarray(picture) for picture in pictures]
    note = " ".join(f"{key}={value}" for key, value in SYNTHETIC.items())
    with atomic_path(folder / FILM) as temporary:
        first.save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=FRAME_MS,
            loop=0,
            comment=note.encode(),
        )
    return folder / FILM


def _write(pixels: NDArray[Any], path: Path) -> None:
    write_radiograph(Radiograph(pixels, image_plane_matrix()), path)
