"""The panel: it opens, fits, is labelled, and its buttons say what is missing."""

import pytest


def visible_widgets(widget):
    import qt

    return [w for w in widget.findChildren(qt.QWidget) if w.isVisibleTo(widget) and w.objectName]


def cut_off(widget):
    """Return how much room the text of a label or button lacks; empty if none."""
    import qt

    width, height = widget.sizeHint().width(), widget.sizeHint().height()
    if isinstance(widget, qt.QLabel) and widget.wordWrap:
        width, height = 0, widget.heightForWidth(widget.width)
    if widget.width >= width and widget.height >= height:
        return ""
    return f"{widget.width} x {widget.height} of {width} x {height}"


def test_empty_scene_says_what_is_missing(open_module, slicer_app):
    panel = open_module("NoduleSynth")
    slicer_app.processEvents()

    assert not panel.ui.insertButton.enabled
    assert panel.ui.insertButton.toolTip == "Choose a CT volume first."
    assert panel.ui.proposeButton.toolTip == "Choose a CT volume first."
    assert panel.ui.undoButton.toolTip == "Nothing to undo."
    assert panel.ui.inputInfoLabel.text == "Choose a chest CT or a chest radiograph."


def test_first_volume_is_chosen_and_seeds_are_asked_for(panel, ct):
    assert panel.p.inputVolume is ct
    assert panel.ui.inputSelector.currentNode() is ct
    assert panel.ui.inputInfoLabel.text == "160 x 128 x 64 voxels of 1.90 x 2.10 x 4.40 mm"
    assert panel.ui.insertButton.toolTip == "Place a seed first."


def test_every_node_selector_shows_the_scene(panel, ct, scene):
    """A wire missing in the .ui file leaves a selector empty in Slicer."""
    for name in ("inputSelector", "seedsSelector", "outputSelector"):
        assert getattr(panel.ui, name).mrmlScene() is scene, name
    assert panel.ui.inputSelector.nodeCount() == 1


def test_each_field_of_the_section_nodule_reaches_the_parameter_node(panel):
    panel.ui.diameterSlider.value = 17.5
    panel.ui.attenuationComboBox.setCurrentText("ground-glass")
    panel.ui.malignancyComboBox.setCurrentText("malignant")
    panel.ui.latentSeedSpinBox.value = 99
    panel.ui.proposeSiteComboBox.setCurrentText("juxta-vascular")

    p = panel.p
    assert (p.diameterMm, p.attenuation, p.malignancy, p.latentSeed, p.proposeSite) == (
        17.5,
        "ground-glass",
        "malignant",
        99,
        "juxta-vascular",
    )


def test_malignancy_can_be_chosen_only_where_it_changes_the_nodule(panel, slicer_app):
    assert panel.ui.malignancyComboBox.enabled

    panel.p.synthesizer = "mcgan"
    slicer_app.processEvents()
    panel.refresh()

    assert not panel.ui.malignancyComboBox.enabled
    said = "Not used: mcgan draws benign and malignant nodules alike."
    assert panel.ui.malignancyComboBox.toolTip == said


def test_the_panel_offers_only_synthesizers_that_work_as_installed(panel):
    from lungsynth.core.shipped import shipped_file

    combo = panel.ui.synthesizerComboBox
    names = {combo.itemText(n) for n in range(combo.count)}
    assert {"mcgan", "procedural"} <= names
    assert "copy-paste" not in names
    assert ("class-aware" in names) == (shipped_file("class-aware.safetensors") is not None)


def test_a_seed_is_marked_by_a_cross_that_lets_its_nodule_be_seen(panel, add_seeds, places):
    add_seeds(places[:1])

    assert panel.p.seeds.GetDisplayNode().GetGlyphTypeAsString() == "CrossDot2D"


def test_volume_under_a_transform_is_refused_with_what_to_do(panel, ct, scene, slicer_app):
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Tilt")
    ct.SetAndObserveTransformNodeID(transform.GetID())
    panel.refreshSoon()
    slicer_app.processEvents()

    assert "harden" in panel.ui.insertButton.toolTip
    assert "Tilt" in panel.ui.inputInfoLabel.text


