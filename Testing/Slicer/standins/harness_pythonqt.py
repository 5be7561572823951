"""Gives PySide6 the manners of PythonQt, which is what Slicer's modules are written for.

PythonQt shows Qt properties as attributes (``w.text``, ``bar.value = 3``), refuses an attribute
that a widget lacks, and names ``objectName`` also ``name``. PySide6 has methods instead and keeps
any attribute it is given, so that a typo passes. Both are patched onto the PySide6 classes
themselves, as Slicer's code compares the types of widgets exactly.
"""

from __future__ import annotations

import inspect

from PySide6 import QtCore, QtGui, QtWidgets

# Virtual functions that are properties too: Qt must still find a function in a subclass
_VIRTUAL = {"sizeHint", "minimumSizeHint"}


class QtProperty:
    """A Qt property as an attribute of an instance; the class still shows the function.

    The latter keeps ``qt.QTimer.singleShot(0, f)``, a function with the name of a property.
    """

    def __init__(self, owner, name):
        capital = name[0].upper() + name[1:]
        self.name = name
        self.original = getattr(owner, name, None)
        self.getter = next(
            (
                function
                for candidate in (name, f"is{capital}", f"has{capital}")
                if callable(function := getattr(owner, candidate, None))
                and not _is_static(owner, candidate)
            ),
            None,
        )
        self.setter = getattr(owner, f"set{capital}", None)
        index = owner.staticMetaObject.indexOfProperty(name)
        self.writable = owner.staticMetaObject.property(index).isWritable()

    def __get__(self, instance, owner):
        if instance is None:
            if self.original is None:
                raise AttributeError(self.name)
            return self.original
        if self.getter is not None:
            return self.getter(instance)
        return QtCore.QObject.property(instance, self.name)

    def __set__(self, instance, value):
        if not self.writable:
            msg = f"{type(instance).__name__}.{self.name} is read-only"
            raise AttributeError(msg)
        if self.setter is not None:
            self.setter(instance, value)
        elif not instance.setProperty(self.name, value):
            msg = f"{type(instance).__name__}.{self.name} does not take {value!r}"
            raise TypeError(msg)


def _is_static(owner, name):
    raw = inspect.getattr_static(owner, name, None)
    return isinstance(raw, staticmethod)


class _Name:
    def __get__(self, instance, owner):
        if instance is None:
            return self
        return instance.property("objectName")

    def __set__(self, instance, value):
        instance.setObjectName(value)


def _set_known_attribute(self, name, value):
    kind = type(self)
    ours = kind.__module__.startswith("PySide6.") or "isStandIn" in kind.__dict__
    if ours and isinstance(value, QtCore.QObject) and value.property("objectName") == name:
        # PySide6's loader of .ui files hangs each widget on the root, by its name; Slicer's doesn't
        return
    # PySide6 keeps what it has looked up in Qt's meta-object
    found = isinstance(value, (QtCore.MetaFunction, QtCore.SignalInstance))
    if ours and not found and not name.startswith("_"):
        raw = inspect.getattr_static(kind, name, None)
        if not (isinstance(raw, QtCore.Property) or hasattr(type(raw), "__set__")):
            msg = f"{kind.__name__} has no attribute {name!r} that can be set"
            raise AttributeError(msg)
    QtCore.QObject.__setattr__(self, name, value)


def _class_name(self):
    return self.metaObject().className()


def install():
    """Patch every QObject class of PySide6; a second call changes nothing."""
    if isinstance(inspect.getattr_static(QtCore.QObject, "name", None), _Name):
        return
    classes = {
        value
        for module in (QtCore, QtGui, QtWidgets)
        for name in dir(module)  # not vars: a class is made when it is first asked for
        if isinstance(value := getattr(module, name), type) and issubclass(value, QtCore.QObject)
    }
    # Base classes first, so that a subclass's property wraps what the base shows
    for cls in sorted(classes, key=lambda c: len(c.__mro__)):
        meta = cls.staticMetaObject
        for index in range(meta.propertyOffset(), meta.propertyCount()):
            name = meta.property(index).name()
            if name not in _VIRTUAL:
                setattr(cls, name, QtProperty(cls, name))
        if cls is not QtCore.QObject:  # its own C function, which sets properties, is called
            cls.__setattr__ = _set_known_attribute
    QtCore.QObject.name = _Name()
    QtCore.QObject.className = _class_name
