"""Stand-in of slicer.parameterNodeWrapper: the subset that we use, over a real parameter node.

Types: MRML nodes, Optional of these, bool, int, float, str, pathlib.Path, enums. Annotations:
Default, Choice, WithinRange, Minimum, Maximum, Decimals, SingleStep. Anything else raises, as a
module must not rely on what was never tried. Values lie in the node's parameters, written as
Slicer writes them, so that scenes can be exchanged.
"""

from __future__ import annotations

import enum
import pathlib
import types
import typing
import weakref
from dataclasses import dataclass

import ctk
import qt
import slicer
import vtk

SlicerParameterNamePropertyName = "SlicerParameterName"


@dataclass
class Default:
    """The value of a parameter that was never set."""

    value: typing.Any


@dataclass
class Decimals:
    """How many decimals a widget shows."""

    value: int


@dataclass
class SingleStep:
    """The step of a widget."""

    value: float


class Validator:
    """Refuses values by raising ValueError."""


class WithinRange(Validator):
    """Allows [minimum, maximum]."""

    def __init__(self, minimum, maximum):
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value):
        """Raise ValueError outside the range."""
        if not self.minimum <= value <= self.maximum:
            msg = f"Value must be within range [{self.minimum}, {self.maximum}], is {value}"
            raise ValueError(msg)


class Minimum(Validator):
    """Allows what is at least ``minimum``."""

    def __init__(self, minimum):
        self.minimum = minimum

    def validate(self, value):
        """Raise ValueError below."""
        if value < self.minimum:
            msg = f"Value must be greater than {self.minimum}, is {value}"
            raise ValueError(msg)


class Maximum(Validator):
    """Allows what is at most ``maximum``."""

    def __init__(self, maximum):
        self.maximum = maximum

    def validate(self, value):
        """Raise ValueError above."""
        if value > self.maximum:
            msg = f"Value must be less than {self.maximum}, is {value}"
            raise ValueError(msg)


class Choice(Validator):
    """Allows the values of a list."""

    def __init__(self, choices):
        self.choices = choices

    def validate(self, value):
        """Raise ValueError for anything else."""
        if value not in self.choices:
            msg = f"Value is {value}, but must be in one of the following: {self.choices}"
            raise ValueError(msg)


class _Parameter:
    """One annotated name of the class: how it is checked, written and read."""

    def __init__(self, owner, name, annotation):
        self.name = name
        self.annotation = annotation
        kind, notes = annotation, []
        if typing.get_origin(annotation) is typing.Annotated:
            kind, *notes = typing.get_args(annotation)
        self.notes = notes
        if isinstance(kind, types.UnionType):
            msg = f"{owner.__name__}.{name}: Slicer knows Optional[...], not '{kind}'"
            raise NotImplementedError(msg)
        self.optional = typing.get_origin(kind) is typing.Union
        if self.optional:
            inner = [part for part in typing.get_args(kind) if part is not type(None)]
            kind = inner[0] if len(inner) == 1 else kind
        self.kind = kind
        self.is_node = isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode)
        self._check_supported(owner)
        self.default = self._find_default(owner)

    def _check_supported(self, owner):
        plain = (bool, int, float, str, pathlib.Path)
        is_enum = isinstance(self.kind, type) and issubclass(self.kind, enum.Enum)
        allowed = self.is_node or (not self.optional and (self.kind in plain or is_enum))
        known = (Default, Decimals, SingleStep, Validator)
        if not allowed or any(not isinstance(note, known) for note in self.notes):
            msg = f"the harness has no parameter of type {self.annotation} ({owner.__name__})"
            raise NotImplementedError(msg)

    def _find_default(self, owner):
        if self.name in vars(owner):
            return vars(owner)[self.name]
        for note in self.notes:
            if isinstance(note, Default):
                return note.value
        if self.is_node:
            return None
        return next(iter(self.kind)) if issubclass(self.kind, enum.Enum) else self.kind()

    def note(self, kind):
        """Return the annotation of a class, or None."""
        return next((note for note in self.notes if isinstance(note, kind)), None)

    def check(self, value):
        """Raise TypeError or ValueError for a value that is not allowed."""
        if value is None and self.is_node:
            return
        kinds = (int, float) if self.kind is float else self.kind
        if value is None:
            msg = "Value must not be None"
            raise ValueError(msg)
        if self.kind is pathlib.Path:
            kinds = pathlib.PurePath
        if not isinstance(value, kinds):
            msg = f"Value must be of type '{self.kind}', is type '{type(value)}' value '{value}'"
            raise TypeError(msg)
        for note in self.notes:
            if isinstance(note, Validator):
                note.validate(value)

    @property
    def _node_name(self):
        # Slicer keeps an Optional under the name of the alternative that it holds
        return f"{self.name}.0" if self.optional else self.name

    def is_in(self, node):
        """Return whether the node holds a value."""
        return node.HasParameter(self._node_name) or node.HasParameter(f"{self.name}.1")

    def write(self, node, value):
        """Write a value into the node."""
        self.check(value)
        if self.optional:
            node.UnsetParameter(self._node_name if value is None else f"{self.name}.1")
        if self.optional and value is None:
            node.RemoveNodeReferenceIDs(self._node_name)
            node.SetParameter(f"{self.name}.1", "True")
        elif self.is_node:
            node.SetParameter(self._node_name, "")
            node.SetNodeReferenceID(self._node_name, value.GetID() if value is not None else None)
        elif isinstance(value, enum.Enum):
            node.SetParameter(self.name, value.name)
        else:
            node.SetParameter(self.name, str(value))

    def read(self, node):
        """Return the value in the node, the default where there is none."""
        if not self.is_in(node):
            self.write(node, self.default)
        if self.is_node:
            return node.GetNodeReference(self._node_name)
        text = node.GetParameter(self.name)
        if self.kind is bool:
            return text == "True"
        if issubclass(self.kind, enum.Enum):
            return self.kind[text]
        return self.kind(text)


