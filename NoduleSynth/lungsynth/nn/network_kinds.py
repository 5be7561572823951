"""A system's kinds of networks (default, paper) and their weights as a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import nn

from lungsynth.core.errors import LungSynthError
from lungsynth.nn.weights import Weights, load_weights, save_weights

Networks = TypeVar("Networks", bound=nn.Module)


class NetworkKinds(Generic[Networks]):
    """Writes networks with the configuration that they were made from, and makes them from it.

    Args:
        system: Name of the system.
        kinds: For each kind the class of its configuration, a dataclass, and that of its networks,
            which take one and keep it as ``config``.
    """

    def __init__(
        self, system: str, kinds: Mapping[str, tuple[type[Any], Callable[[Any], Networks]]]
    ) -> None:
        self.system, self.kinds = system, kinds

    def write(self, path: Path, networks: Networks) -> None:
        """Write the weights of networks as safetensors."""
        config: Any = networks.config
        kind = next(k for k, (made_of, _) in self.kinds.items() if isinstance(config, made_of))
        described = {"kind": kind, **asdict(config)}
        save_weights(path, self.system, described, networks.state_dict())

    def load(self, path: Path) -> Networks:
        """Return the networks of a weights file.

        Raises:
            LungSynthError: If it cannot be used.
        """
        return self.fit(load_weights(path, self.system), path)

    def fit(self, stored: Weights, path: Path) -> Networks:
        """Return the networks that a weights file describes, with its weights.

        Args:
            stored: What the file holds.
            path: Named in the error.

        Raises:
            LungSynthError: If they do not fit the networks of this version.
        """
        config: dict[str, Any] = dict(stored.config)
        try:
            made_of, kind = self.kinds[config.pop("kind", next(iter(self.kinds)))]
            networks = kind(made_of(**config))
            networks.load_state_dict(stored.tensors)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            msg = f"{path}: the weights do not fit the networks of this version ({reason})"
            raise LungSynthError(msg) from None
        return networks
