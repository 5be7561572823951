"""A generator whose images are known, and images of its own and of other kinds."""

import numpy as np
import pytest
import torch

from lungsynth.data.radiograph_pixels import RadiographScale


class BlobGenerator:
    """Draws two dark lungs and a bright heart, whose places and sizes are the latents: 6 numbers.

    The latents act through tanh, so that every image is one of a normal chest.
    """

    latent_size, image_size = 6, 32
    scale, weights_sha256 = RadiographScale(), "f00d" * 16
    device = torch.device("cpu")

    def __call__(self, latents: torch.Tensor) -> torch.Tensor:
        steps = torch.linspace(-1, 1, self.image_size)
        rows, columns = steps[None, :, None], steps[None, None, :]
        moves = 0.15 * torch.tanh(latents)[:, :, None, None]

        def blob(row: torch.Tensor, column: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
            return torch.exp(-((rows - row) ** 2 + (columns - column) ** 2) / size**2)

        left = blob(0.1 + moves[:, 0], -0.45 + moves[:, 1], 0.4 + moves[:, 2])
        right = blob(0.1 + moves[:, 0], 0.45 - moves[:, 1], 0.4 + moves[:, 3])
        heart = blob(0.5 + moves[:, 4], 0.1 + moves[:, 5], 0.25 + 0 * moves[:, 4])
        return (0.5 - 1.2 * left - 1.2 * right + 0.5 * heart + 0.2 * rows)[:, None]

    def normals(self, count: int, seed: int, noise: float = 0.04) -> np.ndarray:
        rng = np.random.default_rng(seed)
        latents = torch.from_numpy(rng.standard_normal((count, self.latent_size))).float()
        images = self(latents)[:, 0].numpy()
        return np.clip(images + rng.normal(0, noise, images.shape), -1, 1).astype(np.float32)


@pytest.fixture(name="generator")
def blob_generator() -> BlobGenerator:
    return BlobGenerator()
