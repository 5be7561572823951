"""Renders the pictures of README and tutorial: slicer-core's own slice views, on the phantom.

    QT_QPA_PLATFORM=offscreen python Testing/Slicer/render_pictures.py

They show what Slicer's views show, not its window; each says so. No patient's data is in them.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).resolve().parents[2]
PICTURES = PROJECT / "Resources" / "Pictures"
THUMBNAIL = PROJECT / "NoduleSynth" / "Resources" / "Icons" / "NoduleSynth-ThoraxPhantom.png"
FOOTER = "Drawn by 3D Slicer's slice views (slicer-core) on a phantom: synthetic, no patient"
LARGEST = 150_000  # bytes: all that is committed counts for the Extensions Index
LUNG_WINDOW, LUNG_LEVEL = 1500, -600
KINDS = ((13.0, "solid"), (16.0, "part-solid"), (15.0, "ground-glass"))
GAP, LINE = 6, 22
SIZE = (320, 250)


def start_slicer():
    """Bring the harness up and return (slicer, SliceView).

    Pillow comes after it: its libraries keep Qt from finding the offscreen screen.
    """
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    sys.path[:0] = [str(PROJECT / "NoduleSynth"), str(PROJECT / "Testing/Slicer/standins")]
    import harness_start
    import vtk

    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_ERROR)
    app = harness_start.start()
    import harness_app
    import slicer

    start_slicer.keep = harness_app.make_scene(app)  # lives as long as the program
    import harness_views

    return slicer, harness_views.SliceView


def places(phantom):
    """Return three places in the lungs, one for each kind."""
    from lungsynth.core.nodule import NoduleSpec
    from lungsynth.imaging.proposal import propose_seeds

    specs = [NoduleSpec(34.0)] * 12  # room around the nodules that are drawn there
    seeds = propose_seeds(phantom, len(specs), np.random.default_rng(11), specs=specs)
    found = [seed.position_ras_mm for seed in seeds]
    return sorted(found, key=lambda place: abs(place[2] + 10))[: len(KINDS)]  # not in an apex


class Studio:
    """A scene with the phantom, its nodules and slice views to look at them."""

    def __init__(self):
        self.slicer, self.make_view = start_slicer()
        from NoduleSynthLib.Logic import NoduleSynthLogic
        from NoduleSynthLib.SampleData import loadPhantom

        self.ct = loadPhantom()
        self.logic = NoduleSynthLogic()
        self.seeds = self.logic.seedsFor(self.ct)
        from lungsynth_slicer.volumes import volumeFromNode

        self.places = places(volumeFromNode(self.ct))
        for number, (place, (diameter, kind)) in enumerate(
            zip(self.places, KINDS, strict=True), start=1
        ):
            self.seeds.add(
                place,
                diameter_mm=diameter,
                attenuation=kind,
                latent_seed=40 + number,
                name=f"N-{number}",
            )
        self.result = None
        self.views = {}

    def insert(self):
        """Insert the nodules."""
        self.result = self.logic.insertNow(self.ct, self.seeds)
        display = self.result.volume.GetDisplayNode()
        display.AutoWindowLevelOff()
        display.SetWindowLevel(LUNG_WINDOW, LUNG_LEVEL)
        shown = self.result.segmentation.GetDisplayNode()
        shown.SetVisibility2DFill(False)
        shown.SetSliceIntersectionThickness(2)

    def show_seeds(self, *, visible):
        """Show or hide the points."""
        self.seeds.node.GetDisplayNode().SetVisibility(visible)

    def show_masks(self, *, visible):
        """Show or hide the outlines of the nodules."""
        self.result.segmentation.GetDisplayNode().SetVisibility(visible)

    def look(self, volume, place, *, name="Red", field_mm=80.0):
        """Return what a slice view centred on a place shows, RGB.

        Args:
            volume: What is shown.
            place: (R, A, S) in mm.
            name: Red (axial), Green (coronal) or Yellow (sagittal).
            field_mm: Width of the picture.
        """
        from PIL import Image

        if name not in self.views:  # Slicer, too, makes each of its views once
            self.views[name] = self.make_view(volume, name, None, SIZE)
        view = self.views[name]
        view.show(volume)
        depth = view.node.GetFieldOfView()[2]
        view.node.SetFieldOfView(field_mm, field_mm * SIZE[1] / SIZE[0], depth)
        view.node.JumpSliceByCentering(*place)
        view.jump(place)
        view.render()
        return Image.fromarray(view.render())

    def close(self):
        """End the worker and the views."""
        for view in self.views.values():
            view.close()
        self.logic.cleanup()


def tile(rows, labels):
    """Return pictures in rows, each with its label, and the footer."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(14)
    width = max(sum(p.width + GAP for p in row) for row in rows) - GAP
    height = sum(row[0].height + LINE + GAP for row in rows) + LINE
    canvas = Image.new("RGB", (width, height), (24, 24, 24))
    draw = ImageDraw.Draw(canvas)
    top = 0
    for row, words in zip(rows, labels, strict=True):
        left = 0
        for picture, text in zip(row, words, strict=True):
            draw.text((left + 4, top + 3), text, (235, 235, 235), font)
            canvas.paste(picture, (left, top + LINE))
            left += picture.width + GAP
        top += row[0].height + LINE + GAP
    draw.text((4, top + 2), FOOTER, (170, 170, 170), ImageFont.load_default(12))
    return canvas


