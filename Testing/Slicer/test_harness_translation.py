"""What the panel says can be translated: literal strings in ``_()``, filled in afterwards."""

import ast
import re
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parents[2] / "NoduleSynth" / "NoduleSynthLib"
PANEL = [
    *("Widget", "InsertPanel", "SeedsPanel", "SeedTable", "PreviewPanel", "Readiness"),
    *("FineTune", "FineTuneView", "Logic", "Insertion", "UndoRedo"),
]
WORDS = re.compile(r"[A-Za-z]+,? [A-Za-z]{2,}")


def untranslated(source):
    """Return (line, text) of each string of several words outside ``_()``, and of odd ``_()``."""
    tree = ast.parse(source)
    excused = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):  # documentation
            excused |= {id(inside) for inside in ast.walk(node.value)} if is_text(node) else set()
        elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith("logger."):
            excused |= {id(inside) for inside in ast.walk(node)}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
            (text,) = node.args
            excused |= {id(inside) for inside in ast.walk(node)}
            if isinstance(text, ast.JoinedStr):  # whoever collects the strings finds none here
                yield node.lineno, ast.unparse(node)
    for node in ast.walk(tree):
        if id(node) not in excused and is_words(node):
            yield node.lineno, node.value


def is_text(node):
    return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def is_words(node):
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and WORDS.search(node.value) is not None
    )


@pytest.mark.parametrize("name", PANEL)
def test_all_that_the_panel_says_can_be_translated(name):
    assert list(untranslated((LIBRARY / f"{name}.py").read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('label.text = "Nothing to undo."', ["Nothing to undo."]),
        ('say(f"about {seconds} s left")', [" s left"]),
        ('say(_(f"about {seconds} s left"))', ["_(f'about {seconds} s left')"]),
        ('say(_("about {n} s left").format(n=3))', []),
        ('"""Documentation of it."""\nx = "one"', []),
    ],
)
def test_the_check_above_finds_what_cannot(source, found):
    assert [text for _, text in untranslated(source)] == found
