"""Plain ways to the nearest normal image, which a search of a generator must beat.

The mean image with the standard deviation of each pixel (taken by ``detectors.residuals``, as for
any detector) is the pixelwise Mahalanobis distance; principal components are the linear generator.
"""

from __future__ import annotations

import numpy as np

from lungsynth.core.errors import LungSynthError
from lungsynth.detectors.contracts import Images


class MeanImage:
    """Takes the mean of the normals for the nearest normal.

    Args:
        mean: (S, S).
    """

    name = "mahalanobis"

    def __init__(self, mean: Images) -> None:
        self.mean = mean

    @classmethod
    def fit(cls, normals: Images) -> MeanImage:
        """Learn from normals (N, S, S)."""
        return cls(normals.mean(axis=0, dtype=np.float64).astype(np.float32))

    def reconstruct(self, images: Images, weight: Images) -> Images:
        """Return the mean, brightened as each image is: (B, S, S)."""
        total = np.maximum(weight.sum(axis=(1, 2)), 1e-6)
        lift = (weight * (images - self.mean)).sum(axis=(1, 2)) / total
        return np.asarray(self.mean + lift[:, None, None], dtype=np.float32)


class PrincipalComponents:
    """Takes the nearest image in the space that the components of the normals span.

    Args:
        mean: (S, S).
        components: (C, S, S), orthonormal.
    """

    name = "pca"

    def __init__(self, mean: Images, components: Images) -> None:
        self.mean, self.components = mean, components

    @classmethod
    def fit(cls, normals: Images, variance: float = 0.9, most: int = 128) -> PrincipalComponents:
        """Learn from normals (N, S, S).

        Args:
            normals: The images.
            variance: So many components that they explain this share of the variance.
            most: But no more than this, and no more than a third of the images.

        Raises:
            LungSynthError: If there are fewer than four images.
        """
        if len(normals) < 4:
            msg = f"principal components need four normal radiographs at least; got {len(normals)}"
            raise LungSynthError(msg)
        mean = normals.mean(axis=0, dtype=np.float64)
        centred = (normals - mean).reshape(len(normals), -1)
        values, vectors = np.linalg.eigh(centred @ centred.T)  # N x N, since pixels are many
        values, vectors = np.clip(values[::-1], 0, None), vectors[:, ::-1]
        share = np.cumsum(values) / max(values.sum(), 1e-12)
        count = int(np.searchsorted(share, variance) + 1)
        count = max(1, min(count, most, len(normals) // 3))
        components = (vectors[:, :count] / np.sqrt(np.maximum(values[:count], 1e-12))).T @ centred
        shape = (count, *normals.shape[1:])
        return cls(mean.astype(np.float32), components.reshape(shape).astype(np.float32))

    def reconstruct(self, images: Images, weight: Images) -> Images:
        """Return the weighted least-squares fit of each image, (B, S, S)."""
        basis = self.components.reshape(len(self.components), -1).astype(np.float64)
        found = np.empty_like(images)
        for n, (image, w) in enumerate(zip(images, weight, strict=True)):
            weighted = basis * w.ravel()
            # a little of the identity: outside the field a component may be unseen
            normal = weighted @ basis.T + 1e-3 * np.eye(len(basis))
            score = np.linalg.solve(normal, weighted @ (image - self.mean).ravel())
            found[n] = self.mean + (score @ basis).reshape(image.shape)
        return found
