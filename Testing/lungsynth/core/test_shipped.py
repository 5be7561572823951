"""Files that ship lie beside the package, or in a wheel inside it."""

import pytest

from lungsynth.core import shipped


@pytest.mark.parametrize("folder", ["Resources/Weights", "lungsynth/weights"])
def test_a_file_is_found_at_either_place(tmp_path, monkeypatch, folder):
    monkeypatch.setattr(shipped, "__file__", str(tmp_path / "lungsynth" / "core" / "shipped.py"))
    path = tmp_path / folder / "shell.md"
    path.parent.mkdir(parents=True)
    path.write_text("card")

    assert shipped.shipped_file("shell.md") == path
    assert shipped.shipped_file("shell.safetensors") is None


def test_beside_the_package_goes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "__file__", str(tmp_path / "lungsynth" / "core" / "shipped.py"))
    for folder in ("Resources/Weights", "lungsynth/weights"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "shell.md").write_text(folder)

    assert shipped.shipped_file("shell.md").read_text() == "Resources/Weights"
