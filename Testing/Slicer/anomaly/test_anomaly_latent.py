"""The tab Latent: sliders against the generator called directly, in a real worker process."""

import os
import subprocess
import sys

import numpy as np
import SimpleITK as sitk

LONG_S = 300

DRAW = """
import sys
import numpy as np
from pathlib import Path
from lungsynth.detectors.generator import load_generator
from lungsynth.detectors.latent_axes import draw_latents
from lungsynth.evaluation.axes_study import drawing
generator = load_generator(Path(sys.argv[1]), "cpu")
latents = draw_latents(7, 1, generator.latent_size)
latents[0, 0] += 2.5 * np.sqrt(generator.latent_size) / 4
latents[0, 1] -= 1.0 * np.sqrt(generator.latent_size) / 4
np.save(sys.argv[2], drawing(generator)(latents)[0])
"""


def said(panel):
    return panel.ui.latentStatusLabel.text.replace("\u200b", "")


def test_sliders_draw_what_the_generator_draws(
    panel, weights, module_tree, wait_until, loop_watch, slicer_app, tmp_path, monkeypatch
):
    ui, latent = panel.ui, panel.latentPanel
    assert not ui.latentStartButton.enabled
    assert ui.latentStartButton.toolTip == "Choose a file of axes first."
    ui.axesPath.currentPath = weights.axes
    assert ui.latentStartButton.enabled
    drawn = []
    shown = latent._drawn

    def keep(answer):
        drawn.append(sitk.GetArrayFromImage(sitk.ReadImage(answer["output"])))
        shown(answer)

    monkeypatch.setattr(latent, "_drawn", keep)
    with loop_watch() as watch:
        ui.latentStartButton.click()
        wait_until(lambda: drawn, LONG_S)
    assert watch.longest_gap_s < 0.5
    assert [label.text for label in latent._labels] == ["Effusion:", "Mass:"]
    assert not ui.latentImageLabel.isHidden()
    assert ui.latentImageLabel.pixmap.width() >= 200

    ui.latentSeedSpinBox.value = 7
    for value in np.linspace(0, 2.5, 11):  # faster than it draws: the last must come through
        latent._sliders[0].value = value
    latent._sliders[1].value = -1.0
    wait_until(lambda: not latent._drawing, LONG_S)
    subprocess.run(
        [sys.executable, "-c", DRAW, weights.generator, str(tmp_path / "image.npy")],
        env={**os.environ, "PYTHONPATH": str(module_tree), "OMP_NUM_THREADS": "1"},
        check=True,
    )
    expected = (np.load(tmp_path / "image.npy") + 1) * 127.5
    assert np.abs(drawn[-1] - expected).max() <= 1
    assert len(drawn) < 12
    assert np.abs(drawn[-1].astype(int) - drawn[0]).max() > 1

    ui.latentResetButton.click()
    wait_until(lambda: not latent._drawing, LONG_S)
    assert [slider.value for slider in latent._sliders] == [0, 0]

    ui.axesPath.currentPath = weights.calibration
    ui.latentStartButton.click()
    wait_until(lambda: "Loading" not in said(panel), LONG_S)
    assert "weights of 'anomaly-scan'" in said(panel)
    assert "\n" not in said(panel)
    assert latent._sliders == []
    assert ui.latentImageLabel.isHidden()
