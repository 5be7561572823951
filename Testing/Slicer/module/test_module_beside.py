"""NoduleSynth beside another module in one scene: each keeps to its own nodes."""

from pathlib import Path

import pytest

SAMPLE = Path(__file__).resolve().parents[1] / "sample"


@pytest.fixture
def other(panel, open_module, ct, scene):
    """Return another module's panel, open beside NoduleSynth's, with nodes of its own."""
    widget = open_module("HarnessSample", SAMPLE)
    markers = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "markers")
    markers.AddControlPoint(1.0, -2.0, 3.5)
    widget.parameters.inputVolume = ct
    widget.parameters.seeds = markers
    widget.parameters.diameterMm = 17.5
    assert widget.parameters.parameterNode.GetID() != panel.p.parameterNode.GetID()
    return widget


def state(parameters):
    """Return all that a parameter node holds."""
    node = parameters.parameterNode
    roles = [node.GetNthNodeReferenceRole(n) for n in range(node.GetNumberOfNodeReferenceRoles())]
    return (
        {name: node.GetParameter(name) for name in node.GetParameterNames()},
        {role: node.GetNodeReferenceID(role) for role in roles},
    )


def test_insert_and_undo_leave_the_other_modules_nodes_untouched(
    panel, other, add_seeds, insert, places, slicer_app
):
    changed = []
    node = other.parameters.parameterNode
    tag = node.AddObserver("ModifiedEvent", lambda *_: changed.append("parameters"))
    before, markers = state(other.parameters), other.parameters.seeds
    was = markers.GetMTime()

    add_seeds(places[1:3])
    assert "2 nodules inserted" in insert()
    panel.ui.undoButton.click()
    slicer_app.processEvents()
    panel.ui.redoButton.click()
    slicer_app.processEvents()

    node.RemoveObserver(tag)
    assert state(other.parameters) == before
    assert changed == []
    assert markers.GetMTime() == was
    assert panel.p.seeds is not markers
    assert other.ui.diameterSlider.value == 17.5


def test_settings_of_the_other_module_leave_ours_untouched(
    panel, other, add_seeds, insert, places, slicer_app
):
    """Both have a diameterMm, an inputVolume and seeds."""
    add_seeds(places[1:3])
    insert()
    before, output = state(panel.p), panel.p.outputVolume

    other.ui.diameterSlider.value = 21.0
    other.parameters.inputVolume = output
    other.parameters.seeds = None
    slicer_app.processEvents()

    assert state(panel.p) == before
    assert panel.ui.undoButton.enabled


def test_a_list_of_the_other_module_is_not_taken_for_ours(panel, other, slicer_app):
    panel.refresh()
    slicer_app.processEvents()

    assert panel.p.seeds is None
    assert panel.ui.seedsTable.rowCount == 0


def test_scene_is_closed_with_both_open(
    panel, other, add_seeds, insert, places, scene, slicer_app, slot_errors, phantom, wait_until
):
    add_seeds(places[1:3])
    insert()
    add_seeds(places[4:9])
    panel.ui.insertButton.click()
    scene.Clear(0)
    slicer_app.processEvents()

    assert slot_errors == []
    assert not panel.logic.running
    assert panel.p.inputVolume is None
    assert other.ui.inputSelector.currentNode() is None

    import slicer

    ct = slicer.util.addVolumeFromArray(phantom.voxels.copy(), phantom.ijk_to_ras, "Next")
    panel.p.inputVolume = ct
    panel.p.synthesizer = "procedural"
    add_seeds(places[:1])
    assert "1 nodule inserted" in insert()
