"""Stand-ins of Slicer's widgets (``slicer.qMRML*``, ``slicer.qSlicer*``) over the real scene."""

from __future__ import annotations

import weakref
from enum import IntEnum

import ctk
import qt
import slicer
import vtk
from harness_ui import register
from PySide6.QtCore import Property, QEnum, Signal

held = ctk.held


class Watching:
    """Observes VTK objects without keeping itself alive, and lets go of them at once.

    Slicer's widgets do so through qvtkReconnect.
    """

    def watch(self, key, obj, events, method):
        """Observe ``obj`` instead of what was observed under ``key``; None only stops."""
        watched = self.__dict__.setdefault("_watched", {})
        old, tags = watched.pop(key, (None, ()))
        for tag in tags:
            old.RemoveObserver(tag)
        if obj is None:
            return
        weak = weakref.WeakMethod(method)

        def call(caller, event):
            if (function := weak()) is not None:
                function(caller, event)

        watched[key] = (obj, [obj.AddObserver(event, call) for event in events])

    def watchNothing(self):
        """Let go of everything."""
        for key in list(self.__dict__.get("_watched", {})):
            self.watch(key, None, (), None)


class SceneWidget(Watching):
    """What all MRML widgets share: a scene, given by the wire in the .ui file."""

    _scene = None

    def mrmlScene(self):
        """Return the scene, None until a wire or a call has given one."""
        return self._scene

    def setMRMLScene(self, scene):
        """Take a scene."""
        self._scene = scene


@register
class qMRMLWidget(SceneWidget, qt.QWidget):
    """Root of a module's panel: passes its scene on through ``mrmlSceneChanged``."""

    isStandIn = True
    mrmlSceneChanged = Signal(object)

    def setMRMLScene(self, scene):
        """Take a scene and tell the widgets wired to this one."""
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


@register
class qSlicerWidget(qMRMLWidget):
    """As qMRMLWidget."""

    isStandIn = True


@register
class qMRMLCollapsibleButton(ctk.ctkCollapsibleButton):
    """A collapsible button that passes the scene on."""

    isStandIn = True
    mrmlSceneChanged = Signal(object)

    def setMRMLScene(self, scene):
        """Pass the scene on."""
        self.mrmlSceneChanged.emit(scene)


