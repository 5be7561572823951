"""An encoder that inverts a generator, so that a search of its latent vectors starts near.

[1] Schlegl et al., f-AnoGAN: fast unsupervised anomaly detection with generative adversarial
networks, Medical Image Analysis 54:30-44 (2019), section 3.2.
[2] Zhu et al., Generative visual manipulation on the natural image manifold, arXiv:1609.03552v3
(2018), section 3.2: an encoder's answer is where the search starts.

Departures from [1]: the encoder learns from drawn images, whose latent vectors are known, and from
real normals by what the generator makes of its answer, both at once (ours); the loss of images is
that of the search (kim2021, section 4.2).
"""

from lungsynth.detectors.encoder.config import PRESETS, EncoderConfig
from lungsynth.detectors.encoder.network import Encoder, load_encoder

__all__ = ["PRESETS", "Encoder", "EncoderConfig", "load_encoder"]
