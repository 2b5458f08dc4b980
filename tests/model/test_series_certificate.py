"""Where the native engine truncates a series, the certificate counts what is left out, for every step that solves."""

from dataclasses import replace

import numpy as np
import pytest
from support.matrices import random_matrices

from topo_search.model import certify_matrices

AREAS, SIZE, H = 12, 2, 0.4
EDGES = tuple(sorted((i, (i + 1) % AREAS) if i + 1 < AREAS else (0, i) for i in range(AREAS)))


def ring(integrator):
    rng = np.random.default_rng(3)
    return random_matrices(rng, (SIZE,) * AREAS, EDGES, area_norm=0.8, coupling_norm=1.5, h=H, integrator=integrator)


def polynomial(skew, c, radius, coefficients):
    """The truncated series as a matrix: ``sum a_k P_k(c K / radius)``."""
    x = c * skew / radius
    before, now = np.eye(len(skew)), x
    total = coefficients[0] * before
    for coefficient in coefficients[1:]:
        total = total + coefficient * now
        before, now = now, 2 * x @ now + before
    return total


def coarse_series(radius, degree):
    root = np.sqrt(1 + radius**2)
    q = radius / (1 + root)
    return radius, (1 / root, *(2 * q**k / root for k in range(1, degree + 1)))


@pytest.mark.parametrize("degree", [2, 3, 5, 9])
@pytest.mark.parametrize("integrator", ["imex", "resolvent"])
def test_no_step_with_the_series_expands_by_more_than_is_certified(integrator, degree):
    network = ring(integrator)
    c = H if integrator == "resolvent" else H / 2
    series = coarse_series(1.05 * c * 1.5, degree)
    exact, counted = certify_matrices(network), certify_matrices(replace(network, series=series))
    assert exact.step_residual < 1e-9 < counted.step_residual
    assert counted.rho > exact.rho
    skew = network.coupling - network.coupling.T
    identity = np.eye(len(skew))
    solve, stretch = polynomial(skew, c, *series), identity - H / 2 * skew
    carry = float(integrator == "imex")
    rng, largest = np.random.default_rng(0), 0.0
    for _ in range(300):
        slopes = rng.integers(0, 2, len(skew))
        local = (1 + carry - H) * identity + H * network.area_weights * slopes
        step = solve @ local - carry * identity
        # IMEX steps contract in z = (I - (h / 2) K) y.
        step = stretch @ step @ np.linalg.inv(stretch) if carry else step
        largest = max(largest, np.linalg.norm(step, 2))
    assert largest <= counted.rho
