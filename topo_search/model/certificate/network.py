"""A network as its certificate sees it: matrices in metric coordinates, and what makes them impossible to judge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topo_search.errors import InputError
from topo_search.model.certificate.coupling_steps import n_edge_steps
from topo_search.model.certificate.eigen import Matrix, Vector

__all__ = ["INTEGRATORS", "NetworkMatrices", "check_shapes", "structure_defect"]

INTEGRATORS = ("euler", "cayley", "edge_cayley", "imex", "resolvent")


@dataclass(frozen=True)
class NetworkMatrices:
    """A network as its certificate sees it: dense float64 matrices in metric coordinates.

    ``tau y' = r (-y + (W + C) phi(V y) + u) + (K + S) y``, phi acting unit by unit with slopes in [0, 1].

    Attributes:
        sizes: units of each area, ``(p,)``.
        edges: pairs ``(i, j)``, ``i < j``.
        area_weights: W, ``(N, N)``, block-diagonal.
        coupling: B, ``(N, N)``, blocks below the diagonal, with ``K = B - B^T``; or, where feedback is free
            (``unconstrained``), the whole linear coupling.
        steps: as executed: Q, ``(N, N)``, for ``cayley``; for ``edge_cayley`` the ``Q_e`` of each edge (i, j), ``(n_i +
            n_j, n_i + n_j)``, area i's units first, row-major, one after another in order of edges, ``(sum (n_i +
            n_j)^2,)``; ``None`` for the other integrators.
        integrator: one of :data:`INTEGRATORS`.
        dt: step.
        tau: time constant, in the units of dt.
        stability: the arm of the network, see :class:`topo_search.model.config.NetworkConfig`.
        series: radius and coefficients of the Chebyshev series by which the compiled engine applies a whole-matrix
            Cayley step of a large sparse graph; ``None`` where it solves directly.
        gauge: V, ``(N, N)``, block-diagonal; ``None`` for the identity.
        nonlinear: C, ``(N, N)``, on edges, both directions free; ``None`` for none.
        symmetric: S, ``(N, N)``, on edges, symmetric; ``None`` for none.
        speeds: r, ``(N,)``, positive, tau over the time constant of each unit; ``None`` where all are 1.
    """

    sizes: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]
    area_weights: Matrix
    coupling: Matrix
    steps: Matrix | None
    integrator: str
    dt: float
    tau: float
    stability: str
    series: tuple[float, tuple[float, ...]] | None = None
    gauge: Matrix | None = None
    nonlinear: Matrix | None = None
    symmetric: Matrix | None = None
    speeds: Vector | None = None


def check_shapes(network: NetworkMatrices) -> None:
    """Raise InputError for what cannot be judged: shapes, numbers that are not finite, impossible settings."""
    if not 0 < network.dt <= network.tau < math.inf:
        raise InputError(f"dt and tau cannot be judged: expected 0 < dt <= tau, got dt {network.dt}, tau {network.tau}")
    if network.integrator not in INTEGRATORS:
        raise InputError(
            f"integrator {network.integrator!r} cannot be judged: expected one of {', '.join(INTEGRATORS)}"
        )
    if (network.steps is None) == (network.integrator in {"cayley", "edge_cayley"}):
        raise InputError(
            "coupling_steps: expected one matrix for cayley, one an edge for edge_cayley and none for euler, imex and "
            f"resolvent ({network.integrator})"
        )
    _check_matrices(network)
    if network.speeds is not None and not (
        network.speeds.min(initial=1.0) > 0 and network.dt / network.tau * network.speeds.max(initial=0.0) <= 1
    ):
        raise InputError("speeds cannot be judged: expected positive numbers of at most tau / dt")


def _check_matrices(network: NetworkMatrices) -> None:
    n = sum(network.sizes)
    vectors = {"speeds": n}
    if network.integrator == "edge_cayley":
        vectors["steps"] = n_edge_steps(network.sizes, network.edges)
    for name in ("area_weights", "coupling", "steps", "gauge", "nonlinear", "symmetric", "speeds"):
        matrix = getattr(network, name)
        if matrix is None:
            continue
        expected = (vectors[name],) if name in vectors else (n, n)
        if matrix.shape != expected:
            raise InputError(
                f"{name} cannot be judged: expected shape {expected} for areas of {n} units in all, got {matrix.shape}"
            )
        if not np.isfinite(matrix).all():
            raise InputError(f"{name} cannot be judged: expected finite numbers, found NaN or infinity")


def structure_defect(network: NetworkMatrices) -> str:
    """Why the matrices are not those of this graph, or an empty string."""
    areas = _block_mask(network.sizes, [(a, a) for a in range(len(network.sizes))])
    lower = [(j, i) for i, j in network.edges]
    edges = _block_mask(network.sizes, [*lower, *network.edges])
    if network.area_weights[~areas].any():
        return "area_weights join units of different areas: expected a block-diagonal matrix"
    if network.gauge is not None and network.gauge[~areas].any():
        return "gauge joins units of different areas: expected a block-diagonal matrix"
    places = edges if network.stability == "unconstrained" else _block_mask(network.sizes, lower)
    if network.coupling[~places].any():
        return "coupling joins areas where the graph has no edge, or lies on the wrong side of the diagonal"
    for name in ("nonlinear", "symmetric"):
        matrix = getattr(network, name)
        if matrix is not None and matrix[~edges].any():
            return f"the {name} coupling joins areas where the graph has no edge"
    if network.symmetric is not None and not np.array_equal(network.symmetric, network.symmetric.T):
        return "the symmetric coupling is not symmetric: expected S = S^T to the last bit"
    return ""


def _block_mask(sizes: Sequence[int], pairs: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """True on the blocks (row area, column area) of an (N, N) matrix."""
    ends = np.concatenate([[0], np.cumsum(sizes)])
    mask = np.zeros((ends[-1], ends[-1]), dtype=bool)
    for row, column in pairs:
        mask[ends[row] : ends[row + 1], ends[column] : ends[column + 1]] = True
    return mask
