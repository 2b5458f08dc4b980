import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topo_search.search.learning_curve import upper_bound


@pytest.mark.parametrize("power", [0.3, 0.7, 1.0, 2.0])
def test_a_power_law_is_continued(power):
    curve = [0.9 - 0.5 * epoch**-power for epoch in range(1, 9)]
    assert upper_bound(curve, 40, deviations=0.0) == pytest.approx(0.9 - 0.5 * 40**-power, abs=2e-3)


@pytest.mark.parametrize(
    "curve", [[], [0.1], [0.1, 0.2], [0.1, 0.2, 0.25], [0.5] * 12, [0.5, 0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, math.nan]]
)
def test_a_curve_that_says_nothing_has_no_bound(curve):
    assert upper_bound(curve, 40, deviations=0.0) == math.inf


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=0, max_size=30), st.floats(0, 3))
def test_the_bound_is_a_number_that_grows_with_the_deviations(curve, deviations):
    low, high = (upper_bound(curve, 60, deviations=d) for d in (deviations, deviations + 1))
    assert not math.isnan(low)
    assert low <= high


def test_noisy_curves_seldom_rise_above_their_bound():
    rng = np.random.default_rng(0)
    above = []
    for _ in range(300):
        level, drop, power = rng.uniform(0.5, 0.95), rng.uniform(0.1, 0.4), rng.uniform(0.4, 1.5)
        curve = level - drop * np.arange(1, 13) ** -power + rng.normal(0, 0.005, 12)
        above.append(level - drop * 24**-power > upper_bound(curve, 24, deviations=2.0))
    assert np.mean(above) < 0.15
