"""The cap of IMEX steps against the bound that it solves, and against every pattern of slopes."""

import numpy as np
import pytest
from scipy.optimize import brentq
from support.small_networks import random_skew, random_small, vertices

from topo_search.model.coupling import euler_cap, imex_cap
from topo_search.seeds import generator

GRID = [(s, h) for s in (0.05, 0.3, 0.5, 0.9, 0.97, 0.999) for h in (0.01, 0.03, 0.1, 0.5, 1.0)]


def closed_form(area_norm, sigma, h):
    b = h * sigma / 2
    return (np.hypot(1 - h, b) + h * area_norm) / np.hypot(1, b)


def exact_factor(weights, skew, h):
    """The largest norm of a step in ``z = (I - h K / 2) y`` over all slopes."""
    identity = np.eye(len(weights))
    inverse = np.linalg.inv(identity - h / 2 * skew)
    local = h * (weights * vertices(len(weights))[:, None, :] - identity)
    return np.linalg.norm((identity + h / 2 * skew + local) @ inverse, 2, axis=(-2, -1)).max()


@pytest.mark.parametrize(("area_norm", "h"), GRID)
def test_the_cap_is_where_the_closed_form_reaches_one(area_norm, h):
    expected = brentq(lambda sigma: closed_form(area_norm, sigma, h) - 1, 0, 1e7, xtol=1e-12, rtol=1e-14)
    assert imex_cap(area_norm, h) == pytest.approx(expected, rel=1e-6)
    assert imex_cap(area_norm, h) > euler_cap(area_norm, h)


def test_without_area_weights_any_coupling_is_certified():
    assert imex_cap(0.0, 0.1) == np.inf
    assert imex_cap(1.0, 0.1) == 0.0


def test_below_the_cap_no_pattern_of_slopes_expands():
    for case in range(150):
        rng = generator("imex", case)
        sizes, h = (2, 3, 1), float(rng.uniform(0.02, 1))
        network = random_small(rng, sizes, area=1.0, coupling=0.0)
        area_norm = float(rng.uniform(0.3, 0.99))
        weights = network.weights * area_norm / np.linalg.norm(network.weights, 2)
        skew = random_skew(rng, sizes, 0.999 * imex_cap(area_norm, h))
        assert exact_factor(weights, skew, h) <= closed_form(area_norm, np.linalg.norm(skew, 2), h) + 1e-12 < 1
