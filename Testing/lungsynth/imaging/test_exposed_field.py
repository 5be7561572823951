"""What of a radiograph shows the patient, on pictures whose parts are known."""

import numpy as np
import pytest

from lungsynth.imaging.exposed_field import exposed_field


def chest(side: int = 200) -> np.ndarray:
    """A smooth picture with noise, nowhere flat."""
    rows, columns = np.mgrid[:side, :side] / (side - 1)
    lungs = np.exp(-((columns - 0.3) ** 2 + (rows - 0.5) ** 2) / 0.03)
    lungs += np.exp(-((columns - 0.7) ** 2 + (rows - 0.5) ** 2) / 0.03)
    rng = np.random.default_rng(4)
    return 150 - 100 * lungs + 40 * rows + rng.normal(0, 2, (side, side))


def test_a_plain_chest_is_all_field():
    assert exposed_field(chest()).mean() > 0.999


@pytest.mark.parametrize("level", [0.0, 255.0])
def test_a_collimated_border_is_left_out_and_nothing_more(level):
    image = np.clip(chest(), 5, 250)
    image[:, :15] = image[:20] = level

    field = exposed_field(image)

    assert not field[:20].any()
    assert not field[:, :15].any()
    assert field[24:, 20:].all()


def test_a_marker_is_left_out_with_its_edge():
    image = np.clip(chest(), 5, 210)
    image[12:22, 170:173] = image[19:22, 170:180] = 255  # an L

    field = exposed_field(image)

    assert not field[12:22, 170:173].any()
    assert not field[19:22, 170:180].any()
    assert field.mean() > 0.98


def test_the_same_in_the_middle_of_the_chest_is_a_finding():
    image = np.clip(chest(), 5, 210)
    image[100:110, 60:63] = 255

    assert exposed_field(image).all()


def test_known_lungs_decide_instead_of_the_middle():
    image = np.clip(chest(), 5, 210)
    image[100:110, 98:101] = 255
    lungs = np.zeros(image.shape, bool)
    lungs[60:150, 40:80] = lungs[60:150, 120:160] = True

    field = exposed_field(image, lungs)

    assert not field[100:110, 98:101].any()