def parameterNodeWrapper(cls=None):
    """Class decorator: its annotations become properties kept in a parameter node."""
    if cls is None:
        return parameterNodeWrapper
    hints = typing.get_type_hints(cls, include_extras=True)
    cls.allParameters = {name: _Parameter(cls, name, hint) for name, hint in hints.items()}
    for name in cls.allParameters:
        setattr(cls, name, _make_property(name))
    for name, function in vars(_Methods).items():
        if not name.startswith("__") or name in ("__init__", "__setattr__"):
            setattr(cls, name, function)
    cls._is_parameter_node_wrapper = True
    return cls


def isParameterNodeWrapper(what):
    """Return whether the decorator made this class or object."""
    return getattr(what, "_is_parameter_node_wrapper", False)


def _make_property(name):
    return property(
        lambda self: self.allParameters[name].read(self.parameterNode),
        lambda self, value: self.setValue(name, value),
    )


class _Methods:
    """What the decorator adds to a class."""

    def __init__(self, parameterNode):
        self.parameterNode = parameterNode
        self._guis = {}
        self._next_gui = 0
        self._updating = False
        for parameter in self.allParameters.values():
            if not parameter.is_in(parameterNode):
                parameter.write(parameterNode, parameter.default)

    def _parameter(self, name):
        if name not in self.allParameters:
            msg = f"Cannot find a param with the given name: {name}; there are: " + ", ".join(
                self.allParameters
            )
            raise ValueError(msg)
        return self.allParameters[name]

    def getValue(self, name):
        """Return a value by name."""
        return self._parameter(name).read(self.parameterNode)

    def setValue(self, name, value):
        """Set a value by name."""
        parameter = self._parameter(name)
        with slicer.util.NodeModify(self.parameterNode):
            parameter.write(self.parameterNode, value)

    def default(self, name):
        """Return the default of a parameter, in a Default."""
        return Default(self._parameter(name).default)

    def dataType(self, name):
        """Return the annotation of a parameter."""
        return self._parameter(name).annotation

    def isCached(self, name):
        """Return False: the harness reads the node each time."""
        self._parameter(name)
        return False

    def StartModify(self):
        """As the node's."""
        return self.parameterNode.StartModify()

    def EndModify(self, was):
        """As the node's."""
        return self.parameterNode.EndModify(was)

    def Modified(self):
        """As the node's."""
        self.parameterNode.Modified()

    def AddObserver(self, event, callback, priority=0.0):
        """As the node's."""
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag):
        """As the node's."""
        self.parameterNode.RemoveObserver(tag)

    def connectGui(self, gui):
        """Bind the widgets that have a SlicerParameterName; returns no tag, as Slicer's doesn't."""
        widgets = (
            gui.findChildren(qt.QWidget) if hasattr(gui, "findChildren") else vars(gui).values()
        )
        named = {widget.property(SlicerParameterNamePropertyName): widget for widget in widgets}
        named.pop(None, None)
        self.connectParametersToGui(named)

    def connectParametersToGui(self, mapping):
        """Bind widgets by the names of their parameters; return a tag for disconnectGui."""
        connectors = {
            name: _make_connector(self._parameter(name), widget) for name, widget in mapping.items()
        }
        tag, self._next_gui = self._next_gui, self._next_gui + 1
        self._guis[tag] = connectors
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.start(_gui_changed(self, name, connector))
        weak = weakref.ref(self)
        self.AddObserver(
            vtk.vtkCommand.ModifiedEvent,
            lambda _caller, _event: weak() is not None and weak()._update_gui(),
        )
        return tag

    def disconnectGui(self, tag):
        """Undo connectGui."""
        for connector in self._guis.pop(tag, {}).values():
            connector.stop()

    def _update_gui(self):
        if self._updating:
            return
        self._updating = True
        try:
            for connectors in self._guis.values():
                for name, connector in connectors.items():
                    connector.write(self.getValue(name))
        finally:
            self._updating = False


