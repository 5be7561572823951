"""The networks whose features the studies compare nodules by, trained once and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.evaluation import frechet, nodule_net
from lungsynth.evaluation.frechet import ATTENUATIONS, RATINGS, FeatureConfig, FeatureNet
from lungsynth.evaluation.nodule_net import NoduleNet
from lungsynth.io.atomic import atomic_path
from lungsynth.nn.device import choose_device


def feature_nets(
    train: NoduleCubes,
    config: FeatureConfig,
    *,
    device: str = "auto",
    cache: Path | None = None,
    on_epoch: Callable[[int, int], None] | None = None,
) -> dict[int, FeatureNet]:
    """Return a feature network for each seed, trained on the usable nodules of a split.

    Args:
        train: The real training nodules.
        config: How.
        device: "auto", "cpu" or "cuda".
        cache: Folder in which they are kept and found again.
        on_epoch: Called with epochs done and epochs in all.
    """
    nets: dict[int, FeatureNet] = {}
    for turn, seed in enumerate(config.seeds):
        path = None if cache is None else cache / _name(train, config, seed)
        known = None if path is None or not path.is_file() else _load(path, config, device)

        def tell(done: int, before: int = turn * config.epochs) -> None:
            if on_epoch is not None:
                on_epoch(before + done, len(config.seeds) * config.epochs)

        nets[seed] = known or frechet.train_features(
            train, config, seed, device=device, on_epoch=tell
        )
        if known is None and path is not None:
            _store(nets[seed], path)
    return nets


def _name(train: NoduleCubes, config: FeatureConfig, seed: int) -> str:
    """Return the file's name, which changes with all that could change the network."""
    used = np.flatnonzero(train.usable)
    digest = hashlib.sha256(repr((config, seed, train.table)).encode())
    digest.update(np.ascontiguousarray(train.hu[used]).data)
    digest.update(np.packbits(train.mask[used]).data)
    for module in (frechet, nodule_net):
        digest.update(Path(str(module.__file__)).read_bytes())
    return f"features-{seed}-{digest.hexdigest()[:16]}.safetensors"


def _store(net: FeatureNet, path: Path) -> None:
    from safetensors.torch import save_file

    tensors = {name: t.cpu().contiguous() for name, t in net.network.state_dict().items()}
    tensors["standard.mean"] = torch.from_numpy(net.mean)
    tensors["standard.deviation"] = torch.from_numpy(net.deviation)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        save_file(tensors, temporary)


def _load(path: Path, config: FeatureConfig, device: str) -> FeatureNet | None:
    """Return the network that is kept; None where the file is broken and it must be made again."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (OSError, SafetensorError):
        return None
    mean, deviation = tensors.pop("standard.mean"), tensors.pop("standard.deviation")
    outputs = len(ATTENUATIONS) + 2 + len(RATINGS)
    network = NoduleNet(outputs, width=config.width, features=config.features)
    network.load_state_dict(tensors)
    return FeatureNet(network.to(choose_device(device)), mean.numpy(), deviation.numpy())
