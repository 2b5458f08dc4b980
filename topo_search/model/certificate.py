"""Certificates of contraction, in float64, from the weights alone.

Everything here is plain linear algebra over stored matrices: nothing is shared with training. Statements hold for exact
arithmetic with the stored weights and for every nonlinearity whose slope lies in [0, 1]; rounding while a network runs
is not part of them. In metric coordinates the metric is the identity, and

- continuous time, ``tau x' = -x + W phi(x) + L x + u``: the rate is ``min_i lambda_i - max(0, lmax(sym L))``, with
  ``lambda_i`` the better of ``1 - (mu(W_i) + ||W_i||) / 2`` (Theorem 5, circle form) and ``1 - lmax(sym |W_i|)``
  (Theorem 1);
- Cayley steps: ``rho <= sigma_max(Q) (1 - h (1 - s))``, ``s = max_i ||W_i||_2``, at any coupling strength;
- edge-wise Cayley steps: the same with the product of all ``sigma_max(Q_e)``, in whatever order they are applied;
- Euler steps, the ``tri`` bound: ``rho <= ||(1 - h) I + h L||_2 + h s``.

Two trajectories under the same input then approach each other by ``exp(-rate t / tau)``, or by ``rho`` a step, in the
metric.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from topo_search.errors import InputError
from topo_search.model.coupling_steps import StepPair, edge_step_pairs, n_edge_steps, steps_defect
from topo_search.model.subnetworks import weight_magnitudes

__all__ = ["EDGE_ORDER", "Certificate", "NetworkMatrices", "certify_matrices", "norm_bound"]

Matrix = NDArray[np.float64]

# A claim about an eigenvalue counts when a Cholesky factorisation with this relative margin succeeds.
MARGIN = 1e-9
# The order in which an edge-wise step applies its edges, recorded because it is part of the model.
EDGE_ORDER = "sorted, reversed at odd steps"


@dataclass(frozen=True)
class NetworkMatrices:
    """A network as its certificate sees it: dense float64 matrices in metric coordinates.

    Attributes:
        sizes: units of each area, ``(p,)``.
        edges: pairs ``(i, j)``, ``i < j``.
        area_weights: W, ``(N, N)``, block-diagonal.
        coupling: B, ``(N, N)``, blocks below the diagonal, with ``L = B - B^T``; or, where feedback is free, L itself.
        steps: as executed: Q, ``(N, N)``, for ``cayley``; for ``edge_cayley`` the ``Q_e`` of each edge (i, j), ``(n_i +
            n_j, n_i + n_j)``, area i's units first, row-major, one after another in order of edges, ``(sum (n_i +
            n_j)^2,)``; ``None`` for ``euler``.
        integrator: ``cayley``, ``edge_cayley`` or ``euler``.
        dt: step.
        tau: time constant, in the units of dt.
        stability: the arm of the network, see :class:`topo_search.model.config.NetworkConfig`.
        series: radius and coefficients of the Chebyshev series by which the compiled engine applies a whole-matrix
            Cayley step of a large sparse graph; ``None`` where it solves directly.
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


