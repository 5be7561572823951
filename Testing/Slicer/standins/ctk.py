"""Stand-in of ``ctk``: the widgets of the Common Toolkit that our .ui files use."""

from __future__ import annotations

from pathlib import Path

import qt
from harness_ui import register
from PySide6.QtCore import Property, Signal


def held(kind, attribute, *, notify=None, after=None):
    """Make a Qt property kept in ``attribute``; ``notify`` names the signal of a change."""

    def read(self):
        return getattr(self, attribute)

    def write(self, value):
        if getattr(self, attribute) == value:
            return
        setattr(self, attribute, value)
        if after is not None:
            getattr(self, after)()
        if notify is not None:
            getattr(self, notify).emit(value)

    return Property(kind, read, write)


@register
class ctkCollapsibleButton(qt.QAbstractButton):
    """A titled section; collapsed, it hides its contents."""

    isStandIn = True
    contentsCollapsed = Signal(bool)

    def __init__(self, text="", parent=None):
        if not isinstance(text, str):
            text, parent = "", text
        super().__init__(parent)
        self.setText(text)
        self._collapsed = False
        self._hidden_by_us = []
        self.setCheckable(True)
        self.setChecked(True)
        self.setSizePolicy(qt.QSizePolicy.Preferred, qt.QSizePolicy.Preferred)
        self._header = self.fontMetrics().height() + 10
        self.setContentsMargins(0, self._header, 0, 0)
        self.toggled.connect(self._on_toggled)

    def _on_toggled(self, checked):
        self.setCollapsed(not checked)

    def _read_collapsed(self):
        return self._collapsed

    def setCollapsed(self, collapsed):
        """Show or hide the contents; what was hidden before stays hidden."""
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        if collapsed:
            children = [c for c in self.children() if isinstance(c, qt.QWidget)]
            self._hidden_by_us = [c for c in children if not c.isHidden()]
        for child in self._hidden_by_us:
            child.setVisible(not collapsed)
        self.setMaximumHeight(self._header if collapsed else 16777215)
        self.setChecked(not collapsed)
        self.updateGeometry()
        self.contentsCollapsed.emit(collapsed)

    collapsed = Property(bool, _read_collapsed, setCollapsed)
    flat = held(bool, "_flat")
    _flat = False
    collapsedHeight = held(int, "_collapsed_height")
    _collapsed_height = 0
    contentsFrameShape = held(int, "_frame_shape")
    _frame_shape = 0
    contentsFrameShadow = held(int, "_frame_shadow")
    _frame_shadow = 0

    def hitButton(self, position):
        """Only the header toggles."""
        return position.y() <= self._header

    def sizeHint(self):
        """Leave room for the header, and for the contents unless collapsed."""
        size = qt.QSize(self.fontMetrics().horizontalAdvance(self.text) + 40, self._header)
        if self.layout() is not None and not self._collapsed:
            size = size.expandedTo(self.layout().totalSizeHint())
        return size

    def minimumSizeHint(self):
        """As the size hint, of the layout's minimum."""
        size = qt.QSize(self.fontMetrics().horizontalAdvance(self.text) + 40, self._header)
        if self.layout() is not None and not self._collapsed:
            size = size.expandedTo(self.layout().totalMinimumSize())
        return size

    def paintEvent(self, _event):
        """Draw the header as a flat button with an arrow."""
        painter = qt.QPainter(self)
        option = qt.QStyleOptionButton()
        option.initFrom(self)
        option.rect = qt.QRect(0, 0, self.width, self._header)
        option.text = ("▸ " if self._collapsed else "▾ ") + self.text
        self.style().drawControl(qt.QStyle.CE_PushButton, option, painter, self)
        painter.end()


@register
class ctkCollapsibleGroupBox(qt.QGroupBox):
    """A group box that folds."""

    isStandIn = True
    _collapsed = False

    def _fold(self):
        for child in self.children():
            if isinstance(child, qt.QWidget):
                child.setVisible(not self._collapsed)

    collapsed = held(bool, "_collapsed", after="_fold")


