"""Small-gain certificates of nonlinear couplings: ``y' = r (-y + (W + C) phi(V y) + u)`` with C between areas.

Areas contract by themselves at rates ``lambda_i``; the coupling spends of them. With ``D = (I + E) / 2``, ``|E| <= 1``,
the coupling ``R C D V`` has the centre ``R C V / 2`` and blocks of norm at most ``l_ij = ||(R C)_ij||_2 ||V_j||_2``.
With ``Lambda = diag(lambda_i)`` and ``L = R C V`` each of these is a contraction rate of the whole network:

- *arithmetic*: ``lmin(Lambda - A)``, ``A_ij = (l_ij + l_ji) / 2``;
- *aligned*: the same with ``A_ij = (||L_ij + L_ji^T|| + l_ij + l_ji) / 4``, at most the former, half of it where L is
  skew;
- *whole*: ``lmin(Lambda - sym(L) / 2) - ||R C|| ||V|| / 2`` over the whole matrix: the best for dense graphs;
- *scaled*: the better of the two latter in the metric ``blockdiag(c_i I)``, ``c = w / v``, with ``v = X^-1 1``,
  ``w = X^-T 1`` and the M-matrix ``X = Lambda - t I - [l_ij]``: Theorem 1 of "RNNs of RNNs" (arXiv 2106.08928) with an
  area for a unit. Some c serves if and only if ``rho(Lambda^-1 [l_ij]) < 1``. Linear feedback may be added at no cost
  in continuous time only if it is skew in this very metric.

The star of "Contraction Properties of the Global Workspace Primitive" (Ennis, Kozachkov and Slotine) is a case of the
first: with ``p`` areas, the workspace counted, ``l < lambda / sqrt(p - 1)`` and the inequality strict.

Every eigenvalue and norm is one that a Cholesky factorisation has confirmed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from topo_search.errors import InputError
from topo_search.model.certificate.eigen import Matrix, Vector, largest_eigenvalue_bound, norm_bound
from topo_search.model.certificate.module_scales import module_scales

__all__ = [
    "SmallGain",
    "SmallGainFactor",
    "composed_rate",
    "edge_limit",
    "gain_matrix",
    "small_gain_bounds",
    "small_gain_factor",
    "small_gain_rate",
]


@dataclass(frozen=True)
class SmallGain:
    """A certified contraction rate.

    Attributes:
        rate: in units of ``1 / tau``; what is not positive certifies nothing.
        bound: ``arithmetic``, ``aligned``, ``whole`` or ``scaled``.
        scales: c of the metric ``blockdiag(c_i I)``, ``(p,)``, the least 1; all 1 but for ``scaled``.
    """

    rate: float
    bound: str
    scales: tuple[float, ...]


@dataclass(frozen=True)
class SmallGainFactor:
    """A certified factor a step.

    Attributes:
        factor: below 1 means contracting.
        scales: c of the metric ``blockdiag(c_i I)``, ``(p,)``, the least 1.
    """

    factor: float
    scales: tuple[float, ...]


def small_gain_rate(
    rates: Vector, coupling: Matrix, sizes: Sequence[int], *, free_scales: bool, gauge: Matrix | None = None
) -> SmallGain:
    """The best certified rate of areas with a nonlinear coupling.

    Args:
        rates: ``(p,)``, the certified rate of each area alone, its speed included (``r_i lambda_i``).
        coupling: ``R C``, ``(N, N)``, zero within areas.
        sizes: units of each area, ``(p,)``.
        free_scales: whether areas may be scaled against each other; only where there is no linear coupling.
        gauge: V, ``(N, N)`` block-diagonal; the identity when None.

    Raises:
        InputError: if the shapes do not fit, or a number is not finite.
    """
    return max(
        small_gain_bounds(rates, coupling, sizes, free_scales=free_scales, gauge=gauge), key=lambda found: found.rate
    )


def small_gain_bounds(
    rates: Vector, coupling: Matrix, sizes: Sequence[int], *, free_scales: bool, gauge: Matrix | None = None
) -> tuple[SmallGain, ...]:
    """All bounds that apply, arguments as of :func:`small_gain_rate`; the scaled one only where scales exist."""
    _check(rates, coupling, sizes)
    ones = np.ones(len(sizes))
    linear, gains = _linear_part(coupling, gauge), gain_matrix(coupling, sizes, gauge)
    reach = norm_bound(coupling) * (1.0 if gauge is None else norm_bound(gauge))
    found = [
        SmallGain(_level_rate(rates, (gains + gains.T) / 2), "arithmetic", tuple(ones.tolist())),
        SmallGain(_aligned_rate(rates, linear, gains, sizes), "aligned", tuple(ones.tolist())),
        SmallGain(_whole_rate(rates, linear, reach, sizes), "whole", tuple(ones.tolist())),
    ]
    scales = module_scales(rates, gains) if free_scales else None
    if scales is not None:
        root = np.sqrt(scales)
        units = np.repeat(root, sizes)
        linear, gains = linear * (units[:, None] / units), gains * (root[:, None] / root)
        reach = norm_bound(coupling * (units[:, None] / units)) * (1.0 if gauge is None else norm_bound(gauge))
        rate = max(_aligned_rate(rates, linear, gains, sizes), _whole_rate(rates, linear, reach, sizes))
        found.append(SmallGain(rate, "scaled", tuple(scales.tolist())))
    return tuple(found)


def composed_rate(rates: Vector, gains: Matrix) -> SmallGain:
    """The rate of assemblies joined by couplings of which only norms are known, from Theorem 1 at their level.

    Args:
        rates: ``(q,)``, the rate of each assembly alone.
        gains: ``(q, q)``, upper bounds of the norms of the couplings to row from column; zero diagonal.

    Returns:
        The better of the arithmetic and the scaled bound; scales are uniform within an assembly, so that what is skew
        inside one stays skew.
    """
    _check(rates, gains, [1] * len(rates))
    even = SmallGain(_level_rate(rates, (gains + gains.T) / 2), "arithmetic", (1.0,) * len(rates))
    scales = module_scales(rates, gains)
    if scales is None:
        return even
    scaled = gains * np.sqrt(scales[:, None] / scales)
    found = SmallGain(_level_rate(rates, (scaled + scaled.T) / 2), "scaled", tuple(scales.tolist()))
    return max(even, found, key=lambda one: one.rate)


def small_gain_factor(
    factors: Vector, coupling: Matrix, sizes: Sequence[int], *, free_scales: bool = True, gauge: Matrix | None = None
) -> SmallGainFactor:
    """A factor of one explicit step of areas with a nonlinear coupling.

    The blocks of a step have norms at most ``T = diag(f_i) + [h l_ij]``, so the step contracts by ``||T||_2``, and by
    ``rho(T)`` as nearly as wished in a scaled metric. For areas of ``f_i = 1 - h (1 - s_i)`` that is ``1 - h (1 - r)``
    with ``r = rho(diag(s_i) + [l_ij])``: small-gain couplings are inherited by Euler for every ``h <= 1``.

    Args:
        factors: ``(p,)``, the certified factor of each area's step alone.
        coupling: ``h R C``, ``(N, N)``, zero within areas.
        sizes: units of each area, ``(p,)``.
        free_scales: as of :func:`small_gain_rate`.
        gauge: as of :func:`small_gain_rate`.

    Raises:
        InputError: if the shapes do not fit, or a number is not finite.
    """
    _check(factors, coupling, sizes)
    comparison = np.diag(factors) + gain_matrix(coupling, sizes, gauge)
    even = SmallGainFactor(norm_bound(comparison), (1.0,) * len(sizes))
    # I - T in the place of Lambda - N: the same M-matrix.
    scales = module_scales(1 - factors, comparison - np.diag(factors)) if free_scales else None
    if scales is None:
        return even
    scaled = norm_bound(comparison * np.sqrt(scales[:, None] / scales))
    return min(even, SmallGainFactor(scaled, tuple(scales.tolist())), key=lambda found: found.factor)


def edge_limit(adjacency: NDArray[np.number], rate: float) -> float:
    """The graph's own rule: areas of this rate stay contracting while every block's norm is below ``rate / rho(A)``.

    ``rho(A)`` is ``sqrt(p - 1)`` for a star, ``p - 1`` for all-to-all, d for a d-regular graph.

    Args:
        adjacency: symmetric 0/1 matrix, ``(p, p)``.
        rate: the least rate of an area, speeds included.

    Returns:
        The limit, of which a block must stay strictly below; infinite for a graph without edges.
    """
    matrix = np.asarray(adjacency, dtype=np.float64)
    return rate / largest_eigenvalue_bound(matrix) if matrix.any() else math.inf


def gain_matrix(coupling: Matrix, sizes: Sequence[int], gauge: Matrix | None = None) -> Matrix:
    """Confirmed upper bounds ``l_ij`` of ``||C_ij D V_j||_2`` over all slopes, ``(p, p)``, zero diagonal."""
    parts = _slices(sizes)
    spread = [1.0 if gauge is None else norm_bound(gauge[part, part]) for part in parts]
    gains = np.zeros((len(parts), len(parts)))
    for i, row in enumerate(parts):
        for j, column in enumerate(parts):
            if i != j:
                gains[i, j] = norm_bound(coupling[row, column]) * spread[j]
    return gains


def _level_rate(rates: Vector, symmetric: Matrix) -> float:
    """``lmin(Lambda - A)`` of the matrix between areas."""
    return -largest_eigenvalue_bound(symmetric - np.diag(rates))


def _aligned_rate(rates: Vector, linear: Matrix, gains: Matrix, sizes: Sequence[int]) -> float:
    parts = _slices(sizes)
    mean = np.zeros_like(gains)
    for i, row in enumerate(parts):
        for j, column in enumerate(parts[:i]):
            both = norm_bound(linear[row, column] + linear[column, row].T)
            mean[i, j] = mean[j, i] = (both + gains[i, j] + gains[j, i]) / 4
    return _level_rate(rates, mean)


def _whole_rate(rates: Vector, linear: Matrix, reach: float, sizes: Sequence[int]) -> float:
    return -largest_eigenvalue_bound((linear + linear.T) / 4 - np.diag(np.repeat(rates, sizes))) - reach / 2


def _linear_part(coupling: Matrix, gauge: Matrix | None) -> Matrix:
    return coupling if gauge is None else coupling @ gauge


def _slices(sizes: Sequence[int]) -> list[slice]:
    ends = np.concatenate([[0], np.cumsum(sizes)]).tolist()
    return [slice(first, last) for first, last in pairwise(ends)]


def _check(rates: Vector, coupling: Matrix, sizes: Sequence[int]) -> None:
    n = sum(sizes)
    if rates.shape != (len(sizes),) or coupling.shape != (n, n):
        raise InputError(
            f"a coupling of {len(sizes)} areas with {n} units cannot be judged: expected ({len(sizes)},) rates and a "
            f"coupling of shape ({n}, {n}), got {rates.shape} and {coupling.shape}"
        )
    if not (np.isfinite(rates).all() and np.isfinite(coupling).all()):
        raise InputError("a coupling cannot be judged: expected finite rates and weights, found NaN or infinity")
