"""The table of synthesizers is true, and complete."""

from pathlib import Path

import pytest

import lungsynth.synthesizers
from lungsynth.core.errors import LungSynthError
from lungsynth.core.registry import resolve
from lungsynth.synthesizers import SYNTHESIZERS, TRAINABLE, load_synthesizer

LIBRARY = Path(lungsynth.synthesizers.__file__).parent
SYSTEMS = {
    path.stem for path in LIBRARY.iterdir() if path.suffix == ".py" and path.stem != "__init__"
} | {path.parent.name for path in LIBRARY.glob("*/__init__.py")}
TESTS = {path.stem for path in Path(__file__).parent.rglob("test_*.py")}


def test_every_system_has_a_line_and_a_test():
    listed = {target.split(":")[0].split(".")[2] for target in SYNTHESIZERS.values()}

    assert listed == SYSTEMS
    for system in SYSTEMS:
        assert any(test.startswith(f"test_{system}") for test in TESTS), system


@pytest.mark.parametrize("name", SYNTHESIZERS)
def test_each_line_names_a_synthesizer_of_that_name(name):
    found = resolve(SYNTHESIZERS, name)

    assert found.name == name
    assert all(callable(getattr(found, method)) for method in ("load", "box_mm", "inpaint"))


@pytest.mark.parametrize("name", TRAINABLE)
def test_each_trainable_system_is_a_synthesizer(name):
    assert name in SYNTHESIZERS
    assert callable(resolve(TRAINABLE, name))


def test_an_unknown_name_is_refused_with_those_that_exist():
    with pytest.raises(
        LungSynthError,
        match=r"synthesizer 'magic'; there are class-aware, copy-paste, mcgan, procedural",
    ):
        load_synthesizer("magic")
