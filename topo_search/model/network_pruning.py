"""Pruning and ablation of a network in metric coordinates; what each keeps is in :mod:`.pruning_rules`.

Stored steps are made again for what remains, in float64; a truncated series is not, and is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from topo_search.errors import InputError
from topo_search.model.certificate import NetworkMatrices

__all__ = ["remove_area", "remove_edge", "remove_pair", "remove_unit", "unit_isometry"]

Matrix = NDArray[np.float64]


def remove_area(network: NetworkMatrices, area: int) -> NetworkMatrices:
    """Without one area and its edges; later areas move up by one.

    Raises:
        InputError: if there is no such area, or it is the only one.
    """
    p = len(network.sizes)
    if not 0 <= area < p or p == 1:
        raise InputError(f"area {area} cannot be removed: expected one of 0 to {p - 1} that leaves another")
    units = np.delete(np.arange(sum(network.sizes)), np.arange(sum(network.sizes))[_units(network, area)])
    edges = tuple((i - (i > area), j - (j > area)) for i, j in network.edges if area not in (i, j))
    sizes = network.sizes[:area] + network.sizes[area + 1 :]
    return _restricted(network, np.eye(sum(network.sizes))[units], units, sizes=sizes, edges=edges)


def remove_unit(network: NetworkMatrices, unit: int) -> NetworkMatrices:
    """Without one unit. Where its area has a gauge, the rest of the area gets new metric coordinates ``T y``.

    ``T = unit_isometry(gauge block, unit within the area)``: what feeds the area (input weights, biases) is multiplied
    by T, what reads it by ``T^T`` from the right.

    Raises:
        InputError: if there is no such unit, or it is the only one of its area: then the area is to be removed.
    """
    n = sum(network.sizes)
    if not 0 <= unit < n:
        raise InputError(f"unit {unit} cannot be removed: expected one of 0 to {n - 1}")
    area, local = _place(network, unit)
    if network.sizes[area] == 1:
        raise InputError(f"unit {unit} cannot be removed: it is all of area {area}; remove the area")
    units, part = np.delete(np.arange(n), unit), _units(network, area)
    isometry = np.eye(n)[units]
    if network.gauge is not None:
        isometry[part.start : part.stop - 1, part] = unit_isometry(network.gauge[part, part], local)
    sizes = tuple(size - (index == area) for index, size in enumerate(network.sizes))
    return _restricted(network, isometry, units, sizes=sizes, edges=network.edges)


def remove_edge(network: NetworkMatrices, edge: tuple[int, int]) -> NetworkMatrices:
    """Without all that joins two areas, linear and nonlinear.

    Raises:
        InputError: if the graph has no such edge.
    """
    if edge not in network.edges:
        raise InputError(f"edge {edge} cannot be removed: the network has no such edge (pairs are i < j)")
    one, other = (_units(network, area) for area in edge)

    def without(matrix: Matrix) -> Matrix:
        matrix = matrix.copy()
        matrix[one, other] = 0
        matrix[other, one] = 0
        return matrix

    return _with_steps(
        replace(
            network,
            edges=tuple(kept for kept in network.edges if kept != edge),
            coupling=without(network.coupling),
            nonlinear=None if network.nonlinear is None else without(network.nonlinear),
            symmetric=None if network.symmetric is None else without(network.symmetric),
        )
    )


def remove_pair(network: NetworkMatrices, a: int, b: int) -> NetworkMatrices:
    """Without the linear feedback between two units: the pair of K in original coordinates, which stays skew.

    Raises:
        InputError: if a and b are not units of two joined areas, or the feedback is not skew.
    """
    n = sum(network.sizes)
    if not 0 <= min(a, b) <= max(a, b) < n:
        raise InputError(f"the pair ({a}, {b}) cannot be removed: expected two of units 0 to {n - 1}")
    (i, first), (j, second) = sorted((_place(network, a), _place(network, b)))
    if (i, j) not in network.edges or network.stability == "unconstrained":
        raise InputError(f"the pair ({a}, {b}) cannot be removed: expected units of two areas joined by feedback")
    into, out_of = _units(network, j), _units(network, i)
    block = network.coupling[into, out_of].copy()
    if network.gauge is None:
        block[second, first] = 0
    else:
        # K_original = V K V^T: zeroing an entry there is a change of rank one here.
        rows, columns = network.gauge[into, into], network.gauge[out_of, out_of]
        unwanted = rows[second] @ block @ columns[first]
        unit_row, unit_column = np.eye(len(rows))[second], np.eye(len(columns))[first]
        block -= unwanted * np.outer(linalg.solve(rows, unit_row), linalg.solve(columns, unit_column))
    coupling = network.coupling.copy()
    coupling[into, out_of] = block
    return _with_steps(replace(network, coupling=coupling))


def unit_isometry(gauge: Matrix, unit: int) -> Matrix:
    """``T = V'^-1 V_r`` of an area without one unit, ``(n - 1, n)``, with ``T T^T = I``; ``V' = V_r T^T``.

    Args:
        gauge: V of the area, ``(n, n)``, invertible.
        unit: the unit that is removed, counted within the area.
    """
    rows = np.delete(gauge, unit, axis=0)
    if np.array_equal(gauge, np.eye(len(gauge))):
        return rows
    # From V_r^T = T^T V'^T, without forming P_rr = V_r V_r^T, whose condition is the square of V's.
    transposed, upper = linalg.qr(rows.T, mode="economic")
    signs = np.where(np.diagonal(upper) < 0, -1.0, 1.0)
    return np.asarray((transposed * signs).T, dtype=np.float64)


def _restricted(
    network: NetworkMatrices,
    isometry: Matrix,
    units: NDArray[np.int64],
    *,
    sizes: tuple[int, ...],
    edges: tuple[tuple[int, int], ...],
) -> NetworkMatrices:
    """The network in coordinates ``T y``, with only these units left behind the nonlinearity."""

    def both(matrix: Matrix) -> Matrix:
        return isometry @ matrix @ isometry.T

    symmetric = None if network.symmetric is None else both(network.symmetric)
    return _with_steps(
        replace(
            network,
            sizes=sizes,
            edges=edges,
            area_weights=isometry @ network.area_weights[:, units],
            coupling=both(network.coupling),
            gauge=None if network.gauge is None else network.gauge[units] @ isometry.T,
            nonlinear=None if network.nonlinear is None else isometry @ network.nonlinear[:, units],
            symmetric=None if symmetric is None else (symmetric + symmetric.T) / 2,
            speeds=None if network.speeds is None else network.speeds[units],
        )
    )


def _with_steps(network: NetworkMatrices) -> NetworkMatrices:
    """The same network with the steps of its coupling, where its integrator stores any."""
    if network.steps is None:
        return network
    skew, h = network.coupling - network.coupling.T, network.dt / network.tau
    if network.integrator == "cayley":
        return replace(network, steps=_cayley(skew, h), series=None)
    parts = [_cayley(skew[np.ix_(units, units)], h).reshape(-1) for units in _edge_units(network)]
    return replace(network, steps=np.concatenate([np.zeros(0), *parts]), series=None)


def _cayley(skew: Matrix, h: float) -> Matrix:
    identity = np.eye(len(skew))
    return np.asarray(2 * np.linalg.inv(identity - 0.5 * h * skew) - identity, dtype=np.float64)


def _edge_units(network: NetworkMatrices) -> Iterable[NDArray[np.int64]]:
    """Units of the two areas of each edge, the first area's first."""
    everything = np.arange(sum(network.sizes))
    return (np.concatenate([everything[_units(network, area)] for area in edge]) for edge in network.edges)


def _units(network: NetworkMatrices, area: int) -> slice:
    first = sum(network.sizes[:area])
    return slice(first, first + network.sizes[area])


def _place(network: NetworkMatrices, unit: int) -> tuple[int, int]:
    """The area of a unit, and its number within the area."""
    ends = np.cumsum(network.sizes)
    area = int(np.searchsorted(ends, unit, side="right"))
    return area, unit - int(ends[area] - network.sizes[area])