def test_module_names_the_modules_that_it_needs(panel):
    """As Slicer calls them: it loads those first."""
    import slicer

    module = slicer.app.moduleManager().module("NoduleSynth")
    assert module.dependencies == ["Markups", "Segmentations"]
    assert module.title == "NoduleSynth"
    assert panel.moduleName == module.name


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 420])
def test_nothing_is_cut_off(panel, add_seeds, places, slicer_app, palette, width, colours):
    import qt

    palette(colours)
    add_seeds(places[:3])
    add_seeds([(900.0, 20.0, 0.0), tuple(x + 5 for x in places[0])])
    slicer_app.processEvents()
    for button in panel.parent.findChildren(qt.QAbstractButton):
        if hasattr(button, "collapsed"):
            button.collapsed = False
    panel.parent.resize(width, 1600)
    slicer_app.processEvents()

    assert panel.parent.width == width, "the panel wants to be wider"
    for widget in visible_widgets(panel.parent):
        right = widget.mapTo(panel.parent, qt.QPoint(widget.width, 0)).x()
        assert right <= width, f"{widget.objectName} ends at {right}"
        assert not widget.styleSheet, f"{widget.objectName} has colours of its own"
        if hasattr(widget, "collapsed"):  # a section: as high as what is in it
            continue
        if isinstance(widget, (qt.QAbstractButton, qt.QLabel)) and getattr(widget, "text", ""):
            assert cut_off(widget) == "", f"{widget.objectName}: '{widget.text}'"


def test_every_control_is_labelled_and_explained(panel):
    import qt

    kinds = (
        qt.QPushButton,
        qt.QComboBox,
        qt.QSpinBox,
        qt.QSlider,
        qt.QCheckBox,
        qt.QTableWidget,
    )
    names = [n for n in vars(panel.ui) if isinstance(getattr(panel.ui, n), kinds)]
    names += [n for n in vars(panel.ui) if n.endswith(("Selector", "Path", "PathLineEdit"))]
    names.append("diameterSlider")
    buddies = {
        label.buddy().objectName
        for label in panel.parent.findChildren(qt.QLabel)
        if label.buddy() is not None
    }
    assert len(names) > 30
    for name in names:
        widget = getattr(panel.ui, name)
        assert widget.toolTip, f"{name} has no tooltip"
        own = getattr(widget, "text", "") if not isinstance(widget, qt.QSpinBox) else ""
        assert own or widget.accessibleName or name in buddies, f"{name} has no label"


def test_tab_goes_through_the_sections_from_top_to_bottom(panel):
    import xml.etree.ElementTree as ET

    root = ET.parse(panel.resourcePath("UI/NoduleSynth.ui")).getroot()
    stops = [stop.text for stop in root.iter("tabstop")]
    order = [w.get("name") for w in root.iter("widget") if w.get("name") in stops]

    assert len(stops) == len(set(stops))
    assert stops == order, "the tab order leaves the order on the screen"
    assert set(stops) <= set(vars(panel.ui))


def test_weights_are_taken_once_their_path_is_whole(panel, add_seeds, places, slicer_app, tmp_path):
    """A path comes letter by letter; each that is taken would load the synthesizer anew."""
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(b"weights")
    add_seeds(places[:1])
    taken = []
    tag = panel.p.parameterNode.AddObserver(
        "ModifiedEvent", lambda *_: taken.append(panel.p.weights)
    )
    field = panel.ui.weightsPathLineEdit
    whole = str(weights)
    for end in range(len(str(tmp_path)), len(whole)):
        field.currentPath = whole[:end]
        slicer_app.processEvents()
        assert not panel.ui.insertButton.enabled
        assert f"no file '{whole[:end]}'" in panel.ui.insertButton.toolTip
    assert taken == []

    field.currentPath = whole
    slicer_app.processEvents()
    assert set(taken) == {whole}
    assert panel.ui.insertButton.enabled
    field.currentPath = whole + "x"
    field.currentPath = ""
    slicer_app.processEvents()
    panel.p.parameterNode.RemoveObserver(tag)
    assert panel.p.weights == ""
    assert panel.ui.insertButton.enabled


def test_weights_of_a_loaded_scene_are_shown_though_their_file_is_elsewhere(panel, slicer_app):
    p = panel.p
    p.weights = "/on/another/machine.safetensors"
    panel.setParameterNode(None)
    panel.setParameterNode(p)
    slicer_app.processEvents()

    assert panel.ui.weightsPathLineEdit.currentPath == "/on/another/machine.safetensors"
    assert p.weights == "/on/another/machine.safetensors"
    assert "no file" not in panel.ui.insertButton.toolTip
