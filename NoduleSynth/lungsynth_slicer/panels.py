"""What the panels of the modules have in common."""

from __future__ import annotations

import re
from typing import Any


def boundWidgets(ui: Any) -> dict[str, Any]:  # noqa: ANN401 - a namespace of widgets
    """Return the widgets that show a parameter, by its name."""
    from slicer.parameterNodeWrapper import SlicerParameterNamePropertyName

    named = (
        (widget.property(SlicerParameterNamePropertyName), widget) for widget in vars(ui).values()
    )
    return {name: widget for name, widget in named if name}


def breakable(text: str) -> str:
    """Return a text whose paths may be broken at their folders: else one widens the panel."""
    return re.sub(r"([/\\])", "\\1\u200b", text)
