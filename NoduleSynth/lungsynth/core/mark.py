"""The mark of everything that is made here."""

from lungsynth import __version__

SYNTHETIC = {"lungsynth_synthetic": "true", "lungsynth_version": __version__}
"""Header keys of every volume and mask that is written, attributes of every node."""
