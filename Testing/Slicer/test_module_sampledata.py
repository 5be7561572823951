"""Sample data, the documentation's console lines, and the links of the documents."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from lungsynth.imaging.phantom import SMALL, thorax_phantom

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENTS = [PROJECT / "README.md", *sorted((PROJECT / "Resources" / "Docs").glob("*.md"))]


@pytest.fixture
def sample_data(scene, module_tree):
    import slicer

    assert slicer.mrmlScene is scene
    if str(module_tree) not in sys.path:
        sys.path.insert(0, str(module_tree))
    from NoduleSynthLib import SampleData as ours

    return ours


def test_both_samples_are_registered_once_slicer_has_started(sample_data):
    import SampleData

    SampleData.registered.clear()
    sample_data.registerSampleData()
    entries = {entry.sampleName: entry for entry in SampleData.registered}

    assert set(entries) == {"ThoraxPhantom", "CTChest"}
    assert {entry.category for entry in entries.values()} == {"NoduleSynth"}
    chest = entries["CTChest"]
    assert re.fullmatch(r"SHA256:[0-9a-f]{64}", chest.checksums)
    assert chest.uris.startswith("https://github.com/Slicer/SlicerTestingData/releases/download/")
    assert chest.uris.endswith(chest.checksums.removeprefix("SHA256:"))
    assert Path(entries["ThoraxPhantom"].thumbnailFileName).read_bytes().startswith(b"\x89PNG")
    for entry in entries.values():  # what Slicer's own class needs: one of each
        assert isinstance(entry.uris, str)
        assert isinstance(entry.fileNames, str)
        assert isinstance(entry.nodeNames, str)


def test_entries_are_registered_once_however_often_they_are_asked_for(sample_data):
    import SampleData

    SampleData.registered.clear()
    for _ in range(3):
        sample_data.registerSampleData()

    names = [entry.sampleName for entry in SampleData.registered]
    assert names == ["ThoraxPhantom", "CTChest"]


def test_the_entry_of_the_phantom_makes_it(sample_data, monkeypatch):
    """Slicer hands the entry over."""
    import SampleData

    started = []
    monkeypatch.setattr(sample_data, "startPhantom", lambda: started.append(True))
    SampleData.registered.clear()
    sample_data.registerSampleData()
    phantom = SampleData.registered[0]
    phantom.customDownloader(phantom)

    assert started == [True]


def test_the_phantom_is_made_beside_slicer_and_shown(
    sample_data, scene, wait_until, loop_watch, monkeypatch
):
    import slicer

    program = sample_data._PROGRAM
    small = program.replace("thorax_phantom()", f"thorax_phantom(4, **{SMALL!r})")
    assert small != program
    monkeypatch.setattr(sample_data, "_PROGRAM", small)
    done, failed = [], []
    with loop_watch() as watch:
        sample_data.startPhantom(done.append, failed.append)
        wait_until(lambda: done or failed, 60)

    assert failed == []
    assert watch.longest_gap_s < 0.2
    (node,) = done
    expected = thorax_phantom(4, **SMALL)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), expected.voxels)
    from lungsynth_slicer.volumes import volumeFromNode

    np.testing.assert_allclose(volumeFromNode(node).ijk_to_ras, expected.ijk_to_ras)
    display = node.GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel()) == (1500, -600)
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1
    assert sample_data._making == []


def test_a_phantom_that_cannot_be_made_is_said(sample_data, wait_until, monkeypatch, scene):
    monkeypatch.setattr(sample_data, "_PROGRAM", "import sys; sys.exit('no room for it')")
    failed = []
    sample_data.startPhantom(onError=failed.append)
    wait_until(lambda: failed, 60)

    assert failed == ["making the phantom ended with 1: no room for it"]
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0


def test_the_five_lines_of_the_documentation_do_what_they_say(
    sample_data, scene, tmp_path, monkeypatch
):
    """As they stand there, but for the place (the phantom is another patient) and the network."""
    import slicer

    text = (PROJECT / "Resources" / "Docs" / "console.md").read_text(encoding="utf-8")
    lines = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    assert len([line for line in lines.splitlines() if line]) == 1 + 5  # the import, then five
    lines = lines.replace("(-62, 18, -140)", "(75.0, 20.0, -20.0)")
    lines = lines.replace("insertNow(ct, seeds)", 'insertNow(ct, seeds, synthesizer="procedural")')
    phantom = thorax_phantom(**SMALL)
    slicer.util.addVolumeFromArray(phantom.voxels, phantom.ijk_to_ras, "CTChest")
    monkeypatch.chdir(tmp_path)
    names = {"slicer": slicer}
    exec(lines, names)
    names["logic"].cleanup()

    assert sample_data is not None
    assert scene is slicer.mrmlScene
    assert (tmp_path / "out.nrrd").stat().st_size > 100_000
    assert (tmp_path / "out.seg.nrrd").is_file()
    (nodule,) = names["result"].insertions
    assert nodule.spec.attenuation == "part-solid"
    assert nodule.within_tolerance


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_of_the_documents_lead_somewhere(document):
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        linked = (document.parent / path).resolve() if path else document
        assert linked.exists(), f"{document.name}: {target}"
        if anchor:
            heads = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads}
            assert anchor in anchors, f"{document.name}: {target}"


def test_the_readme_holds_what_the_extensions_index_asks_for():
    text = (PROJECT / "README.md").read_text(encoding="utf-8")

    assert text.startswith("# NoduleSynth\n")
    assert "](Resources/Pictures/before-after.jpg)" in text
    for words in ("## Module", "## Tutorial", "Cite", "Apache License 2.0", "patents", "Windows"):
        assert words in text, words
    assert "sends nothing anywhere" in text
