"""Geometry, lungs, seeds and pasting: what is done to voxels without a network."""
