"""What every test may use: golden numbers, the shared real data, awkward folders."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
GOLDEN = Path(__file__).parent / "golden"
WEIGHTS = PROJECT / "NoduleSynth" / "Resources" / "Weights"


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite the golden numbers with today's"
    )


def pytest_collection_modifyitems(items):
    """Skip what this machine can't run, and say why."""
    for item in items:
        if item.get_closest_marker("gpu") and not _has_gpu():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device; torch finds none"))
        if item.get_closest_marker("weights") and not any(WEIGHTS.glob("*.safetensors")):
            item.add_marker(pytest.mark.skip(reason=f"needs the weights, and {WEIGHTS} has none"))


def _has_gpu():
    import torch  # only once a test asks for it: importing it takes seconds

    return torch.cuda.is_available()


@pytest.fixture
def golden(request):
    """Compare named numbers with those in golden/NAME.json (a relative 1e-4)."""

    def check(name, actual):
        path = GOLDEN / f"{name}.json"
        if request.config.getoption("update_golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(actual, indent=2) + "\n", encoding="utf-8")
        assert actual == pytest.approx(json.loads(path.read_text(encoding="utf-8")), rel=1e-4)

    return check


@pytest.fixture(scope="session")
def shared_data():
    """Folder with the real data, which is not part of the project."""
    path = Path(os.environ.get("LUNGSYNTH_DATA", PROJECT.parent / "shared" / "data"))
    if not (path / "ct_nodules").is_dir():
        pytest.skip(f"needs the real data, and {path} is not there (LUNGSYNTH_DATA names it)")
    return path


@pytest.fixture
def awkward_path(tmp_path):
    """A folder with spaces and non-ASCII letters in its name, as users have them."""
    folder = tmp_path / "Žlutý kůň 肺 結節 (copy)"
    folder.mkdir()
    return folder
