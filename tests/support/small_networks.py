"""Small random networks, and their contraction rates and factors by trying every pattern of slopes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np


def vertices(n: int) -> np.ndarray:
    """All slopes in {0, 1}^n, ``(2^n, n)``: rates are concave and norms convex in D, so the worst D is one of them."""
    return np.array(list(product((0.0, 1.0), repeat=n)))


def rate_of(jacobians: np.ndarray) -> float:
    """The worst contraction rate of several Jacobians in the identity metric."""
    return -float(np.linalg.eigvalsh((jacobians + jacobians.swapaxes(-1, -2)) / 2)[..., -1].max())


def parts(sizes) -> list[slice]:
    return [slice(a, b) for a, b in pairwise(np.cumsum([0, *sizes]).tolist())]


def block_mask(sizes, pairs) -> np.ndarray:
    mask = np.zeros((sum(sizes), sum(sizes)), dtype=bool)
    for row, column in pairs:
        mask[parts(sizes)[row], parts(sizes)[column]] = True
    return mask


@dataclass
class Small:
    """``tau y' = r (-y + (W + C) phi(V y)) + L y``, every matrix dense."""

    sizes: tuple[int, ...]
    weights: np.ndarray
    nonlinear: np.ndarray
    linear: np.ndarray
    gauge: np.ndarray
    speeds: np.ndarray

    def jacobians(self, weights=None) -> np.ndarray:
        """One a vertex, ``(2^n, n, n)``."""
        weights = self.weights + self.nonlinear if weights is None else weights
        n = len(weights)
        behind = weights * vertices(n)[:, None, :] @ self.gauge
        return self.speeds[:, None] * (behind - np.eye(n)) + self.linear

    def scaled(self, scales) -> Small:
        """The same network in units in which ``blockdiag(scales)`` is the identity metric."""
        root = np.sqrt(np.repeat(scales, self.sizes))
        change = root[:, None] / root
        return Small(
            self.sizes,
            self.weights * change,
            self.nonlinear * change,
            self.linear * change,
            self.gauge * change,
            self.speeds,
        )

    @property
    def rate(self) -> float:
        return rate_of(self.jacobians())

    @property
    def area_rates(self) -> np.ndarray:
        """The exact rate of each area alone, ``(p,)``."""
        alone = self.jacobians(self.weights) - self.linear
        return np.array([rate_of(alone[:, part, part]) for part in parts(self.sizes)])

    def factor(self, h: float, weights=None) -> float:
        """The largest norm of an Euler step's Jacobian."""
        steps = np.eye(len(self.weights)) + h * self.jacobians(weights)
        return float(np.linalg.norm(steps, 2, axis=(-2, -1)).max())

    def area_factors(self, h: float) -> np.ndarray:
        """The exact factor of each area's Euler step alone, ``(p,)``."""
        steps = np.eye(len(self.weights)) + h * (self.jacobians(self.weights) - self.linear)
        return np.array([np.linalg.norm(steps[:, p, p], 2, axis=(-2, -1)).max() for p in parts(self.sizes)])


def random_small(
    rng: np.random.Generator, sizes, *, area: float, coupling: float, gauge=False, speeds=False, density=1.0
) -> Small:
    """Random areas with entries of deviation ``area`` and directed blocks of deviation ``coupling``."""
    n, p = sum(sizes), len(sizes)
    within = block_mask(sizes, [(a, a) for a in range(p)])
    joined = block_mask(sizes, [(i, j) for i in range(p) for j in range(p) if i != j and rng.random() < density])
    change = np.where(within, rng.normal(size=(n, n)), 0) * 0.4 if gauge else 0
    return Small(
        tuple(sizes),
        np.where(within, rng.normal(size=(n, n)), 0) * area,
        np.where(joined, rng.normal(size=(n, n)), 0) * coupling,
        np.zeros((n, n)),
        np.eye(n) + change,
        np.repeat(rng.uniform(0.3, 1, p), sizes) if speeds else np.ones(n),
    )


def random_skew(rng: np.random.Generator, sizes, strength: float, edges=None) -> np.ndarray:
    """An exactly skew matrix between areas, of spectral norm ``strength``."""
    p, n = len(sizes), sum(sizes)
    pairs = [(j, i) for i in range(p) for j in range(i + 1, p)] if edges is None else [(j, i) for i, j in edges]
    lower = np.where(block_mask(sizes, pairs), rng.normal(size=(n, n)), 0)
    norm = np.linalg.norm(lower - lower.T, 2)
    return (lower - lower.T) * (strength / norm if norm > 0 else 0)


def symmetric_area(rng: np.random.Generator, n: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric weights of Theorem 2 and the metric in which they contract at ``rate``, which is not diagonal."""
    b = 1 - rate
    basis = np.linalg.qr(rng.normal(size=(n, n)))[0]
    values = np.append(b, b - rng.uniform(0, 8, n - 1))
    theta = 1 + np.sqrt(np.maximum(0, 1 - values / b))
    weights, metric = ((basis * diagonal) @ basis.T for diagonal in (values, theta**-2))
    return (weights + weights.T) / 2, (metric + metric.T) / 2


def rate_in(metric: np.ndarray, weights: np.ndarray, coupling: np.ndarray | float = 0.0) -> float:
    """The exact rate of ``x' = -x + W phi(x) + L x`` in a metric: ``sym(M J(D)) <= -rate M`` at every vertex."""
    n = len(weights)
    root = np.linalg.cholesky(metric)
    jacobians = weights * vertices(n)[:, None, :] - np.eye(n) + coupling
    return rate_of(root.T @ jacobians @ np.linalg.inv(root.T))
