"""What an installed lungsynth holds."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
LIBRARY = PROJECT / "NoduleSynth" / "lungsynth"
WEIGHTS = PROJECT / "NoduleSynth" / "Resources" / "Weights"


@pytest.mark.slow
def test_a_wheel_holds_every_module_and_the_weights(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(tmp_path)]
    subprocess.run([*command, str(PROJECT)], check=True)
    (wheel,) = tmp_path.glob("lungsynth-*.whl")
    with zipfile.ZipFile(wheel) as opened:
        held = set(opened.namelist())

    modules = {f"lungsynth/{path.relative_to(LIBRARY)}" for path in LIBRARY.rglob("*.py")}
    weights = {f"lungsynth/weights/{path.name}" for path in WEIGHTS.iterdir()}
    assert modules | weights | {"lungsynth/py.typed"} <= held
    assert not any(name.startswith(("Testing", "tests")) for name in held)


def test_every_folder_of_modules_is_a_package():
    """One without __init__.py works from the source tree and is missing in a wheel."""
    folders = {path.parent for path in LIBRARY.rglob("*.py")}

    assert [str(path) for path in folders if not (path / "__init__.py").is_file()] == []


def test_versions_are_bounded_from_below_alone():
    """Slicer and other extensions share one environment: an upper bound breaks theirs."""
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    # what tests need is installed beside no Slicer
    text = re.sub(
        r"^test = \[\n.*?^\]", "", text.split("[tool.")[0], flags=re.MULTILINE | re.DOTALL
    )
    requirements = re.findall(r'^    "([\w-]+)([^"]*)",$', text, re.MULTILINE)

    assert len(requirements) >= 10
    assert [name for name, bound in requirements if not re.fullmatch(r"(>=[\d.]+)?", bound)] == []


def test_every_dependency_is_imported():
    """What nothing imports is only one more thing to install."""
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    (block,) = re.findall(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    names = re.findall(r'"([\w-]+)', block)
    sources = "\n".join(path.read_text(encoding="utf-8") for path in LIBRARY.rglob("*.py"))

    assert len(names) >= 8
    imported = {name for name in names if re.search(rf"(?:import|from) {name}\b", sources)}
    assert set(names) - imported == set()