def _gui_changed(wrapper, name, connector):
    def changed(*_):
        if not wrapper._updating:
            wrapper.setValue(name, connector.read())

    return changed


class _Connector:
    """Moves a value between a parameter and a property of a widget."""

    def __init__(self, parameter, widget, prop, signal):
        self.parameter, self.widget, self.prop = parameter, widget, prop
        self.signal = getattr(widget, signal)
        self.function = None

    def start(self, function):
        """Call the function when the user changes the widget."""
        self.function = function
        self.signal.connect(function)

    def stop(self):
        """Call it no more."""
        if self.function is not None:
            self.signal.disconnect(self.function)
            self.function = None

    def read(self):
        """Return the widget's value."""
        return getattr(self.widget, self.prop)

    def write(self, value):
        """Show a value."""
        setattr(self.widget, self.prop, value)


class _ChoiceConnector(_Connector):
    def __init__(self, parameter, widget, choices):
        super().__init__(parameter, widget, "currentIndex", "currentIndexChanged")
        self.choices = list(choices)
        widget.clear()
        for choice in self.choices:
            widget.addItem(choice.name if isinstance(choice, enum.Enum) else str(choice))

    def read(self):
        return self.choices[self.widget.currentIndex]

    def write(self, value):
        self.widget.currentIndex = self.choices.index(value)


class _TextConnector(_Connector):
    def read(self):
        return self.widget.toPlainText()

    def write(self, value):
        if self.read() != value:
            self.widget.setPlainText(value)


class _PathConnector(_Connector):
    def read(self):
        return pathlib.Path(getattr(self.widget, self.prop))

    def write(self, value):
        setattr(self.widget, self.prop, str(value))


class _NodeConnector(_Connector):
    def read(self):
        return self.widget.currentNode()

    def write(self, value):
        self.widget.setCurrentNode(value)


def _pairs():
    """Return what Slicer binds: (type, exact class of widget) -> (connector, property, signal)."""
    return {
        (bool, qt.QCheckBox): (_Connector, "checked", "stateChanged"),
        (bool, qt.QPushButton): (_Connector, "checked", "toggled"),
        (int, qt.QSlider): (_Connector, "value", "valueChanged"),
        (int, qt.QSpinBox): (_Connector, "value", "valueChanged"),
        (float, qt.QDoubleSpinBox): (_Connector, "value", "valueChanged"),
        (float, ctk.ctkSliderWidget): (_Connector, "value", "valueChanged"),
        (str, qt.QLineEdit): (_Connector, "text", "textChanged"),
        (str, qt.QTextEdit): (_TextConnector, "", "textChanged"),
        (pathlib.Path, ctk.ctkPathLineEdit): (_PathConnector, "currentPath", "currentPathChanged"),
        (pathlib.Path, ctk.ctkDirectoryButton): (_PathConnector, "directory", "directoryChanged"),
    }


def _make_connector(parameter, widget):
    """Return what binds a parameter to a widget."""
    kind, cls = parameter.kind, type(widget)
    if parameter.is_node and cls is slicer.qMRMLNodeComboBox:
        widget.nodeTypes = [kind.__name__]
        return _NodeConnector(parameter, widget, "currentNodeID", "currentNodeChanged")
    if cls is qt.QComboBox and not parameter.is_node:
        return _ChoiceConnector(parameter, widget, _choices(parameter))
    if (kind, cls) not in _pairs():
        msg = f"Unable to create GUI connector from datatype '{kind}' to widget type '{cls}'"
        raise RuntimeError(msg)
    if kind in (int, float):
        _set_limits(parameter, widget)
    if cls is qt.QPushButton:
        widget.checkable = True
    connector, prop, signal = _pairs()[kind, cls]
    return connector(parameter, widget, prop, signal)


def _choices(parameter):
    if issubclass(parameter.kind, enum.Enum):
        return parameter.kind
    if (choice := parameter.note(Choice)) is None:
        msg = f"{parameter.name}: a QComboBox needs the Choice annotation"
        raise RuntimeError(msg)
    return choice.choices


def _set_limits(parameter, widget):
    if (decimals := parameter.note(Decimals)) is not None:
        widget.decimals = decimals.value
    if (step := parameter.note(SingleStep)) is not None:
        widget.singleStep = step.value
    within = parameter.note(WithinRange)
    low, high = within or parameter.note(Minimum), within or parameter.note(Maximum)
    if (low is None or high is None) and isinstance(widget, (qt.QSlider, ctk.ctkSliderWidget)):
        msg = f"{parameter.name}: {type(widget).__name__} needs limits, such as WithinRange"
        raise RuntimeError(msg)
    limit = 2**31 - 1 if parameter.kind is int else float("inf")
    widget.setRange(low.minimum if low else -limit, high.maximum if high else limit)
