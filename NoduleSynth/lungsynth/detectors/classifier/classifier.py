"""The trained classifier: likelihoods, features, and where it looks.

[1] Selvaraju et al., Grad-CAM, arXiv:1610.02391v4 (2019), Eqs. 1 and 2.
[2] Cohen et al., TorchXRayVision, MIDL 2022: its ResNet-50, whose weights can be read too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from lungsynth.core.errors import LungSynthError
from lungsynth.data.radiograph_pixels import RadiographScale
from lungsynth.detectors.classifier.config import ANY_FINDING, SYSTEM, ClassifierConfig
from lungsynth.detectors.contracts import Images
from lungsynth.nn.device import choose_device
from lungsynth.nn.resnet import ResNet
from lungsynth.nn.weights import load_weights

XRV_LABELS = (
    "Atelectasis|Consolidation|Infiltration|Pneumothorax|Edema|Emphysema|Fibrosis|Effusion|"
    "Pneumonia|Pleural_Thickening|Cardiomegaly|Nodule|Mass|Hernia|Lung Lesion|Fracture|"
    "Lung Opacity|Enlarged Cardiomediastinum"
)
"""Outputs of TorchXRayVision's "all" models, in their order [2]."""
XRV_SIDE, XRV_LEVEL = 512, 1024.0
"""Its ResNet-50 takes 512 x 512 pixels from -1024 to 1024 [2]."""


