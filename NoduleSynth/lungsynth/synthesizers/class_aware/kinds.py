"""The networks of both kinds of presets, and their weights as a file."""

from __future__ import annotations

from lungsynth.nn.network_kinds import NetworkKinds
from lungsynth.synthesizers.class_aware.config import ClassAwareConfig
from lungsynth.synthesizers.class_aware.networks import ClassAwareNetworks
from lungsynth.synthesizers.class_aware.paper import PaperConfig, PaperNetworks

KINDS: NetworkKinds[ClassAwareNetworks | PaperNetworks] = NetworkKinds(
    "class-aware",
    {"default": (ClassAwareConfig, ClassAwareNetworks), "paper": (PaperConfig, PaperNetworks)},
)
