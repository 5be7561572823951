"""The class-aware losses against values done by hand."""

import math

import pytest
import torch

from lungsynth.losses import class_aware as losses


def test_reconstruction_by_hand():
    """[1, Eq. 1]: 3 over the two masked voxels, (2 + 4 + 6) / 4 over all."""
    real = torch.zeros(1, 1, 1, 2, 2)
    filled = torch.tensor([2.0, -4, 0, 6]).view(1, 1, 1, 2, 2)
    mask = torch.tensor([1.0, 1, 0, 0]).view(1, 1, 1, 2, 2)

    assert losses.reconstruction_loss(filled, real, mask, 0.0).item() == pytest.approx(3.0)
    assert losses.reconstruction_loss(filled, real, mask, 0.5).item() == pytest.approx(4.5)


def test_reconstruction_with_one_mask_for_all_items():
    real, filled = torch.zeros(3, 1, 1, 1, 2), torch.zeros(3, 1, 1, 1, 2)
    filled[0, ..., 0] = 6.0
    mask = torch.tensor([1.0, 0]).view(1, 1, 1, 1, 2)

    assert losses.reconstruction_loss(filled, real, mask, 0.0).item() == pytest.approx(2.0)


def test_adversarial_value_has_its_signs():
    """[1, Eq. 2]: 2 - (-1) - 10 x 0.25."""
    found = losses.adversarial_value(
        torch.tensor([3.0, 1.0]), torch.tensor([-4.0, 2.0]), torch.tensor(0.25), 10.0
    )

    assert found.item() == pytest.approx(0.5)


def test_class_loss_is_minus_the_log_of_the_right_class():
    """[1, Eq. 3], also with targets of which readers are unsure."""
    logits = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    total = math.e + math.e**2 + math.e**3
    expected = (-math.log(math.e**3 / total) + math.log(3)) / 2
    target = torch.tensor([losses.MALIGNANT, losses.FAKE])
    assert losses.class_loss(logits, target).item() == pytest.approx(expected)

    unsure = torch.tensor([[0.0, 0.25, 0.75], [1.0, 0.0, 0.0]])
    first = -0.25 * math.log(math.e**2 / total) - 0.75 * math.log(math.e**3 / total)
    found = losses.class_loss(logits, unsure).item()
    assert found == pytest.approx((first + math.log(3)) / 2)


def test_classes_are_numbered_as_the_paper_does():
    """[1, 2.2]: 0 = fake, 1 = benign, 2 = malignant."""
    assert (losses.FAKE, losses.BENIGN, losses.MALIGNANT) == (0, 1, 2)


def test_objectives_by_hand():
    """[1, Eqs. 4 and 5], both to be lowered."""
    value, classes, recon = (torch.tensor(v) for v in (2.0, 0.5, 0.25))

    assert losses.critic_objective(value, classes, 4.0).item() == pytest.approx(0.0)
    found = losses.generator_objective(torch.tensor(-3.0), classes, recon, 4.0, 8.0)
    assert found.item() == pytest.approx(1.0)


def test_a_critic_that_lowers_its_objective_parts_real_from_fake():
    """With the signs as printed it would bring them together and raise its own penalty."""
    no_class = torch.tensor(0.0)

    def objective(real, fake, penalty):
        value = losses.adversarial_value(
            torch.tensor([real]), torch.tensor([fake]), torch.tensor(penalty), 10.0
        )
        return losses.critic_objective(value, no_class, 1.0)

    assert objective(1.0, -1.0, 0.0) < objective(0.0, 0.0, 0.0)
    assert objective(0.0, 0.0, 0.1) > objective(0.0, 0.0, 0.0)
