"""``lungsynth evaluate``: measuring what the synthesizers make."""

from __future__ import annotations

import typer

app = typer.Typer(help="Measure size, attenuation and realism of what is inserted.")
