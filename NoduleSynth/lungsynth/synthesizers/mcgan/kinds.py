"""The networks of both kinds of presets, and their weights as a file."""

from __future__ import annotations

from lungsynth.nn.network_kinds import NetworkKinds
from lungsynth.synthesizers.mcgan.config import MCGANConfig
from lungsynth.synthesizers.mcgan.networks import MCGANNetworks
from lungsynth.synthesizers.mcgan.paper import PaperConfig, PaperNetworks

KINDS: NetworkKinds[MCGANNetworks | PaperNetworks] = NetworkKinds(
    "mcgan",
    {"default": (MCGANConfig, MCGANNetworks), "paper": (PaperConfig, PaperNetworks)},
)
