"""Loads .ui files as Slicer does: stand-ins for its widgets, and only the wires the file declares.

Qt's own loader passes in silence over a property that a widget lacks, a class it does not know
and a wire it can't lay. Here each of these raises.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from PySide6 import QtCore, QtUiTools

# Dynamic properties that Slicer's parameterNodeWrapper reads; any other must exist
DYNAMIC = {"SlicerParameterName", "SlicerPackParameterName", "buddy"}
_custom_classes = {}


def register(cls):
    """Make a stand-in known to .ui files; usable as a decorator."""
    _custom_classes[cls.__name__] = cls
    return cls


class UiLoader(QtUiTools.QUiLoader):
    """Stand-in of QUiLoader in Slicer, which knows the custom widgets of CTK and Slicer."""

    isStandIn = True

    def createWidget(self, class_name, parent=None, name=""):
        """Make one widget; called by Qt for each in the file."""
        cls = _custom_classes.get(class_name)
        if cls is None:
            if class_name not in self.availableWidgets():
                msg = f"no widget class {class_name} (widget {name!r}): add a stand-in for it"
                raise RuntimeError(msg)
            return super().createWidget(class_name, parent, name)
        widget = cls(parent)
        widget.setObjectName(name)
        return widget

    def load(self, device, parent=None):
        """Return the widget of an open QFile, wired as its <connections> say."""
        root = ET.fromstring(bytes(device.readAll().data()))
        connections = [
            tuple(connection.findtext(tag) for tag in ("sender", "signal", "receiver", "slot"))
            for connection in root.findall("connections/connection")
        ]
        for element in root.findall("connections"):
            root.remove(element)
        _check_classes(root)
        buffer = QtCore.QBuffer()
        buffer.setData(ET.tostring(root))
        buffer.open(QtCore.QIODevice.ReadOnly)
        widget = super().load(buffer, parent)
        if widget is None:
            raise RuntimeError(self.errorString())
        _check_properties(root, widget)
        for connection in connections:
            _connect(widget, *connection)
        return widget


def _check_classes(root):
    known = set(_custom_classes)
    for element in root.iter("customwidget"):
        name = element.findtext("class")
        if name not in known:
            msg = f"no widget class {name}: add a stand-in for it"
            raise RuntimeError(msg)


def _find(widget, name):
    found = widget if widget.objectName == name else widget.findChild(QtCore.QObject, name)
    if found is None:
        msg = f"<connections> names {name!r}, which the file has not"
        raise RuntimeError(msg)
    return found


def _check_properties(root, widget):
    for element in root.iter("widget"):
        made = _find(widget, element.get("name"))
        for prop in element.findall("property"):
            name = prop.get("name")
            if name not in DYNAMIC and made.metaObject().indexOfProperty(name) < 0:
                msg = f"{element.get('class')} {element.get('name')!r} has no property {name!r}"
                raise RuntimeError(msg)


def _connect(widget, sender_name, signal, receiver_name, slot):
    sender, receiver = _find(widget, sender_name), _find(widget, receiver_name)
    wire = f"{sender_name}.{signal} -> {receiver_name}.{slot}"
    signal_function = getattr(sender, signal.split("(")[0], None)
    slot_function = getattr(receiver, slot.split("(")[0], None)
    if not hasattr(signal_function, "connect") or not callable(slot_function):
        msg = f"<connections> declares a wire that does not exist: {wire}"
        raise RuntimeError(msg)
    if not _has(sender, "Signal", signal) and "vtk" not in signal:
        msg = f"<connections> declares a wire that does not exist: {wire}"
        raise RuntimeError(msg)
    if _has(receiver, "Method", slot):
        QtCore.QObject.connect(sender, QtCore.SIGNAL(signal), receiver, QtCore.SLOT(slot))
    elif type(receiver) in _custom_classes.values():
        signal_function.connect(slot_function)  # a stand-in's slots are plain methods
    else:
        msg = f"<connections> declares a wire that does not exist: {wire}"
        raise RuntimeError(msg)


def _has(owner, kind, text):
    signature = QtCore.QMetaObject.normalizedSignature(text).data().decode()
    return getattr(owner.metaObject(), f"indexOf{kind}")(signature) >= 0
