"""Half-written files never stay."""

import pytest

from lungsynth.core.temporary import (
    forget_temporary,
    remember_temporary,
    remove_temporary,
    replacing,
)


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_the_part_takes_the_place_of_the_earlier_file(awkward_path):
    path = awkward_path / "a.json"
    path.write_text("earlier")
    with replacing(path) as temporary:
        temporary.write_text("now")
        assert contents(awkward_path) == {"a.json": "earlier", "a.json.part": "now"}

    assert contents(awkward_path) == {"a.json": "now"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_earlier_file_and_no_part(tmp_path, error):
    path = tmp_path / "a.json"
    path.write_text("earlier")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half")
        raise error

    assert contents(tmp_path) == {"a.json": "earlier"}


def test_what_is_noted_is_removed_and_what_is_forgotten_stays(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("folder/a.txt", "b.part", "kept.part", "other.txt"):
        (tmp_path / name).write_text("half")
        remember_temporary(tmp_path / name.split("/", maxsplit=1)[0])
    for name in ("kept.part", "other.txt"):
        forget_temporary(tmp_path / name)
    remember_temporary(tmp_path / "never made")
    try:
        remove_temporary()
    finally:
        for name in ("folder", "b.part", "never made"):
            forget_temporary(tmp_path / name)

    assert contents(tmp_path) == {"kept.part": "half", "other.txt": "half"}


def test_a_part_is_removed_by_force_too(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        remove_temporary()
        assert contents(tmp_path) == {}

    assert contents(tmp_path) == {}
