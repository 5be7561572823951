"""What PySide6 takes and Slicer's PythonQt does not, which no run over the harness can show."""

import ast
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
FILES = [
    TREE / "NoduleSynth" / "NoduleSynth.py",
    TREE / "AnomalyScan" / "AnomalyScan.py",
    *sorted((TREE / "NoduleSynth" / "NoduleSynthLib").rglob("*.py")),
    *sorted((TREE / "NoduleSynth" / "lungsynth_slicer").rglob("*.py")),
    *sorted((TREE / "AnomalyScan" / "AnomalyScanLib").rglob("*.py")),
]
# Of PySide6, of newer PythonQt alone, or gone in Qt 6
FOREIGN = {"Signal", "Slot", "Property", "QtCore", "QtGui", "QtWidgets", "QRegExp", "QTextCodec"}


def dotted(node):
    """Return ["qt", "QProcess", "Running"] of qt.QProcess.Running; [] of anything else."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else []


def mistakes(source):
    """Return (line, what is wrong) of each spelling that Slicer would not run."""
    for node in ast.walk(ast.parse(source)):
        find = {ast.Attribute: name_mistakes, ast.Call: call_mistakes}.get(type(node))
        if find is not None:
            yield from ((node.lineno, message) for message in find(node))


def name_mistakes(node):
    names = dotted(node)
    if names[:1] == ["qt"] and FOREIGN & set(names):
        yield f"not in every PythonQt: {'.'.join(names)}"
    if names[:1] == ["qt"] and sum(name[0].isupper() for name in names[1:]) > 2:
        yield f"enums are not scoped in Qt 5: {'.'.join(names)}"
    if node.attr == "exec_":
        yield "exec_ is gone in Qt 6: exec"
    if node.attr == "QSignalBlocker":
        yield "no context manager in PythonQt: use blockSignals"


def call_mistakes(node):
    names = dotted(node.func)
    if node.keywords and names[:1] in (["qt"], ["ctk"]):
        yield f"PythonQt takes no keywords: {'.'.join(names)}"
    if isinstance(node.func, ast.Attribute) and node.func.attr in ("connect", "disconnect"):
        constants = [a.value for a in node.args if isinstance(a, ast.Constant)]
        if any(isinstance(value, str) for value in constants):
            yield "only signal.connect(f) is valid in both"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TREE)))
def test_every_file_of_the_modules_is_spelled_for_pythonqt(path):
    assert list(mistakes(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("changed = qt.Signal(int)", "not in every PythonQt: qt.Signal"),
        ("qt.QProcess.ProcessState.Running", "not scoped"),
        ("box.exec_()", "gone in Qt 6"),
        ("qt.QLabel(text='a')", "takes no keywords: qt.QLabel"),
        ("button.connect('clicked()', f)", "only signal.connect"),
        ("with qt.QSignalBlocker(box): pass", "use blockSignals"),
        ("qt.QRegExp('a')", "not in every PythonQt: qt.QRegExp"),
    ],
)
def test_each_foreign_spelling_is_found(line, message):
    found = list(mistakes(line))

    assert found
    assert message in found[0][1]


def test_what_both_take_is_left_alone():
    source = """
process.finished.connect(lambda code, status: None)
process.start(python, ["-m", "lungsynth"])
qt.QTimer.singleShot(0, f)
label.text = qt.QProcess.Running
header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
"""

    assert list(mistakes(source)) == []
