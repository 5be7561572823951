"""The harness opens a module, binds its panel, and lets no mistake pass in silence."""

import os
import subprocess
import sys
import typing
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SAMPLE = HERE / "sample"


@pytest.fixture
def panel(open_module):
    return open_module("HarnessSample", SAMPLE)


def test_panel_shows_the_defaults_of_its_parameters(panel):
    ui = panel.ui
    shown = [ui.diameterSlider.value, ui.countBox.value, ui.kindBox.currentText]

    assert shown == [11.5, 3, "part-solid"]
    assert ui.liveBox.checked
    assert ui.labelEdit.text == "N"
    assert [ui.diameterSlider.minimum, ui.diameterSlider.maximum] == [4, 30]
    assert ui.countBox.maximum == 9


def test_widgets_change_parameters_and_parameters_change_widgets(panel):
    panel.ui.diameterSlider.value = 17.5
    panel.ui.kindBox.currentIndex = 0
    panel.ui.liveBox.checked = False
    panel.parameters.count = 7
    panel.parameters.label = "nodule"

    assert panel.parameters.diameterMm == 17.5
    assert panel.parameters.kind == "solid"
    assert panel.parameters.live is False
    assert panel.ui.countBox.value == 7
    assert panel.ui.labelEdit.text == "nodule"


def test_parameters_refuse_what_their_annotations_exclude(panel):
    with pytest.raises(ValueError, match="within range"):
        panel.parameters.diameterMm = 31.0
    with pytest.raises(ValueError, match="must be in one of"):
        panel.parameters.kind = "ground"
    with pytest.raises(TypeError, match="must be of type"):
        panel.parameters.count = 2.5


def test_an_optional_node_is_kept_as_slicer_keeps_it(scene):
    """Under "seeds.0" for a node and "seeds.1" for None, as its UnionSerializer does."""
    import slicer

    @slicer.parameterNodeWrapper.parameterNodeWrapper
    class Parameters:
        seeds: typing.Optional[slicer.vtkMRMLMarkupsFiducialNode]  # noqa: UP045 - all it knows

    node = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    seeds = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    parameters = Parameters(node)
    assert parameters.seeds is None
    assert node.GetParameter("seeds.1") == "True"

    parameters.seeds = seeds
    assert parameters.seeds is seeds
    assert node.GetNodeReferenceID("seeds.0") == seeds.GetID()
    assert not node.HasParameter("seeds.1")
    parameters.seeds = None
    assert Parameters(node).seeds is None


def test_types_that_slicer_cannot_keep_are_refused(scene):
    import slicer

    wrap = slicer.parameterNodeWrapper.parameterNodeWrapper
    for kind in (slicer.vtkMRMLTextNode | None, complex):
        cls = type("Parameters", (), {"__annotations__": {"value": kind}})
        with pytest.raises(NotImplementedError, match="Parameters"):
            wrap(cls)


def test_slicers_own_python_files_are_taken_where_they_exist(tmp_path):
    """In a process of its own, as the files are imported once."""
    (tmp_path / "slicer").mkdir()
    (tmp_path / "slicer" / "i18n.py").write_text("def tr(text):\n    return 'own ' + text\n")
    (tmp_path / "test_inner.py").write_text(
        "def test_own(slicer_app):\n"
        "    import slicer\n"
        "    assert slicer.i18n.tr('text') == 'own text'\n"
        "    assert 'slicer_python' in slicer.packaging.__file__\n"
    )

    run = run_pytest(tmp_path, SLICER_PYTHON_DIR=str(tmp_path))

    assert run.returncode == 0, run.stdout


def test_a_combo_wired_to_the_scene_lists_its_nodes_and_keeps_the_choice(panel, oblique_volume):
    import slicer

    first, second = oblique_volume(name="first"), oblique_volume(name="second")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", "not a volume")
    selector = panel.ui.inputSelector

    assert selector.nodeCount() == 2
    assert selector.currentNode() is None
    selector.setCurrentNode(second)
    assert panel.parameters.inputVolume is second
    slicer.mrmlScene.RemoveNode(second)
    assert selector.currentNode() is None
    assert panel.parameters.inputVolume is None
    panel.parameters.inputVolume = first
    assert selector.currentNodeID == first.GetID()


def test_a_combo_follows_names_and_hides_what_is_hidden(panel, oblique_volume):
    volume = oblique_volume(name="first")
    selector = panel.ui.inputSelector
    selector.setCurrentNode(volume)
    changes = []
    selector.currentNodeChanged.connect(changes.append)

    volume.SetName("second")
    volume.Modified()
    assert selector._combo.currentText == "second"
    assert changes == []
    volume.SetHideFromEditors(1)
    volume.Modified()
    assert selector.nodeCount() == 0
    assert changes == [None]


def test_a_combo_makes_a_node_of_its_type(panel):
    selector = panel.ui.inputSelector
    selector.baseName = "Output"

    node = selector.addNode()

    assert node.GetClassName() == "vtkMRMLScalarVolumeNode"
    assert node.GetName().startswith("Output")
    assert panel.parameters.inputVolume is node


