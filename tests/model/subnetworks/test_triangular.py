"""Theorem 4: triangular areas have a metric by Theorem 1, whatever stands below the diagonal."""

import numpy as np
import pytest
import torch
from support.vertices import area_rate

from topo_search.model.recipes import TriangularRecipe
from topo_search.model.subnetworks import draw, fixed_area, raw_size, realise, to_metric_coordinates
from topo_search.model.subnetworks.triangular import triangular_weights


def test_weights_are_lower_triangular_with_self_weights_below_one():
    raw = torch.as_tensor(100 * np.random.default_rng(0).normal(size=raw_size(TriangularRecipe(), 7)))
    weights = triangular_weights(raw, 7).numpy()
    assert not np.triu(weights, 1).any()
    assert np.array_equal(weights[np.tril_indices(7, -1)], raw.numpy()[below_diagonal(7)])
    assert np.abs(np.diag(weights)).max() <= 0.99
    np.testing.assert_allclose(np.diag(triangular_weights(raw / 1e6, 7)), 0.99 * raw.numpy()[~below_diagonal(7)] / 1e6)


def below_diagonal(n):
    rows, columns = np.tril_indices(n)
    return rows != columns


@pytest.mark.parametrize("seed", range(10))
def test_the_realised_area_is_the_triangle_in_a_diagonal_metric(seed):
    recipe = TriangularRecipe(density=0.8, magnitude=3.0, self_weight=1.0)
    start = draw(recipe, 8, np.random.default_rng(seed), 0.9)
    inner = realise(recipe, 8, torch.as_tensor(start.raw), torch.as_tensor(start.mask), 0.9).weights.numpy()
    original = triangular_weights(torch.as_tensor(start.raw), 8).numpy()
    back = to_metric_coordinates(inner, 1 / start.metric)
    present = original != 0
    assert not back[~present].any()
    ratio = back[present] / original[present]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
    assert area_rate(inner) >= 0.1 - 1e-12
    # In original coordinates the identity is no metric for most of them.
    assert np.log(start.metric).mean() == pytest.approx(0, abs=1e-12)


def test_the_share_below_the_diagonal_is_the_density_and_self_weights_are_kept():
    start = draw(TriangularRecipe(density=0.3), 64, np.random.default_rng(1), 0.9)
    assert start.mask[~below_diagonal(64)].all()
    assert start.mask[below_diagonal(64)].mean() == pytest.approx(0.3, abs=0.04)
    area = fixed_area(TriangularRecipe(density=0.3), 64, np.random.default_rng(1), 0.9)
    assert np.linalg.norm(area.weights, 2) == pytest.approx(0.9, rel=1e-12)