@dataclass(frozen=True)
class Certificate:
    """What is certified of a network, or why it is not.

    Attributes:
        certified: contracting in discrete time, with its integrator at its dt.
        reason: why not; empty when certified.
        notes: remarks that do not change the verdict.
        rate: continuous-time contraction rate in the metric, per time constant; positive means certified.
        rho: certified factor a step of the integrator in use; below 1 means certified.
        bound: which bound gave ``rho``: ``cayley``, ``edge_cayley`` or ``tri``.
        integrator: ``cayley``, ``edge_cayley`` or ``euler``.
        edge_order: the order in which ``edge_cayley`` applies the edges; empty for the others. The certificate holds in
            any order, the network's outputs do not.
        stability: the arm.
        dt: step.
        tau: time constant.
        area_norm: s, the largest spectral norm of an area's weights.
        coupling_norm: ``||L||_2``.
        coupling_symmetric_part: largest eigenvalue of ``(L + L^T) / 2``; 0 for negative feedback.
        orthogonality_defect: ``||Q^T Q - I||_2`` of the stored step matrix; for ``edge_cayley`` a bound of it for the
            product of all ``Q_e``; 0 where there is none.
        step_residual: a bound of how far, in norm, the step as the compiled engine applies it may lie from the stored
            one because a series was truncated; 0 where it solves directly (then they differ by rounding).
        euler_certified: whether forward Euler at this dt would be certified (``tri`` bound).
        euler_rho: its factor.
        euler_largest_dt: the largest dt at which it would be, by the same bound; 0 when there is none.
    """

    certified: bool
    reason: str
    notes: tuple[str, ...]
    rate: float
    rho: float
    bound: str
    integrator: str
    edge_order: str
    stability: str
    dt: float
    tau: float
    area_norm: float
    coupling_norm: float
    coupling_symmetric_part: float
    orthogonality_defect: float
    step_residual: float
    euler_certified: bool
    euler_rho: float
    euler_largest_dt: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "notes": list(self.notes)}


def _positive_definite(symmetric: Matrix) -> bool:
    try:
        linalg.cholesky(symmetric, lower=True, check_finite=False)
    except linalg.LinAlgError:
        return False
    return True


def _largest_eigenvalue(symmetric: Matrix) -> float:
    """``lmax`` of a symmetric matrix, as computed."""
    # NumPy's solver: SciPy's default, asked for one eigenvalue, fails on the identity with rounding errors.
    return float(np.linalg.eigvalsh(symmetric)[-1])


def norm_bound(matrix: Matrix) -> float:
    """An upper bound of ``||X||_2`` that a Cholesky factorisation of ``c^2 I - X^T X`` has confirmed.

    It exceeds the computed norm by a relative ``1e-9``, more only if the factorisation asks for it.
    """
    if matrix.size == 0 or not matrix.any():
        return 0.0
    scale = float(np.abs(matrix).max())
    scaled = matrix / scale
    gram = scaled.T @ scaled
    bound = math.sqrt(_largest_eigenvalue(gram))
    margin = MARGIN
    while not _positive_definite((bound * (1 + margin)) ** 2 * np.eye(len(gram)) - gram):
        margin *= 4
    return bound * (1 + margin) * scale


def _largest_eigenvalue_bound(symmetric: Matrix) -> float:
    """An upper bound of ``lmax`` of a symmetric matrix, confirmed by Cholesky."""
    scale = max(float(np.abs(symmetric).max()), float(np.finfo(float).tiny))
    bound = _largest_eigenvalue(symmetric)
    margin = MARGIN * scale
    while not _positive_definite((bound + margin) * np.eye(len(symmetric)) - symmetric):
        margin *= 4
    return bound + margin


def _symmetric_part(matrix: Matrix) -> Matrix:
    return 0.5 * (matrix + matrix.T)


def _area_rate(weights: Matrix) -> float:
    """Certified contraction rate of one area in the identity metric."""
    circle = 1 - 0.5 * (_largest_eigenvalue_bound(_symmetric_part(weights)) + norm_bound(weights))
    magnitude = 1 - _largest_eigenvalue_bound(_symmetric_part(weight_magnitudes(weights)))
    return max(circle, magnitude)


