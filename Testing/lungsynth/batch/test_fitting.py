"""Trainings that a study asks for: kept, stopped and gone on with as if they had not been."""

import numpy as np
import pytest

from lungsynth.batch.fitting import CHECKPOINT, WEIGHTS, fitter
from lungsynth.data.nodule_cases import KnownNodule, NoduleCase
from lungsynth.evaluation.cxr_detection import FitOrder

pytest.importorskip("lightning_fabric", reason="needs the extra [train]")


def order(folder, start=None, steps=4, rate_factor=1.0):
    rng = np.random.default_rng(1)
    pixels = rng.integers(20, 220, (96, 96)).astype(np.uint8)
    cases = [NoduleCase(pixels, (KnownNodule((20, 30, 40, 50), 200.0),), "a", "x")]
    return FitOrder(folder, "retinanet", "tiny", cases, start, steps, rate_factor, 5)


def test_a_training_that_was_stopped_comes_out_as_if_it_had_not_been(tmp_path):
    fitter("cpu")(order(tmp_path / "whole"))
    seen = []
    stopping = fitter("cpu", lambda _name, step, _total: seen.append(step), lambda: len(seen) == 2)
    with pytest.raises(KeyboardInterrupt):
        stopping(order(tmp_path / "parts"))
    assert (tmp_path / "parts" / CHECKPOINT).is_file()
    assert not (tmp_path / "parts" / WEIGHTS).exists()
    fitter("cpu", lambda _name, step, _total: seen.append(step))(order(tmp_path / "parts"))

    assert seen == [1, 2, 3, 4]
    whole, parts = ((tmp_path / name / WEIGHTS).read_bytes() for name in ("whole", "parts"))
    assert whole == parts
    assert not (tmp_path / "parts" / CHECKPOINT).exists()


def test_what_is_trained_is_taken_and_going_on_starts_from_it_at_a_lower_rate(tmp_path):
    first = fitter("cpu")(order(tmp_path / "first"))
    again = fitter("cpu", lambda *_: pytest.fail("trained twice"))(order(tmp_path / "first"))
    second = fitter("cpu")(order(tmp_path / "second", first, 1, 0.1))

    assert again.sha256 == first.sha256
    assert second.config.learning_rate == pytest.approx(0.1 * first.config.learning_rate)
    moved = max(
        float((a - b).detach().abs().max())
        for a, b in zip(first.network.parameters(), second.network.parameters(), strict=True)
    )
    # one step of Adam at 2e-4, and float16 of the file
    assert 1e-4 < moved < 3e-3
