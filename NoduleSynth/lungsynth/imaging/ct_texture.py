"""What a scanner and unresolved lung add to drawn anatomy: mottle, blur and noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

BLUR_MM = 0.65  # standard deviation of the point spread in the slice
# With these, differences between voxels 1 to 8 apart in aerated lung match a real CT's
NOISE_HU = 21.0
TEXTURE_HU = 17.0


def add_texture(
    hu: NDArray[np.float32], spacing_mm: tuple[float, float, float], rng: np.random.Generator
) -> None:
    """Give aerated lung the mottle of lobules and unresolved small vessels, in place.

    Args:
        hu: Intensities, shape (K, J, I).
        spacing_mm: Voxel size along (i, j, k).
        rng: Source of the mottle.
    """
    steps = np.array(spacing_mm[::-1])
    coarse_steps = np.maximum(steps, 2.0)
    extent = np.array(hu.shape) * steps
    white = rng.standard_normal(np.ceil(extent / coarse_steps + 2).astype(int), np.float32)
    field = np.zeros_like(white)
    for sigma_mm, weight in ((1.8, 0.85), (9.0, 0.55)):
        part = ndimage.gaussian_filter(white, sigma_mm / coarse_steps, mode="wrap")
        field += weight * part / part.std()
    positions = [
        np.arange(n) * s / c for n, s, c in zip(hu.shape, steps, coarse_steps, strict=True)
    ]
    for plane, height in zip(hu, positions[0], strict=True):
        below = int(height)
        layer = field[below] + (height - below) * (field[below + 1] - field[below])
        fine = _bilinear(layer, positions[1], positions[2])
        np.add(plane, TEXTURE_HU * fine, out=plane, where=(plane > -930) & (plane < -700))


def _bilinear(
    layer: NDArray[np.float32], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Sample a plane on a grid of fractional rows and columns."""
    r, c = rows.astype(int), columns.astype(int)
    fr, fc = (rows - r).astype(np.float32)[:, None], (columns - c).astype(np.float32)
    tall = layer[r] + fr * (layer[r + 1] - layer[r])
    return np.asarray(tall[:, c] + fc * (tall[:, c + 1] - tall[:, c]), np.float32)


def with_noise(
    hu: NDArray[np.float32], spacing_mm: tuple[float, float, float], rng: np.random.Generator
) -> NDArray[np.int16]:
    """Return int16 HU, blurred as a kernel does and with its noise: a ramp, cut off.

    The planes share white noise with their neighbours where slices lie closer than the
    detector blurs.

    Args:
        hu: Intensities without noise, shape (K, J, I).
        spacing_mm: Voxel size along (i, j, k).
        rng: Source of the noise.
    """
    _, rows, columns = hu.shape
    fy = np.fft.fftfreq(rows, spacing_mm[1])[:, None]
    fx = np.fft.rfftfreq(columns, spacing_mm[0])[None, :]
    frequency = np.sqrt(fx**2 + fy**2)
    gain = (np.sqrt(frequency + 0.03) * np.exp(-((frequency / 0.26) ** 2))).astype(np.float32)
    gain /= np.sqrt(np.mean(gain**2))
    blur = np.exp(-2 * (np.pi * BLUR_MM * frequency) ** 2).astype(np.float32)
    share = float(np.exp(-((spacing_mm[2] / 2.2) ** 2)))
    voxels = np.empty(hu.shape, np.int16)
    state = rng.standard_normal((rows, columns), np.float32)
    for plane, out in zip(hu, voxels, strict=True):
        fresh = rng.standard_normal((rows, columns), np.float32)
        state = share * state + (1 - share**2) ** 0.5 * fresh
        spectrum = np.fft.rfft2(plane) * blur + NOISE_HU * gain * np.fft.rfft2(state)
        out[:] = np.clip(np.rint(np.fft.irfft2(spectrum, s=(rows, columns))), -1024, 3071)
    return voxels
