"""Class-aware synthesis [1]: lung nodules in CT by size and malignancy.

[1] Yang et al., Class-Aware Adversarial Lung Nodule Synthesis in CT Images, ISBI 2019,
arXiv:1812.11204v1.

The ``paper`` preset keeps to [1] (see paper.py). Departures of the default preset, all ours: the
box scales with the nodule and only it is decoded; a coarse network at half resolution and a
refining one, both told diameter, density, attenuation and malignancy; malignancy is the readers'
mean rating, so that nodules on which they are undecided teach too; the noise sphere fades out
towards its surface; a relativistic loss on pairs with R1 and R2 instead of WGAN-GP; a segmenter
and a reader, trained on real nodules alone, measure what came out, and the generator is also told
by how much it missed the diameter, the density and the malignancy asked; some nodules are asked
for with another malignancy than the one they replace, since size and malignancy go together in
real ones and the generator must not take one for the other.
"""