@register
class qMRMLNodeComboBox(SceneWidget, qt.QWidget):
    """Lists the nodes of the scene that are of its types; disabled without a scene."""

    isStandIn = True
    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    nodeAdded = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeAddedByUserAction = Signal(object)
    nodeAboutToBeRemoved = Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._combo = qt.QComboBox(self)
        layout.addWidget(self._combo)
        self._types = []
        self._attributes = {}
        self._nodes = []
        self._current = None
        self._updating = False
        self._scene_enabled = True
        self._combo.setEnabled(False)
        self._combo.activated.connect(self._on_activated)

    def setMRMLScene(self, scene):
        """List this scene's nodes; without "None" in the list, the first is selected."""
        if scene is self._scene:
            return
        self._scene = scene
        events = ("NodeAddedEvent", "NodeAboutToBeRemovedEvent", "NodeRemovedEvent")
        names = (*events, "EndCloseEvent", "EndImportEvent", "EndBatchProcessEvent")
        numbers = [getattr(slicer.vtkMRMLScene, name) for name in names] if scene else ()
        self.watch("scene", scene, numbers, self._on_scene)
        self._combo.setEnabled(scene is not None)
        self._fill()

    def _on_scene(self, _scene, _event):
        if not self._scene.IsBatchProcessing():
            before = [id(node) for node in self._nodes]
            self._fill()
            for node in self._nodes:
                if id(node) not in before:
                    self.nodeAdded.emit(node)

    def _on_node(self, node, _event):
        """Follow a change of name or of what is listed; voxels change too often to start anew."""
        index = next((i for i, listed in enumerate(self._nodes) if listed is node), None)
        if index is None:
            return
        row = index + (1 if self._none_enabled else 0)
        if not self._accepts(node) or self._combo.itemText(row) != node.GetName():
            self._fill()

    def _accepts(self, node):
        if node.GetHideFromEditors() and not self._show_hidden:
            return False
        kinds = [k for k in self._types if self._is_kind(node, k)]
        return bool(kinds) and all(
            self._has_attribute(node, name, value)
            for kind in kinds
            for name, value in self._attributes.get(kind, {}).items()
        )

    def _is_kind(self, node, kind):
        if any(node.IsA(hidden) for hidden in self._hide_child_types):
            return False
        return node.IsA(kind) if self._show_child_types else node.GetClassName() == kind

    @staticmethod
    def _has_attribute(node, name, value):
        has = node.GetAttribute(name)
        return has is not None if value is None else has == str(value)

    def _fill(self):
        nodes = []
        if self._scene is not None:
            every = (self._scene.GetNthNode(i) for i in range(self._scene.GetNumberOfNodes()))
            nodes = [node for node in every if self._accepts(node)]
        for node in self._nodes:
            if not any(node is other for other in nodes):
                self.watch(f"node {id(node)}", None, (), None)
        for node in nodes:
            if not any(node is other for other in self._nodes):
                self.watch(f"node {id(node)}", node, ("ModifiedEvent",), self._on_node)
        self._nodes = nodes
        current = self._current if any(self._current is node for node in nodes) else None
        if current is None and not self._none_enabled and nodes:
            current = nodes[0]
        self._show(current)

    def _show(self, node):
        self._combo.blockSignals(True)
        self._combo.clear()
        if self._none_enabled:
            self._combo.addItem(self._none_display)
        for listed in self._nodes:
            self._combo.addItem(listed.GetName())
        offset = 1 if self._none_enabled else 0
        index = next((i for i, n in enumerate(self._nodes) if n is node), None)
        self._combo.setCurrentIndex(offset - 1 if index is None else index + offset)
        self._combo.blockSignals(False)
        if node is not self._current:
            self._current = node
            self.currentNodeChanged.emit(node)
            self.currentNodeIDChanged.emit(node.GetID() if node is not None else "")

    def _on_activated(self, row):
        index = row - (1 if self._none_enabled else 0)
        node = self._nodes[index] if index >= 0 else None
        self._show(node)
        self.nodeActivated.emit(node)

    def currentNode(self):
        """Return the selected node or None."""
        return self._current

    def setCurrentNode(self, node):
        """Select a node that is in the list; anything else selects None."""
        if isinstance(node, str):
            self.setCurrentNodeID(node)
            return
        self._show(node if any(node is listed for listed in self._nodes) else None)

    def setCurrentNodeID(self, node_id):
        """Select by ID."""
        found = self._scene.GetNodeByID(node_id) if self._scene and node_id else None
        self.setCurrentNode(found)

    def setCurrentNodeIndex(self, index):
        """Select by place in the list."""
        self.setCurrentNode(self._nodes[index])

    def nodeCount(self):
        """Return how many nodes are listed."""
        return len(self._nodes)

    def nodeFromIndex(self, index):
        """Return the node at a place in the list."""
        return self._nodes[index]

    def nodes(self):
        """Return the listed nodes."""
        return list(self._nodes)

    def addNode(self, kind=None):
        """Create a node as "Create new ..." does and select it."""
        kind = kind or self._types[0]
        node = self._scene.CreateNodeByClass(kind)
        node.UnRegister(None)
        name = self._base_name or node.GetNodeTagName()
        node.SetName(self._scene.GenerateUniqueName(name))
        for attribute, value in self._attributes.get(kind, {}).items():
            node.SetAttribute(attribute, str(value))
        node = self._scene.AddNode(node)
        if self._select_created:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        self.nodeAddedByUserAction.emit(node)
        return node

    def removeCurrentNode(self):
        """Remove the selected node from the scene."""
        self._scene.RemoveNode(self._current)

    def addAttribute(self, kind, name, value=None):
        """List only nodes of this type that have the attribute."""
        self._attributes.setdefault(kind, {})[name] = value
        self._fill()

    def removeAttribute(self, kind, name):
        """Take a filter away."""
        self._attributes.get(kind, {}).pop(name, None)
        self._fill()

    def setNodeTypes(self, types):
        """Set which classes of nodes are listed."""
        self._types = list(types)
        self._fill()

    nodeTypes = Property("QStringList", lambda self: self._types, setNodeTypes)
    currentNodeID = Property(
        str, lambda self: self._current.GetID() if self._current else "", setCurrentNodeID
    )
    _none_enabled = False
    noneEnabled = held(bool, "_none_enabled", after="_fill")
    _none_display = "None"
    noneDisplay = held(str, "_none_display", after="_fill")
    _show_hidden = False
    showHidden = held(bool, "_show_hidden", after="_fill")
    _show_child_types = True
    showChildNodeTypes = held(bool, "_show_child_types", after="_fill")
    _hide_child_types = ()
    hideChildNodeTypes = held("QStringList", "_hide_child_types", after="_fill")
    _base_name = ""
    baseName = held(str, "_base_name")
    _add_enabled = True
    addEnabled = held(bool, "_add_enabled")
    _remove_enabled = True
    removeEnabled = held(bool, "_remove_enabled")
    _edit_enabled = False
    editEnabled = held(bool, "_edit_enabled")
    _rename_enabled = False
    renameEnabled = held(bool, "_rename_enabled")
    _select_created = True
    selectNodeUponCreation = held(bool, "_select_created")
    _interaction_tag = ""
    interactionNodeSingletonTag = held(str, "_interaction_tag")