class RadiographClassifier:
    """Says which findings an image shows.

    Args:
        network: In evaluation mode.
        config: How it was built; its ``names`` are the outputs.
        device: Where the network is.
        sha256: Of the weights file; None for a network just made.
        level: What the networks' 1 stands for in the scale of its weights.
    """

    def __init__(
        self,
        network: ResNet,
        config: ClassifierConfig,
        *,
        device: torch.device | str = "cpu",
        sha256: str | None = None,
        level: float = 1.0,
    ) -> None:
        self.network, self.config, self.sha256 = network.eval(), config, sha256
        self.device, self.level = torch.device(device), level
        self.names = config.names

    @property
    def scale(self) -> RadiographScale:
        """How stored values become what it is given."""
        config = self.config
        return RadiographScale(config.scale_kind, config.scale_low, config.scale_high)

    def likelihoods(self, images: Images, batch_size: int = 32) -> NDArray[np.float64]:
        """Return a likelihood for each image and output, (N, F).

        Args:
            images: (N, S, S) in [-1, 1], dense tissue bright, of any side.
            batch_size: Images at once.
        """
        return self._each(images, batch_size, lambda x: self.network(x).sigmoid())

    def features(self, images: Images, batch_size: int = 32) -> NDArray[np.float64]:
        """Return what the last layer reads (N, C): the domain's features for a Fréchet distance."""
        return self._each(images, batch_size, self.network.features)

    def any_finding(self, likelihoods: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the likelihood of at least one finding (N,): its own output, or else the largest.

        TorchXRayVision has none; there it is the largest of all.
        """
        if ANY_FINDING in self.names:
            return np.asarray(likelihoods[:, self.names.index(ANY_FINDING)])
        return np.asarray(likelihoods.max(axis=1))

    def grad_cam(self, images: Images, name: str) -> Images:
        """Return where the network sees a finding, (N, S, S), 0 to 1 [1, Eqs. 1 and 2].

        Raises:
            LungSynthError: If it has no such output.
        """
        if name not in self.names:
            msg = f"the classifier has no output '{name}'; it has {', '.join(self.names)}"
            raise LungSynthError(msg)
        found = []
        for image in images:
            with torch.enable_grad():
                maps = self.network.maps(self._given(image[None])).detach().requires_grad_()
                logit = self.network.fc(maps.mean(dim=(2, 3)))[0, self.names.index(name)]
                (gradient,) = torch.autograd.grad(logit, maps)
            weight = gradient.mean(dim=(2, 3), keepdim=True)
            heat = relu((weight * maps).sum(dim=1, keepdim=True)).detach()
            heat = interpolate(heat, image.shape, mode="bilinear", align_corners=False)[0, 0]
            found.append((heat / heat.max().clamp(min=1e-12)).cpu().numpy())
        return np.stack(found)

    def _each(self, images: Images, batch_size: int, apply: Any) -> NDArray[np.float64]:  # noqa: ANN401 - a module's own call has no types
        found = []
        with torch.inference_mode():
            for first in range(0, len(images), batch_size):
                batch = self._given(images[first : first + batch_size])
                found.append(apply(batch).double().cpu().numpy())
        return np.concatenate(found)

    def _given(self, images: Images) -> Tensor:
        side = self.config.image_size
        x = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))[:, None]
        x = x.to(self.device)
        if x.shape[-2:] != (side, side):
            # shrinking averages, so that fine noise does not come out as coarse
            x = interpolate(x, (side, side), mode="bilinear", antialias=True)
        return x * self.level


def load_classifier(path: Path, device: str = "auto") -> RadiographClassifier:
    """Read a classifier's weights: of ``lungsynth train cxr-classifier``, or TorchXRayVision's.

    Args:
        path: Of the former .safetensors; of the latter a file of tensors alone, .safetensors or
            .pt (a state dict): a pickled model is never loaded.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        LungSynthError: If the file is missing or broken, or is something else.
    """
    target = choose_device(device)
    foreign = _xrv_tensors(path)
    if foreign is not None:
        return _xrv_classifier(path, foreign, target)
    stored = load_weights(path, SYSTEM)
    values: dict[str, Any] = dict(stored.config)
    try:
        config = ClassifierConfig(**values)
        network = ResNet(config.shape, width=config.width, outputs=len(config.names))
        network.load_state_dict(stored.tensors)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        msg = f"{path}: the weights do not fit the networks of this version ({reason})"
        raise LungSynthError(msg) from None
    return RadiographClassifier(network.to(target), config, device=target, sha256=stored.sha256)


def _xrv_tensors(path: Path) -> dict[str, Tensor] | None:
    """Return tensors named as torchvision names a ResNet-50's; None for a file of our own."""
    if not path.is_file():
        return None  # which ``load_weights`` then says
    try:
        if path.suffix == ".pt":
            found = torch.load(path, map_location="cpu", weights_only=True)
        else:
            found = load_file(path)
    except (SafetensorError, OSError):
        return None  # the same
    except Exception:  # noqa: BLE001 - whatever a foreign file makes torch raise
        msg = (
            f"{path}: no file of tensors alone (a pickled model is never loaded); save its "
            "state_dict() as .safetensors"
        )
        raise LungSynthError(msg) from None
    if not isinstance(found, dict):
        return None
    bare = {str(name).removeprefix("model."): value for name, value in found.items()}
    is_resnet50 = "layer3.5.conv3.weight" in bare and bare["fc.weight"].shape[0] == 18
    return bare if is_resnet50 and bare["conv1.weight"].shape[0] == 64 else None


def _xrv_classifier(
    path: Path, tensors: dict[str, Tensor], device: torch.device
) -> RadiographClassifier:
    names: Sequence[str] = XRV_LABELS.split("|")
    network = ResNet("resnet50", width=64, outputs=len(names))
    known = network.state_dict().keys()
    try:
        # beside the network it keeps thresholds for its outputs, which are not used here
        network.load_state_dict({name: tensors[name].float() for name in known})
    except (KeyError, RuntimeError) as error:
        msg = f"{path}: not TorchXRayVision's ResNet-50 ({' '.join(str(error).split())[:200]})"
        raise LungSynthError(msg) from None
    config = ClassifierConfig(
        shape="resnet50", width=64, image_size=XRV_SIDE, labels=XRV_LABELS, scale_high=100.0
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    moved: nn.Module = network.to(device)
    assert isinstance(moved, ResNet)
    return RadiographClassifier(moved, config, device=device, sha256=digest, level=XRV_LEVEL)
