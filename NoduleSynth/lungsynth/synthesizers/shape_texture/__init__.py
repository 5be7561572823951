"""Shape, size, texture [1]: nodules in chest radiographs, each attribute by a part of its own.

[1] Shen et al., Image synthesis with disentangled attributes for chest X-ray nodule augmentation
and detection, Medical Image Analysis 84 (2023), 102708; preprint of 2022.

A DCGAN draws an outline (``shape_networks``), size modulation brings it to the diameter that is
asked (``imaging.size_modulation``), and a coarse and a refining network of gated convolutions fill
it with texture that suits what is around it (``texture_networks``). The two parts are trained one
after the other and kept in one file of weights.

The ``paper`` presets keep to [1] wherever it gives a number. Departures of the default preset, all
ours:

 * contrast is a condition, which [1, V] names as missing: the networks begin with a plain nodule of
   that contrast (``conditions.dome``) over what lies behind, and add what is missing to it. What
   lies behind is the tissue itself where it is known, since a radiograph is a sum along the beam
   and ribs show through a nodule, and else what the surroundings suggest (``imaging.fill``);
 * what may change is the outline and a narrow rim, fading out, because a radiograph is blurred; the
   rest is the original exactly (in the paper's presets, exactly outside the outline);
 * reconstruction and features are compared where something may change, not over the whole patch;
 * narrower networks with one more halving, and a patch of 128 for nodules that leave room in it;
 * the shape discriminator sees how much a batch varies, and the generator is told what it lacks of
   the variety of real shapes, for it begins with one disc for all latents; its logits are blurred a
   little, since outlines are smooth.
"""