@register
class qSlicerMarkupsPlaceWidget(SceneWidget, qt.QWidget):
    """The place button: makes a fiducial list active and puts the views into place mode."""

    class PlaceMultipleMarkupsType(IntEnum):
        """What the menu of the place button offers."""

        ShowPlaceMultipleMarkupsOption = 0
        HidePlaceMultipleMarkupsOption = 1
        ForcePlaceSingleMarkup = 2
        ForcePlaceMultipleMarkups = 3

    isStandIn = True
    QEnum(PlaceMultipleMarkupsType)
    ShowPlaceMultipleMarkupsOption = PlaceMultipleMarkupsType.ShowPlaceMultipleMarkupsOption
    HidePlaceMultipleMarkupsOption = PlaceMultipleMarkupsType.HidePlaceMultipleMarkupsOption
    ForcePlaceSingleMarkup = PlaceMultipleMarkupsType.ForcePlaceSingleMarkup
    ForcePlaceMultipleMarkups = PlaceMultipleMarkupsType.ForcePlaceMultipleMarkups
    activeMarkupsPlaceModeChanged = Signal(bool)
    activeMarkupsFiducialPlaceModeChanged = Signal(bool)

    def __init__(self, parent=None):
        super().__init__(parent)
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._place = qt.QToolButton(self)
        self._place.setObjectName("PlaceButton")
        self._place.setCheckable(True)
        self._place.setText("Place")
        self._delete = qt.QToolButton(self)
        self._delete.setObjectName("DeleteButton")
        self._delete.setText("Delete")
        layout.addWidget(self._place)
        layout.addWidget(self._delete)
        self._node = None
        self._interaction = None
        self._signalled = False
        self._multiple = self.PlaceMultipleMarkupsType.ShowPlaceMultipleMarkupsOption
        self._place.toggled.connect(self.setPlaceModeEnabled)
        self._delete.clicked.connect(self.deleteLastPoint)
        self._update()

    def setMRMLScene(self, scene):
        """Take a scene, and its interaction and selection nodes."""
        self._scene = scene
        by_id = scene.GetNodeByID if scene is not None else lambda _: None
        self._interaction = by_id("vtkMRMLInteractionNodeSingleton")
        selection = by_id("vtkMRMLSelectionNodeSingleton")
        self.watch("interaction", self._interaction, ("ModifiedEvent",), self._update)
        self.watch("selection", selection, ("ModifiedEvent",), self._update)
        self._update()

    def setCurrentNode(self, node):
        """Set the markups node to place points into."""
        self._node = node if node is not None and node.IsA("vtkMRMLMarkupsNode") else None
        events = (vtk.vtkCommand.ModifiedEvent,)
        if self._node is not None:
            kinds = slicer.vtkMRMLMarkupsNode
            events += (kinds.PointAddedEvent, kinds.PointRemovedEvent)
        self.watch("node", self._node, events, self._update)
        self._update()

    def currentNode(self):
        """Return the markups node."""
        return self._node

    currentMarkupsNode = currentNode
    currentMarkupsFiducialNode = currentNode

    def interactionNode(self):
        """Return the interaction node."""
        return self._interaction

    def placeButton(self):
        """Return the place button."""
        return self._place

    def deleteButton(self):
        """Return the delete button."""
        return self._delete

    def _logic(self):
        return slicer.app.applicationLogic().GetModuleLogic("Markups")

    def _is_active(self):
        if self._node is None or self._interaction is None:
            return False
        return self._logic().GetActiveListID() == self._node.GetID()

    def setCurrentNodeActive(self, active):
        """Make the node the one that place mode adds to."""
        if active != self._is_active() and self._interaction is not None:
            self._logic().SetActiveListID(self._node if active else None)

    def _in_place_mode(self):
        place = slicer.vtkMRMLInteractionNode.Place
        return self._is_active() and self._interaction.GetCurrentInteractionMode() == place

    def setPlaceModeEnabled(self, enabled):
        """Switch the views into place mode or out of it."""
        if self._node is None or self._interaction is None:
            return
        if enabled:
            self.setCurrentNodeActive(True)
            if self._multiple == self.ForcePlaceSingleMarkup:
                self._interaction.SetPlaceModePersistence(0)
            elif self._multiple == self.ForcePlaceMultipleMarkups:
                self._interaction.SetPlaceModePersistence(1)
        modes = slicer.vtkMRMLInteractionNode
        mode = modes.Place if enabled else modes.ViewTransform
        self._interaction.SetCurrentInteractionMode(mode)

    def setPlaceMultipleMarkups(self, option):
        """Choose whether place mode ends after one point."""
        self._multiple = self.PlaceMultipleMarkupsType(option)

    def setPlaceModePersistency(self, persistent):
        """Keep place mode after a point, or leave it."""
        self._interaction.SetPlaceModePersistence(int(persistent))

    def deleteLastPoint(self):
        """Remove the last point."""
        if self._node is not None and self._node.GetNumberOfControlPoints():
            self._node.RemoveNthControlPoint(self._node.GetNumberOfControlPoints() - 1)

    def deleteAllPoints(self):
        """Remove every point."""
        if self._node is not None:
            self._node.RemoveAllControlPoints()

    def _update(self, _caller=None, _event=None):
        usable = self._node is not None and self._interaction is not None
        self._place.setEnabled(usable)
        self._delete.setEnabled(usable and self._node.GetNumberOfControlPoints() > 0)
        placing = usable and self._in_place_mode()
        self._place.blockSignals(True)
        self._place.setChecked(placing)
        self._place.blockSignals(False)
        if placing != self._signalled:
            self._signalled = placing
            self.activeMarkupsFiducialPlaceModeChanged.emit(placing)
            self.activeMarkupsPlaceModeChanged.emit(placing)

    def setButtonsVisible(self, visible):
        """Show or hide both buttons."""
        self._buttons = visible
        self._place.setVisible(visible)
        self._delete.setVisible(visible)

    _buttons = True
    buttonsVisible = Property(bool, lambda self: self._buttons, setButtonsVisible)
    placeMultipleMarkups = Property(
        PlaceMultipleMarkupsType, lambda self: self._multiple, setPlaceMultipleMarkups
    )
    placeModeEnabled = Property(bool, _in_place_mode, setPlaceModeEnabled)
    currentNodeActive = Property(bool, _is_active, setCurrentNodeActive)
    placeModePersistency = Property(
        bool,
        lambda self: bool(self._interaction.GetPlaceModePersistence()),
        setPlaceModePersistency,
    )
    _delete_all = True
    deleteAllControlPointsOptionVisible = held(bool, "_delete_all")
    deleteAllMarkupsOptionVisible = held(bool, "_delete_all")
    _unset_last = False
    unsetLastControlPointOptionVisible = held(bool, "_unset_last")
    _unset_all = False
    unsetAllControlPointsOptionVisible = held(bool, "_unset_all")
    _default_color = qt.QColor(0, 255, 0)
    defaultNodeColor = held(qt.QColor, "_default_color")


