"""The Fréchet distance by hand and against another way to compute it."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import linalg

from lungsynth.evaluation.frechet import (
    FeatureConfig,
    frechet_distance,
    halves_distance,
    reading_loss,
    regression_targets,
    train_features,
)


def test_distance_of_two_gaussians_in_one_dimension_by_hand():
    """Means 0 and 3, variances 2 and 8: 9 + 2 + 8 - 2 * sqrt(16) = 11."""
    first, second = np.array([[-1.0], [1.0]]), np.array([[1.0], [5.0]])

    assert frechet_distance(first, second) == pytest.approx(11.0)


def test_distance_equals_the_formula_with_a_matrix_square_root():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5))
    second = rng.normal(size=(45, 5)) @ rng.normal(size=(5, 5)) + rng.normal(size=5)
    one, two = np.cov(first.T), np.cov(second.T)
    shift = first.mean(axis=0) - second.mean(axis=0)
    root = np.real(linalg.sqrtm(one @ two))

    expected = shift @ shift + np.trace(one + two - 2 * root)

    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)


def test_distance_is_symmetric_and_zero_to_itself_even_when_singular():
    rng = np.random.default_rng(1)
    first = np.repeat(rng.normal(size=(20, 3)), 2, axis=1)  # covariance of rank 3 of 6
    second = rng.normal(size=(25, 6))

    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first))


def test_halves_are_split_by_patient():
    """Each patient's nodules lie together, far from the other's: halves are as far apart."""
    features = np.array([[0.0], [0.2], [10.0], [10.2]])
    names = np.array(["a", "a", "b", "b"])

    found = halves_distance(features, names, np.random.default_rng(0))

    assert found == pytest.approx(100.0)


def test_reading_loss_matches_hand_computed_value():
    """Equal logits: log 3. Errors 1 and 2 of which the second is not known: 1."""
    output = torch.tensor([[0.0, 0.0, 0.0, 1.0, 5.0]])
    loss = reading_loss(
        output, torch.tensor([1]), torch.tensor([[0.0, 3.0]]), torch.tensor([[1.0, 0.0]])
    )

    assert loss.item() == pytest.approx(math.log(3) + 1)


def test_targets_are_standardised_and_missing_ratings_are_unknown(nine_cubes):
    table = [{**row, "malignancy": m} for row, m in zip(nine_cubes.table, "12345123 ", strict=True)]
    table[8]["malignancy"] = ""
    cubes = dataclasses.replace(nine_cubes, table=table)

    values, known = regression_targets(cubes, np.arange(9))

    np.testing.assert_allclose(values[:, :2].mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(values[:, :2].std(axis=0), 1, atol=1e-4)
    assert known[:, 2].tolist() == [True] * 8 + [False]
    assert not known[:, 3:].any()  # no spiculation ... sphericity in the table
    ratings = np.array([1, 2, 3, 4, 5, 1, 2, 3])
    np.testing.assert_allclose(values[:8, 2], (ratings - 2.625) / ratings.std(), atol=1e-4)


def test_features_have_mean_0_and_deviation_1_where_they_were_learnt(nine_cubes):
    config = FeatureConfig(epochs=1, batch_size=4, width=4, features=3, seeds=(0,))

    net = train_features(nine_cubes, config, 0, device="cpu")
    centre = np.array([nine_cubes.centre(n) for n in range(9)])
    found = net.features(nine_cubes.hu, centre)

    assert found.shape == (9, 3)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(found.std(axis=0), 1, atol=1e-2)