def _block_mask(sizes: Sequence[int], pairs: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """True on the blocks (row area, column area) of an (N, N) matrix."""
    ends = np.concatenate([[0], np.cumsum(sizes)])
    mask = np.zeros((ends[-1], ends[-1]), dtype=bool)
    for row, column in pairs:
        mask[ends[row] : ends[row + 1], ends[column] : ends[column + 1]] = True
    return mask


def _check_shapes(network: NetworkMatrices) -> None:
    """Raise InputError for what cannot be judged: shapes, numbers that are not finite, impossible settings."""
    n = sum(network.sizes)
    if not 0 < network.dt <= network.tau < math.inf:
        raise InputError(f"dt and tau cannot be judged: expected 0 < dt <= tau, got dt {network.dt}, tau {network.tau}")
    if (network.steps is None) != (network.integrator == "euler"):
        raise InputError(
            "coupling_steps: expected one matrix for cayley, one an edge for edge_cayley and none for euler "
            f"({network.integrator})"
        )
    for name in ("area_weights", "coupling", "steps"):
        matrix = getattr(network, name)
        if matrix is None:
            continue
        edge_wise = name == "steps" and network.integrator == "edge_cayley"
        expected = (n_edge_steps(network.sizes, network.edges),) if edge_wise else (n, n)
        if matrix.shape != expected:
            raise InputError(
                f"{name} cannot be judged: expected shape {expected} for areas of {n} units in all, got {matrix.shape}"
            )
        if not np.isfinite(matrix).all():
            raise InputError(f"{name} cannot be judged: expected finite numbers, found NaN or infinity")


def _structure_defect(network: NetworkMatrices) -> str:
    """Why the matrices are not those of this graph, or an empty string."""
    areas = [(a, a) for a in range(len(network.sizes))]
    if network.area_weights[~_block_mask(network.sizes, areas)].any():
        return "area_weights join units of different areas: expected a block-diagonal matrix"
    pairs = [(j, i) for i, j in network.edges]
    if network.stability == "unconstrained":
        pairs += list(network.edges)
    if network.coupling[~_block_mask(network.sizes, pairs)].any():
        return "coupling joins areas where the graph has no edge, or lies on the wrong side of the diagonal"
    return ""


def _step_pairs(network: NetworkMatrices, skew: Matrix) -> list[StepPair]:
    """Every step matrix with its part of the coupling; none for Euler."""
    if network.steps is None:
        return []
    if network.integrator == "edge_cayley":
        return edge_step_pairs(network.steps, skew, network.sizes, network.edges)
    return [StepPair(network.steps, skew)]


def _product_defect(defects: Sequence[float]) -> float:
    """A bound of ``||Q^T Q - I||_2`` of a product of matrices with these defects: ``prod (1 + defect) - 1``.

    Singular values of the product lie between ``prod sqrt(1 - defect)`` and ``prod sqrt(1 + defect)``, in any order.
    """
    total = 0.0
    for defect in defects:
        total += defect + defect * total
    if not math.isfinite(total):
        raise InputError("coupling_steps cannot be judged: expected orthogonal matrices, found entries that overflow")
    return total


def series_residual(radius: float, coefficients: Sequence[float], reach: float) -> float:
    """A bound of ``||p(c K) - (I - c K)^-1||_2`` for a skew K with ``c ||K||_2 = reach``.

    ``p = sum a_k P_k(c K / radius)``, ``P_0 = I, P_1 = X, P_k+1 = 2 X P_k + P_k-1``. K is normal with eigenvalues on
    the imaginary axis, so the norm is the largest deviation there; it is evaluated on a fine grid and doubled.
    """
    t = np.linspace(0.0, max(reach, np.finfo(float).tiny) / radius, 4097) * 1j
    before, now = np.ones_like(t), t
    total = coefficients[0] * before
    for coefficient in coefficients[1:]:
        total = total + coefficient * now
        before, now = now, 2 * t * now + before
    return 2 * float(np.abs(total - 1 / (1 - radius * t)).max())


def _euler_largest_dt(area_norm: float, coupling_norm: float, tau: float) -> float:
    """Largest dt at which ``sqrt((1 - h)^2 + h^2 sigma^2) + h s < 1``, for a skew coupling; 0 when there is none.

    The bound crosses 1 at ``h = 2 (1 - s) / (1 + sigma^2 - s^2)``, positive for every s below 1.
    """
    if area_norm >= 1:
        return 0.0
    return tau * min(1.0, 2 * (1 - area_norm) / (1 + coupling_norm * coupling_norm - area_norm**2))


def certify_matrices(network: NetworkMatrices) -> Certificate:
    """Judge a network from its matrices.

    Args:
        network: the matrices, see :class:`NetworkMatrices`.

    Returns:
        The certificate; ``certified`` is False, with the reason, where no bound holds, where the matrices are not those
        of the graph, and always for the arms ``as_released`` and ``unconstrained``.

    Raises:
        InputError: if it cannot be judged: shapes that do not fit, NaN or infinity, an impossible dt.
    """
    _check_shapes(network)
    h = network.dt / network.tau
    ends = np.concatenate([[0], np.cumsum(network.sizes)])
    blocks = [network.area_weights[a:b, a:b] for a, b in pairwise(ends)]
    area_norm = max(norm_bound(block) for block in blocks)
    area_rate = min(_area_rate(block) for block in blocks)

    free = network.stability == "unconstrained"
    coupling = network.coupling if free else network.coupling - network.coupling.T
    strength = norm_bound(coupling)
    symmetric = _largest_eigenvalue_bound(_symmetric_part(coupling)) if free else 0.0
    rate = area_rate - max(0.0, symmetric)

    identity = np.eye(len(coupling))
    euler_rho = norm_bound((1 - h) * identity + h * coupling) + h * area_norm
    largest_dt = 0.0 if free else _euler_largest_dt(area_norm, strength, network.tau)

    notes: tuple[str, ...] = ()
    reason = _structure_defect(network)
    defect = residual = 0.0
    if network.integrator == "cayley" and network.series is not None:
        # y = 2 z - x, z from the series.
        residual = 2 * series_residual(*network.series, reach=0.5 * h * strength)
    if network.integrator != "euler":
        pairs = _step_pairs(network, coupling)
        defects = [norm_bound(step.T @ step - np.eye(len(step))) for step, _ in pairs]
        defect = _product_defect(defects)
        # The margin also covers the rounding of Q^T Q, which a margin relative to so small a defect would not.
        step_norm = math.sqrt(1 + defect) * (1 + MARGIN) + residual
        rho, bound = step_norm * (1 - h * (1 - area_norm)), network.integrator
        steps_reason, note = steps_defect(pairs, h, max(defects, default=0.0))
        reason, notes = reason or steps_reason, (note,) if note else ()
    else:
        rho, bound = euler_rho, "tri"

    if not reason and network.stability == "as_released":
        reason = (
            "the published arm as released: the identity is not a metric of these areas "
            f"(largest area norm {area_norm:.4g}, rate {area_rate:.4g}); always labelled uncertified"
        )
    if not reason and free and symmetric > 0:
        reason = (
            f"the coupling is not negative feedback: the symmetric part of L has eigenvalue {symmetric:.4g}, "
            f"at most {area_rate:.4g} could be borne"
        )
    if not reason and area_norm >= 1:
        reason = f"the weights of an area have norm {area_norm:.6g}: expected below 1"
    if not reason and not rho < 1:
        reason = (
            f"forward Euler at dt {network.dt:g} is not certified: factor {rho:.6g} a step at coupling norm "
            f"{strength:.4g}; largest certified dt {largest_dt:.4g} (continuous-time rate {rate:.4g})"
        )
    return Certificate(
        certified=not reason,
        reason=reason,
        notes=notes,
        rate=rate,
        rho=rho,
        bound=bound,
        integrator=network.integrator,
        edge_order=EDGE_ORDER if network.integrator == "edge_cayley" else "",
        stability=network.stability,
        dt=network.dt,
        tau=network.tau,
        area_norm=area_norm,
        coupling_norm=strength,
        coupling_symmetric_part=symmetric,
        orthogonality_defect=defect,
        step_residual=residual,
        euler_certified=euler_rho < 1 and not free and area_norm < 1,
        euler_rho=euler_rho,
        euler_largest_dt=largest_dt,
    )
