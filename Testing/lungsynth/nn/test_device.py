"""Choosing a device, with and without GPUs."""

import pytest
import torch

from lungsynth.core.errors import LungSynthError
from lungsynth.nn.device import choose_device


@pytest.fixture
def gpus(monkeypatch):
    def have(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return have


@pytest.mark.parametrize(
    ("count", "wanted", "expected"),
    [
        (0, "auto", "cpu"),
        (0, "cpu", "cpu"),
        (2, "auto", "cuda:0"),
        (2, "cpu", "cpu"),
        (2, "cuda", "cuda:0"),
        (2, "cuda:1", "cuda:1"),
    ],
)
def test_the_device_that_was_asked_for(gpus, count, wanted, expected):
    gpus(count)
    assert str(choose_device(wanted)) == expected


def test_auto_says_that_it_falls_back(gpus, caplog):
    gpus(0)
    with caplog.at_level("INFO"):
        choose_device("auto")

    assert "no usable GPU found" in caplog.text


@pytest.mark.parametrize(("count", "wanted"), [(0, "cuda"), (0, "cuda:0"), (1, "cuda:1")])
def test_a_gpu_that_is_not_there_is_refused(gpus, count, wanted):
    gpus(count)
    with pytest.raises(LungSynthError, match=rf"'{wanted}' asked .* finds {count} usable GPUs"):
        choose_device(wanted)


@pytest.mark.parametrize("wanted", ["gpu", "cuda:x", "mps", "", "cuda:-1"])
def test_unknown_devices_are_refused(gpus, wanted):
    gpus(4)
    with pytest.raises(LungSynthError, match=r"allowed are auto, cpu, cuda and cuda:N"):
        choose_device(wanted)
