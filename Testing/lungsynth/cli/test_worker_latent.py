"""Latent axes through the worker's requests: what is refused, in one line each.

Testing/Slicer/anomaly/test_anomaly_latent.py draws with a real generator.
"""

import json

import pytest

from lungsynth.cli.worker import Worker


@pytest.fixture(name="ask")
def asking():
    """``ask(do, **values)`` returns the events of a request."""
    events = []
    worker = Worker(events.append)

    def ask(do, **values):
        events.clear()
        assert worker.answer(json.dumps({"id": 5, "do": do, **values}))
        return list(events)

    return ask


def test_nothing_is_drawn_before_axes_are_loaded(ask):
    (event,) = ask("draw", amounts=[0.5], output="image.png")

    assert event == {
        "id": 5,
        "event": "error",
        "message": "no axes are loaded; send a 'load-axes' request first",
    }


def test_weights_that_are_missing_are_named(ask, tmp_path):
    missing = tmp_path / "pggan.safetensors"
    (event,) = ask("load-axes", axes=str(tmp_path / "axes.safetensors"), weights=str(missing))

    assert event["event"] == "error"
    assert str(missing) in event["message"]
    assert "\n" not in event["message"]
