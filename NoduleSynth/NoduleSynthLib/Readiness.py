"""What can be done with the scene as it is; what can't says why."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from lungsynth.core.radiograph import Photometric
from lungsynth.synthesizers import KNOW_MALIGNANCY
from lungsynth_slicer.radiographs import isRadiograph, photometricOf, spacingOf
from lungsynth_slicer.seeds import SeedPoint
from NoduleSynthLib.Logic import NoduleSynthLogic
from NoduleSynthLib.Outputs import isOutputOf
from NoduleSynthLib.ParameterNode import NoduleSynthParameterNode
from NoduleSynthLib.SeedsPanel import SeedsPanel

MOST_WARNINGS = 3


def missingToInsert(
    p: NoduleSynthParameterNode,
    problem: str,
    points: list[SeedPoint],
    problems: dict[str, str],
) -> str:
    """Return what keeps Insert from working, as a sentence; empty if nothing does.

    Args:
        p: The settings.
        problem: What is wrong with the volume.
        points: All seeds.
        problems: What is wrong with which seed.
    """
    if p.inputVolume is None:
        return _("Choose a CT volume first.")
    if problem:
        return problem
    if p.outputVolume is not None and not isOutputOf(p.outputVolume, p.inputVolume):
        return _("The output was not made from this volume; choose None to make a new one.")
    if not points:
        return _("Place a seed first.")
    if not any(point.state == "new" for point in points):
        return _("All seeds are in the output already; place another.")
    return next(iter(problems.values()), "")


def showWarnings(
    ui: Any,  # noqa: ANN401 - a namespace of widgets
    points: list[SeedPoint],
    problems: dict[str, str],
    notes: dict[str, str],
) -> None:
    """List the seeds that cannot work, then those that are likely not where they are meant."""
    lines = [said[point.id] for said in (problems, notes) for point in points if point.id in said]
    if len(lines) > MOST_WARNINGS:
        more = _("... and {count} more").format(count=len(lines) - MOST_WARNINGS)
        lines = [*lines[:MOST_WARNINGS], more]
    ui.seedsWarningLabel.text = "\n".join(lines)
    ui.seedsWarningLabel.setVisible(bool(lines))


def showVolume(
    ui: Any,  # noqa: ANN401
    node: slicer.vtkMRMLScalarVolumeNode | None,
    problem: str,
) -> None:
    """Say what the chosen volume is, or what is wrong with it."""
    ui.inputInfoLabel.text = problem or _inWords(node)
    ui.inputInfoLabel.setVisible(True)


def showKind(
    ui: Any,  # noqa: ANN401
    node: slicer.vtkMRMLScalarVolumeNode | None,
) -> None:
    """Show the controls that apply to the chosen volume, and hide the others."""
    inRadiograph = isRadiograph(node)
    inPixels = inRadiograph and spacingOf(node) is None
    onlyCt = ("diameterSlider", "attenuationComboBox", "malignancyComboBox")
    shown = dict.fromkeys((*onlyCt, "synthesizerComboBox", "weightsPathLineEdit"), not inRadiograph)
    shown |= {
        "cxrDiameterSlider": inRadiograph and not inPixels,
        "cxrDiameterPxSlider": inPixels,
        "contrastSlider": inRadiograph,
        "cxrSynthesizerComboBox": inRadiograph,
    }
    for name, isShown in shown.items():
        getattr(ui, name).setVisible(isShown)
        getattr(ui, f"{name}Label").setVisible(isShown)
    ui.proposeSiteComboBox.setVisible(not inRadiograph)
    ui.behindHeartCheckBox.setVisible(inRadiograph)
    ui.invertedCheckBox.setVisible(inRadiograph)
    if inRadiograph:
        ui.invertedCheckBox.checked = photometricOf(node) is Photometric.MONOCHROME1


def showMalignancy(
    ui: Any,  # noqa: ANN401
    synthesizer: str,
) -> None:
    """Let the malignancy be chosen only where it changes the nodule."""
    knows = synthesizer in KNOW_MALIGNANCY
    ui.malignancyComboBox.enabled = knows
    ui.malignancyComboBox.toolTip = (
        _("What a reader would call the nodule; 'any' leaves it open.")
        if knows
        else _("Not used: {name} draws benign and malignant nodules alike.").format(
            name=synthesizer
        )
    )


def checkButtons(
    ui: Any,  # noqa: ANN401
    logic: NoduleSynthLogic,
    seedsPanel: SeedsPanel,
    noVolume: str,
) -> None:
    """Enable the buttons of the sections Seeds and Advanced.

    Args:
        ui: The widgets.
        logic: Whether it is busy.
        seedsPanel: What is selected, placed and looked for.
        noVolume: Why there is no volume to work on; empty if there is one.
    """
    busy = _("An insertion is running.") if logic.running else ""
    searching = _("Looking for places.") if seedsPanel.proposing else ""
    noSeed = (
        ""
        if seedsPanel.selected()
        else _("Select a seed that is not inserted yet; Undo takes the last inserted one out.")
    )
    noWorker = "" if logic.session.worker.running else _("Nothing is loaded.")
    clickTip = _(
        "Click in a slice view for each nodule. Press again, or right-click in the view, to stop."
    )
    releaseTip = _(
        "End the process that holds the volume and the network; it starts again when it is needed."
    )
    for button, why, tip in (
        (ui.placeButton, noVolume or busy, clickTip),
        (ui.proposeButton, noVolume or busy or searching, _("Add seeds in the lungs.")),
        (ui.removeSeedButton, busy or noSeed, _("Remove the selected seed.")),
        (ui.releaseButton, busy or noWorker, releaseTip),
    ):
        button.enabled = not why
        button.toolTip = why or tip
    if ui.placeButton.checked != seedsPanel.placing():
        ui.placeButton.checked = seedsPanel.placing()
    if logic.session.device:
        ui.deviceLabel.text = logic.session.device


def _inWords(node: slicer.vtkMRMLScalarVolumeNode | None) -> str:
    """Return size and spacing of a volume."""
    if node is None:
        return _("Choose a chest CT or a chest radiograph.")
    if isRadiograph(node):
        columns, rows = node.GetImageData().GetDimensions()[:2]
        spacing = spacingOf(node)
        if spacing is None:
            said = _("Radiograph of {columns} x {rows} pixels; their size is not known")
            return said.format(columns=columns, rows=rows)
        said = _("Radiograph of {columns} x {rows} pixels of {column:.3f} x {row:.3f} mm")
        return said.format(columns=columns, rows=rows, column=spacing[1], row=spacing[0])
    size = " x ".join(str(n) for n in node.GetImageData().GetDimensions())
    spacing = " x ".join(f"{x:.2f}" for x in node.GetSpacing())
    return _("{size} voxels of {spacing} mm").format(size=size, spacing=spacing)
