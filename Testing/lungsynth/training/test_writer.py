"""What a run leaves in its folder, and when."""

import base64
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.image import imread

from lungsynth.training import writer as writing
from lungsynth.training.options import TrainOptions
from lungsynth.training.report import write_report
from lungsynth.training.writer import RunWriter, spread


class Shown:
    """A recipe whose picture shows its step as a shade."""

    def __init__(self, step=0):
        self.step_count = step

    def sample_picture(self, _rng):
        return np.full((3, 4), self.step_count, np.uint8)


def test_curves_are_drawn_once_a_minute_and_at_the_end(tmp_path, monkeypatch):
    """A checkpoint every 20 s, of which that at 60 s is the first due again."""
    now, drawn = [1000.0], []
    monkeypatch.setattr(writing, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(writing, "draw_curves", lambda *_: drawn.append(now[0] - 1000))
    recipe = SimpleNamespace(step_count=0, state_dict=dict)
    writer = RunWriter(tmp_path, "mcgan", recipe, TrainOptions(checkpoint_every=1))
    for step in range(1, 7):
        writer.log_step(step, {"l1": 1.0})
        writer.after_step(step, last=step == 6)
        now[0] += 20

    assert drawn == [0, 60, 100]


@pytest.mark.parametrize(
    ("steps", "most", "kept"),
    [
        ([5, 9], 3, [5, 9]),
        ([0, 10, 20, 30, 40], 3, [0, 20, 40]),
        ([0, 1, 2, 3, 100], 3, [0, 3, 100]),
    ],
)
def test_samples_over_time_are_kept_evenly_spread(steps, most, kept):
    assert spread(steps, most) == kept


def test_samples_are_kept_and_those_of_later_steps_go_with_a_resume(tmp_path):
    recipe = Shown()
    writer = RunWriter(tmp_path, "mcgan", recipe, TrainOptions(checkpoint_every=1))
    for step in range(1, 31):
        recipe.step_count = step
        writer.log_step(step, {"l1": 1.0})
        writer.draw(step)
    kept = sorted(int(path.stem) for path in (tmp_path / "samples").iterdir())
    assert (len(kept), kept[0], kept[-1]) == (writing.SAMPLES_KEPT, 1, 30)
    for step in kept:
        picture = imread(tmp_path / "samples" / f"{step:08d}.png")
        assert np.rint(255 * picture[..., 0]).tolist() == [[step] * 4] * 3
    writer.close()
    again = RunWriter(tmp_path, "mcgan", Shown(10), TrainOptions())

    left = sorted(int(path.stem) for path in (tmp_path / "samples").iterdir())
    assert left == [step for step in kept if step <= 10]
    again.close()


def test_tensorboard_gets_losses_and_samples(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    recipe = Shown()
    writer = RunWriter(tmp_path, "mcgan", recipe, TrainOptions())
    for step, loss in ((1, 0.5), (2, 0.25), (3, 0.125)):
        writer.log_step(step, {"l1": loss})
    recipe.step_count = 3
    writer.draw(3)
    writer.close()
    resumed = RunWriter(tmp_path, "mcgan", Shown(2), TrainOptions())  # from the checkpoint of 2
    resumed.log_step(3, {"l1": 8.0})
    resumed.close()

    read = events.EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    rows = [(event.step, event.value) for event in read.Scalars("losses/l1")]
    assert rows == [(1, 0.5), (2, 0.25), (3, 8.0)]


def test_the_report_holds_everything_in_itself(tmp_path):
    (tmp_path / "samples").mkdir()
    for step in (50, 7):
        (tmp_path / "samples" / f"{step:08d}.png").write_bytes(b"picture of %d" % step)
    (tmp_path / "losses.png").write_bytes(b"curves")
    rows = [{"step": n, "l1": float(n), "a<b": 1.0} for n in range(1, 151)]
    (tmp_path / "losses.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "health.jsonl").write_text('{"step": 9, "message": "a critic & more"}\n')
    card = {
        "system": "mcgan",
        "preset": "tiny",
        "total_steps": 900,
        "config": {"width": 4},
        "data": {"patients": ["Jane Roe", "P2"]},
    }
    write_report(tmp_path / "report.html", tmp_path, card)

    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "150 of 900 steps, preset tiny" in page
    assert "<td>l1</td><td>150</td><td>100.5</td>" in page  # 51 to 150
    assert "a&lt;b" in page
    assert "step 9: a critic &amp; more" in page
    assert "<td>config.width</td><td>4</td>" in page
    assert "<td>data.patients</td><td>2 of them</td>" in page
    assert "Jane Roe" not in page  # a report may be sent around
    pictures = [base64.b64decode(data) for data in re.findall(r'base64,([^"]*)"', page)]
    assert pictures == [b"curves", b"picture of 7", b"picture of 50"]
    assert not re.findall(r"https?://", page)


def test_a_run_with_no_steps_yet_has_a_report(tmp_path):
    write_report(tmp_path / "report.html", tmp_path, {})

    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "0 of ? steps" in page
    assert "Nothing to warn of." in page
