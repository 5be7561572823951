"""PGGAN [1]: whole radiographs out of noise, by networks that grow with their images.

[1] Karras et al., Progressive Growing of GANs for Improved Quality, Stability, and Variation,
ICLR 2018, arXiv:1710.10196v3.
[2] Kim et al., on synthesis of chest radiographs with PGGAN and anomaly detection, 2021: [1] up to
1,024 x 1,024 on normal radiographs, each scaled to its 99th percentile.
[3] Han et al., Pathology-aware generative adversarial networks, 2020, section 4: [1] at 256 x 256,
batches of 16, WGAN-GP.

The presets ``64`` to ``1024`` keep to [1]: WGAN-GP with drift, no augmentation, 800,000 images for
each fade and as many after it. Their one departure: weights of the layers of a fade start with
the training, not with the fade, which is the same draw at another time.

The presets ``default`` and ``few-*`` are ours, for hundreds of images in place of tens of
thousands, and hours of one CPU core in place of days of a GPU: narrower networks, fewer images,
the logistic loss with R1 every few steps, whose cost is half that of WGAN-GP, and two kinds of
augmentation. Real radiographs are zoomed, shifted, turned and exposed a little differently each
time, within what is usual between patients; and both real and drawn ones are shifted, cut out
and changed in brightness before the critic sees them, as often as its overfitting asks for.
Nothing is ever mirrored: the heart would be on the wrong side of normal radiographs.
"""

from lungsynth.synthesizers.pggan.build import build_recipe
from lungsynth.synthesizers.pggan.synthesizer import RadiographGenerator, load_pggan

__all__ = ["RadiographGenerator", "build_recipe", "load_pggan"]