@register
class ctkSliderWidget(qt.QWidget):
    """A slider and a spin box of the same number."""

    isStandIn = True
    valueChanged = Signal(float)
    valueIsChanging = Signal(float)

    def __init__(self, parent=None):
        super().__init__(parent)
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._slider = qt.QSlider(qt.Qt.Horizontal, self)
        self._spin = qt.QDoubleSpinBox(self)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._spin)
        self._value = 0.0
        self._range = [0.0, 99.0]
        self._step = 1.0
        self._page = 10.0
        self._spin.setMaximum(99.0)
        self._sync()
        self._slider.valueChanged.connect(self._on_slider)
        self._spin.valueChanged.connect(self._on_spin)

    def _sync(self):
        self._spin.blockSignals(True)
        self._slider.blockSignals(True)
        self._spin.setRange(*self._range)
        self._spin.setSingleStep(self._step)
        self._spin.setValue(self._value)
        steps = (self._range[1] - self._range[0]) / self._step
        self._slider.setRange(0, round(min(steps, 1e6)))
        self._slider.setValue(round(min((self._value - self._range[0]) / self._step, 1e6)))
        self._slider.blockSignals(False)
        self._spin.blockSignals(False)

    def _on_slider(self, position):
        self.setValue(self._range[0] + position * self._step)

    def _on_spin(self, value):
        self.setValue(value)

    def setValue(self, value):
        """Set the value, clamped to the range and rounded as the spin box shows it."""
        value = round(min(max(float(value), self._range[0]), self._range[1]), self._spin.decimals)
        if value != self._value:
            self._value = value
            self._sync()
            self.valueChanged.emit(value)

    def setMinimum(self, value):
        """Set the lower limit."""
        self.setRange(value, max(value, self._range[1]))

    def setMaximum(self, value):
        """Set the upper limit."""
        self.setRange(min(value, self._range[0]), value)

    def setRange(self, minimum, maximum):
        """Set both limits; the value follows into them."""
        self._range = [float(minimum), float(maximum)]
        self._sync()
        self.setValue(self._value)

    def setSingleStep(self, step):
        """Set the step of the slider."""
        self._step = float(step)
        self._sync()

    def setDecimals(self, decimals):
        """Set how many decimals are shown and kept."""
        self._spin.setDecimals(decimals)
        self._sync()

    def spinBox(self):
        """Return the spin box, as CTK does."""
        return self._spin

    def slider(self):
        """Return the slider, as CTK does."""
        return self._slider

    value = Property(float, lambda self: self._value, setValue)
    minimum = Property(float, lambda self: self._range[0], setMinimum)
    maximum = Property(float, lambda self: self._range[1], setMaximum)
    singleStep = Property(float, lambda self: self._step, setSingleStep)
    pageStep = held(float, "_page")
    decimals = Property(int, lambda self: self._spin.decimals, setDecimals)
    prefix = Property(
        str, lambda self: self._spin.prefix, lambda self, text: self._spin.setPrefix(text)
    )
    suffix = Property(
        str, lambda self: self._spin.suffix, lambda self, text: self._spin.setSuffix(text)
    )
    tracking = held(bool, "_tracking")
    _tracking = True
    spinBoxVisible = Property(
        bool, lambda self: not self._spin.isHidden(), lambda self, on: self._spin.setVisible(on)
    )
    popupSlider = held(bool, "_popup")
    _popup = False
    tickInterval = held(float, "_tick")
    _tick = 0.0


@register
class ctkDoubleSpinBox(qt.QDoubleSpinBox):
    """A spin box of a number."""

    isStandIn = True


@register
class ctkPathLineEdit(qt.QWidget):
    """A line for the path of a file or folder, with a button to browse for it."""

    isStandIn = True
    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)
    NoFilter, Dirs, Files, Executable, Writable = 0, 1, 2, 64, 32

    def __init__(self, parent=None):
        super().__init__(parent)
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._line = qt.QLineEdit(self)
        self._browse = qt.QToolButton(self)
        self._browse.setText("...")
        layout.addWidget(self._line, 1)
        layout.addWidget(self._browse)
        self._line.textChanged.connect(self.currentPathChanged)
        self._browse.clicked.connect(self.browse)

    def setCurrentPath(self, path):
        """Show a path."""
        self._line.setText(path)

    def browse(self):
        """Ask for a path with a file dialog."""
        ask = qt.QFileDialog.getExistingDirectory if self._filters & self.Dirs else None
        path = (ask or qt.QFileDialog.getOpenFileName)(self, self._label or "Select a file")
        if path:
            self.setCurrentPath(path)

    def addCurrentPathToHistory(self):
        """Do nothing: the harness keeps no settings."""

    def isValid(self):
        """Return whether the path exists."""
        return Path(self._line.text).exists()

    currentPath = Property(str, lambda self: self._line.text, setCurrentPath)
    showBrowseButton = Property(
        bool, lambda self: not self._browse.isHidden(), lambda self, on: self._browse.setVisible(on)
    )
    showHistoryButton = held(bool, "_history")
    _history = True
    nameFilters = held("QStringList", "_name_filters")
    _name_filters = ()
    settingKey = held(str, "_setting")
    _setting = ""
    label = held(str, "_label")
    _label = ""
    filters = held(int, "_filters")
    _filters = 0
    placeholderText = Property(
        str,
        lambda self: self._line.placeholderText,
        lambda self, text: self._line.setPlaceholderText(text),
    )


@register
class ctkDirectoryButton(qt.QPushButton):
    """A button that shows a folder and asks for another."""

    isStandIn = True
    directoryChanged = Signal(str)
    directorySelected = Signal(str)
    _directory = ""

    def _show(self):
        self.setText(self._directory)

    directory = held(str, "_directory", notify="directoryChanged", after="_show")
    caption = held(str, "_caption")
    _caption = ""


@register
class ctkMenuButton(qt.QPushButton):
    """A push button with a menu beside it."""

    isStandIn = True


@register
class ctkFittedTextBrowser(qt.QTextBrowser):
    """A text browser as high as its text."""

    isStandIn = True


class ctkMessageBox(qt.QMessageBox):
    """A message box with "don't show again"."""

    isStandIn = True
    dontShowAgainSettingsKey = held(str, "_setting")
    _setting = ""
