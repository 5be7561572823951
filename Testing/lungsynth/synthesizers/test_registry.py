"""The table of synthesizers is true, and complete."""

from pathlib import Path

import pytest

import lungsynth.synthesizers
from lungsynth.core.errors import LungSynthError
from lungsynth.core.registry import IMAGE_GENERATORS, resolve
from lungsynth.synthesizers import (
    CXR_SYNTHESIZERS,
    SYNTHESIZERS,
    TRAINABLE,
    load_cxr_synthesizer,
    load_synthesizer,
)

LIBRARY = Path(lungsynth.synthesizers.__file__).parent
SYSTEMS = {
    path.stem for path in LIBRARY.iterdir() if path.suffix == ".py" and path.stem != "__init__"
} | {path.parent.name for path in LIBRARY.glob("*/__init__.py")}
TESTS = {path.stem for path in Path(__file__).parent.rglob("test_*.py")}


def test_every_system_has_a_line_and_a_test():
    targets = [*SYNTHESIZERS.values(), *CXR_SYNTHESIZERS.values()]
    targets += IMAGE_GENERATORS.values()
    listed = {target.split(":")[0].split(".")[2] for target in targets}

    assert listed == SYSTEMS
    for system in SYSTEMS:
        assert any(test.startswith(f"test_{system}") for test in TESTS), system


@pytest.mark.parametrize("name", SYNTHESIZERS)
def test_each_line_names_a_synthesizer_of_that_name(name):
    found = resolve(SYNTHESIZERS, name)

    assert found.name == name
    assert all(callable(getattr(found, method)) for method in ("load", "box_mm", "inpaint"))


@pytest.mark.parametrize("name", CXR_SYNTHESIZERS)
def test_each_line_for_radiographs_names_a_synthesizer_of_that_name(name):
    found = resolve(CXR_SYNTHESIZERS, name)

    assert found.name == name
    assert all(callable(getattr(found, method)) for method in ("load", "paint"))


@pytest.mark.parametrize("name", IMAGE_GENERATORS)
def test_each_generator_of_radiographs_can_be_loaded(name):
    assert callable(resolve(IMAGE_GENERATORS, name))


@pytest.mark.parametrize("name", TRAINABLE)
def test_each_trainable_system_can_be_built(name):
    assert callable(resolve(TRAINABLE, name))


def test_an_unknown_name_is_refused_with_those_that_exist():
    with pytest.raises(
        LungSynthError,
        match=r"synthesizer 'magic'; there are class-aware, copy-paste, mcgan, procedural",
    ):
        load_synthesizer("magic")
    with pytest.raises(LungSynthError, match=r"unknown synthesizer 'mcgan'; there are "):
        load_cxr_synthesizer("mcgan")
