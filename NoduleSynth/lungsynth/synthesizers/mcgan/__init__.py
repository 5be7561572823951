"""3D MCGAN [1]: lung nodules in CT by position, size and attenuation.

[1] Han et al., Pathology-aware generative adversarial networks for medical image augmentation,
arXiv:2106.01915 (2020), section 6.2.1 and Fig. 17.

The ``paper`` presets keep to [1] (see paper.py). Departures of the default preset, all ours: only
the centre is decoded; continuous conditions (diameter, its ratio to the box, mean HU) beside the
six classes; a 16-d latent and per-layer noise instead of dropout; a relativistic loss on pairs with
zero-centred penalties instead of LSGAN and WGAN-GP; the noise box fades out towards its faces,
where the old tissue shows through; the critics see what is left of the centre once the volume's own
voxels have held it; a segmenter trained on the real masks measures each nodule, and the generator
is also told by how much it missed the diameter and density asked.
"""
