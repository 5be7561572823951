"""Stand-in of slicer.i18n: nothing is translated."""

from __future__ import annotations


def tr(text):
    """Return the text."""
    return text


def translate(_context, text):
    """Return the text."""
    return text