def save(picture, path):
    """Write a picture; as JPEG where the noise of CT would make a PNG large."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, optimize=True, **({"quality": 85} if path.suffix == ".jpg" else {}))
    if path.stat().st_size > LARGEST:
        msg = f"{path} is too large: {path.stat().st_size} bytes"
        raise RuntimeError(msg)


def draw_seeds(studio):
    """The seeds with spheres of the size that is asked."""
    import slicer

    from lungsynth_slicer.seeds import SeedList
    from NoduleSynthLib.Spheres import Spheres

    points = SeedList(studio.seeds.node).points()
    spheres = Spheres()
    spheres.show(slicer.mrmlScene, points, set())
    pictures = [studio.look(studio.ct, place, field_mm=160) for place in studio.places]
    spheres.hide()
    labels = [f"{p.label}: {p.spec.diameter_mm:g} mm, {p.spec.attenuation}" for p in points]
    return tile([pictures], [labels])


def draw_before_after(studio):
    """Each nodule's place before and after."""
    import slicer

    assert slicer.mrmlScene is studio.ct.GetScene()
    studio.show_seeds(visible=False)
    studio.show_masks(visible=False)
    look = [
        [studio.look(volume, place) for place in studio.places]
        for volume in (studio.ct, studio.result.volume)
    ]
    measured = [i.measured for i in studio.result.insertions]
    after = [f"after: {m.diameter_mm:.1f} mm, {m.mean_hu:.0f} HU measured" for m in measured]
    before = [f"before; asked: {d:g} mm {kind}" for d, kind in KINDS]
    return tile(look, [before, after])


def draw_inserted(studio):
    """The first nodule in three planes with its outline."""
    studio.show_masks(visible=True)
    names = {"Red": "axial", "Green": "coronal", "Yellow": "sagittal"}
    row = [
        studio.look(studio.result.volume, studio.places[0], name=name, field_mm=200)
        for name in names
    ]
    return tile([row], [[f"{plane}, outlined" for plane in names.values()]])


def draw_thumbnail(studio):
    """The phantom as Sample Data shows it."""
    import slicer

    assert slicer.mrmlScene is studio.ct.GetScene()
    picture = studio.look(studio.ct, (0.0, 0.0, -10.0), field_mm=330)
    return picture.resize((160, 125))


def main():
    """Render all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=PICTURES)
    output = parser.parse_args().output
    studio = Studio()
    studio.show_seeds(visible=False)
    save(draw_thumbnail(studio), THUMBNAIL if output == PICTURES else output / THUMBNAIL.name)
    studio.show_seeds(visible=True)
    save(draw_seeds(studio), output / "seeds.jpg")
    studio.insert()
    save(draw_before_after(studio), output / "before-after.jpg")
    save(draw_inserted(studio), output / "inserted.jpg")
    studio.close()


if __name__ == "__main__":
    main()
