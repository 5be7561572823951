"""A run of PGGAN through the shared loop: paused in a fade, resumed, weights that draw."""

import json

import numpy as np
import SimpleITK as sitk
import torch

from lungsynth.synthesizers.pggan import load_pggan
from lungsynth.synthesizers.pggan.config import PRESETS
from lungsynth.synthesizers.pggan.schedule import Schedule
from lungsynth.training.run import TrainOptions, train

SCHEDULE = Schedule(PRESETS["tiny"])


def write_films(folder):
    rng = np.random.default_rng(9)
    lines = ["image,labels,patient,split"]
    for n in range(9):
        film = rng.integers(0, 256, (16, 16)).astype(np.uint8).repeat(2, 0).repeat(2, 1)
        sitk.WriteImage(sitk.GetImageFromArray(film), str(folder / f"{n}.png"))
        lines.append(f"{n}.png,No Finding,{n},train")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_run_paused_in_a_fade_ends_with_the_weights_of_one_that_was_not(tmp_path):
    films = tmp_path / "films"
    films.mkdir()
    write_films(films)
    options = {"preset": "tiny", "accelerator": "cpu", "seed": 3}
    middle = next(phase.first_step + 2 for phase in SCHEDULE.phases if phase.side == 16)

    def pause_in_the_fade(step, _total, _losses):
        if step == middle:
            (tmp_path / "parts" / "pause").touch()

    whole = train("pggan", films, tmp_path / "whole", TrainOptions(**options))
    first = train("pggan", films, tmp_path / "parts", TrainOptions(**options), pause_in_the_fade)
    parts = train("pggan", films, tmp_path / "parts", TrainOptions(**options, resume=True))

    assert first is None
    assert parts.read_bytes() == whole.read_bytes()
    critics = [path.with_name("pggan-critic.safetensors").read_bytes() for path in (parts, whole)]
    assert critics[0] == critics[1]
    card = json.loads((tmp_path / "whole" / "run.json").read_text())
    assert (card["total_steps"], card["data"]["patients"]) == (SCHEDULE.total_steps, 9)
    generator = load_pggan(whole, "cpu")
    assert (generator.image_size, generator.generator.alpha) == (16, 1.0)
    assert generator(torch.zeros(1, 8) + 1).isfinite().all()