class _TableOfNode(SceneWidget, qt.QTableWidget):
    """A read-only table that follows one node."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._node = None
        self.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)

    def _follow(self, node, *events):
        self._node = node
        self.watch("node", node, ("ModifiedEvent", *events) if node else (), self._fill)
        self._fill()

    def _fill(self, _caller=None, _event=None):
        rows, header = self._contents() if self._node is not None else ([], [])
        self.setColumnCount(len(header))
        self.setHorizontalHeaderLabels(header)
        self.setRowCount(len(rows))
        for row, values in enumerate(rows):
            for column, value in enumerate(values):
                self.setItem(row, column, qt.QTableWidgetItem(str(value)))


@register
class qMRMLTableView(_TableOfNode):
    """Shows a table node."""

    isStandIn = True

    def setMRMLTableNode(self, node):
        """Show this node."""
        self._follow(node)

    def mrmlTableNode(self):
        """Return the node shown."""
        return self._node

    def _contents(self):
        columns = range(self._node.GetNumberOfColumns())
        rows = [
            [self._node.GetCellText(row, column) for column in columns]
            for row in range(self._node.GetNumberOfRows())
        ]
        return rows, [self._node.GetColumnName(column) for column in columns]


@register
class qMRMLSegmentsTableView(_TableOfNode):
    """Shows the segments of a segmentation node."""

    isStandIn = True

    def setSegmentationNode(self, node):
        """Show this node."""
        kinds = slicer.vtkSegmentation
        self._follow(node, kinds.SegmentAdded, kinds.SegmentRemoved, kinds.SegmentModified)

    def segmentationNode(self):
        """Return the node shown."""
        return self._node

    def _ids(self):
        segmentation = self._node.GetSegmentation()
        count = segmentation.GetNumberOfSegments()
        return [segmentation.GetNthSegmentID(index) for index in range(count)]

    def _contents(self):
        segmentation = self._node.GetSegmentation()
        return [[segmentation.GetSegment(i).GetName()] for i in self._ids()], ["Name"]

    def selectedSegmentIDs(self):
        """Return the IDs of the selected rows."""
        rows = {index.row() for index in self.selectionModel().selectedRows()}
        return [name for row, name in enumerate(self._ids()) if row in rows]

    def setSelectedSegmentIDs(self, segment_ids):
        """Select the rows of these segments."""
        self.clearSelection()
        for row, name in enumerate(self._ids()):
            if name in segment_ids:
                self.selectRow(row)


@register
class qMRMLPlotView(SceneWidget, qt.QWidget):
    """Holds a plot view node; draws nothing."""

    isStandIn = True
    _view = None

    def setMRMLPlotViewNode(self, node):
        """Take a view node."""
        self._view = node

    def mrmlPlotViewNode(self):
        """Return the view node."""
        return self._view


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """What Slicer gives a scripted module's widget as its parent."""

    isStandIn = True

    def __init__(self, parent=None):
        super().__init__(parent)
        self.setLayout(qt.QVBoxLayout())
        self._python = None

    def self(self):
        """Return the Python object of the widget."""
        return self._python


WIDGETS = {
    cls.__name__: cls
    for cls in list(globals().values())
    if isinstance(cls, type) and cls.__name__.startswith("q") and "isStandIn" in cls.__dict__
}