def test_a_combo_without_none_selects_the_first_node(panel, oblique_volume):
    import slicer

    selector = panel.ui.unwiredSelector
    first = oblique_volume(name="first")
    oblique_volume(name="second")
    selector.setMRMLScene(slicer.mrmlScene)
    assert selector.currentNode() is first


def test_a_collapsed_section_hides_its_contents_and_no_more(panel):
    section, combo = panel.ui.inputsButton, panel.ui.inputSelector
    panel.ui.countBox.visible = False

    section.collapsed = True
    assert not combo.visible
    assert not section.checked
    section.collapsed = False
    assert combo.visible
    assert not panel.ui.countBox.visible


def test_a_combo_without_a_wire_in_the_file_has_no_scene(panel, oblique_volume):
    oblique_volume()

    assert panel.ui.inputSelector.mrmlScene() is not None
    assert panel.ui.unwiredSelector.mrmlScene() is None
    assert panel.ui.unwiredSelector.nodeCount() == 0


def test_a_wire_between_qt_widgets_carries(panel):
    bar = panel.ui.progressBar
    panel.ui.liveBox.checked = False
    assert bar.isHidden()
    panel.ui.liveBox.checked = True
    assert not bar.isHidden()


def test_a_typo_on_a_widget_raises(panel):
    with pytest.raises(AttributeError, match="txet"):
        panel.ui.applyButton.txet = "Apply"
    with pytest.raises(AttributeError, match="noneEnable"):
        panel.ui.inputSelector.noneEnable = True
    with pytest.raises(AttributeError):
        _ = panel.ui.progressBar.valeu
    with pytest.raises(AttributeError, match="setText"):
        panel.ui.applyButton.setText = "Apply"


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ('name="addEnabled"', 'name="adEnabled"', "no property 'adEnabled'"),
        ("<class>ctkSliderWidget<", "<class>ctkSliderWidgett<", "no widget class ctkSliderWidgett"),
        ("<receiver>placeWidget<", "<receiver>placeWidgets<", "names 'placeWidgets'"),
        ("toggled(bool)", "togled(bool)", "wire that does not exist"),
        ("setVisible(bool)", "setVisible(int)", "wire that does not exist"),
    ],
)
def test_a_mistake_in_a_ui_file_raises(slicer_app, tmp_path, good, bad, message):
    import slicer

    text = (SAMPLE / "Resources" / "UI" / "HarnessSample.ui").read_text()
    assert good in text
    path = tmp_path / "bad.ui"
    path.write_text(text.replace(good, bad))

    with pytest.raises(RuntimeError, match=message):
        slicer.util.loadUI(str(path))


def test_an_error_in_a_slot_is_kept_for_the_test(panel, slot_errors):
    panel.ui.applyButton.click()

    assert [(kind, str(value)) for kind, value in slot_errors] == [(ValueError, "no volume")]
    slot_errors.clear()


def test_a_closed_module_leaves_no_widget_behind(open_module, slicer_app):
    import harness_modules
    import slicer

    widget = open_module("HarnessSample", SAMPLE)
    assert slicer.modules.HarnessSampleWidget is widget
    assert slicer.util.modulePath("HarnessSample") == str(SAMPLE / "HarnessSample.py")
    assert harness_modules.ScriptedModule is slicer.qSlicerScriptedLoadableModule


INNER = """
import pytest

def test_slot(scene):
    import qt
    button = qt.QPushButton()
    button.clicked.connect(lambda: 1 / 0)
    button.click()

def test_observer(scene):
    node = scene.AddNewNodeByClass("vtkMRMLTextNode")
    tag = node.AddObserver("ModifiedEvent", lambda caller, event: [][1])
    node.Modified()
    node.RemoveObserver(tag)

def test_left_on_scene(scene):
    import slicer
    scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, lambda caller, event: None)

def test_mixin(scene):
    import slicer
    global keep
    keep = slicer.util.VTKObservationMixin()
    node = scene.AddNewNodeByClass("vtkMRMLTextNode")
    keep.addObserver(node, "ModifiedEvent", print)

def test_dialog(scene, dialogs):
    import slicer
    slicer.util.errorDisplay("nobody answers")

def test_clean(scene):
    pass
"""


def run_pytest(folder, **environment):
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", "-rA"]
    return subprocess.run(
        [*command, f"--rootdir={folder}", str(folder)],
        env={**os.environ, "PYTHONPATH": str(HERE), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_what_a_test_leaves_behind_fails_it(tmp_path):
    """In a process of its own, as these tests must fail."""
    (tmp_path / "test_inner.py").write_text(INNER)

    run = run_pytest(tmp_path)

    summary = run.stdout[run.stdout.index("short test summary") :]
    lines = [line for line in summary.splitlines() if line.startswith(("ERROR", "FAILED"))]
    failed = {line.split("::")[1].split(" ")[0] for line in lines}
    assert failed == {
        "test_slot",
        "test_observer",
        "test_left_on_scene",
        "test_mixin",
        "test_dialog",
    }
    for reason in (
        "{'errors in slots or observers': ['ZeroDivisionError",
        "{'errors in slots or observers': ['IndexError",
        "{'observers left on the scene': [('NodeAddedEvent'",
        "{'observers never removed': [('vtkMRMLTextNode', 'ModifiedEvent'",
        "no answer for it: nobody answers",
    ):
        assert reason in run.stdout
