"""Certificates of contraction, in float64, from the weights alone.

Everything here is plain linear algebra over stored matrices: nothing is shared with training. Statements hold for exact
arithmetic with the stored weights and for every nonlinearity whose slope lies in [0, 1]; rounding while a network runs
is not part of them. In metric coordinates the metric is the identity, and

- continuous time, ``tau x' = -x + W phi(x) + L x + u``: the rate is ``min_i lambda_i - max(0, lmax(sym L))``, with
  ``lambda_i`` the better of ``1 - (mu(W_i) + ||W_i||) / 2`` (Theorem 5, circle form) and ``1 - lmax(sym |W_i|)``
  (Theorem 1);
- Cayley steps: ``rho <= sigma_max(Q) (1 - h (1 - s))``, ``s = max_i ||W_i||_2``, at any coupling strength;
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
from topo_search.model.subnetworks import weight_magnitudes

__all__ = ["Certificate", "NetworkMatrices", "certify_matrices", "norm_bound"]

Matrix = NDArray[np.float64]

# A claim about an eigenvalue counts when a Cholesky factorisation with this relative margin succeeds.
MARGIN = 1e-9
# Step matrices are stored in float32: the largest defect of orthogonality that rounding explains, with room.
STEP_TOLERANCE = 1e-5
# They are made in float64 and rounded: an entry of the step of the very coupling differs by half a unit in the last
# place, 6e-8 at most.
ROUNDING_TOLERANCE = 1.2e-7
# Coupling recovered from float32 step matrices: relative residual that rounding explains, with room. A coupling whose
# strength differs by less is not one that was rescaled.
RECOVERY_TOLERANCE = 1e-3


@dataclass(frozen=True)
class NetworkMatrices:
    """A network as its certificate sees it: dense float64 matrices in metric coordinates.

    Attributes:
        sizes: units of each area, ``(p,)``.
        edges: pairs ``(i, j)``, ``i < j``.
        area_weights: W, ``(N, N)``, block-diagonal.
        coupling: B, ``(N, N)``, blocks below the diagonal, with ``L = B - B^T``; or, where feedback is free, L itself.
        steps: Q as executed, ``(N, N)``, for ``cayley``; ``None`` for ``euler``.
        integrator: ``cayley`` or ``euler``.
        dt: step.
        tau: time constant, in the units of dt.
        stability: the arm of the network, see :class:`topo_search.model.config.NetworkConfig`.
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


@dataclass(frozen=True)
class Certificate:
    """What is certified of a network, or why it is not.

    Attributes:
        certified: contracting in discrete time, with its integrator at its dt.
        reason: why not; empty when certified.
        notes: remarks that do not change the verdict.
        rate: continuous-time contraction rate in the metric, per time constant; positive means certified.
        rho: certified factor a step of the integrator in use; below 1 means certified.
        bound: which bound gave ``rho``: ``cayley`` or ``tri``.
        integrator: ``cayley`` or ``euler``.
        stability: the arm.
        dt: step.
        tau: time constant.
        area_norm: s, the largest spectral norm of an area's weights.
        coupling_norm: ``||L||_2``.
        coupling_symmetric_part: largest eigenvalue of ``(L + L^T) / 2``; 0 for negative feedback.
        orthogonality_defect: ``||Q^T Q - I||_2`` of the stored step matrix; 0 where there is none.
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
    stability: str
    dt: float
    tau: float
    area_norm: float
    coupling_norm: float
    coupling_symmetric_part: float
    orthogonality_defect: float
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


def norm_bound(matrix: Matrix) -> float:
    """An upper bound of ``||X||_2`` that a Cholesky factorisation of ``c^2 I - X^T X`` has confirmed.

    It exceeds the computed norm by a relative ``1e-9``, more only if the factorisation asks for it.
    """
    if matrix.size == 0 or not matrix.any():
        return 0.0
    scale = float(np.abs(matrix).max())
    scaled = matrix / scale
    gram = scaled.T @ scaled
    bound = math.sqrt(float(linalg.eigvalsh(gram, subset_by_index=[len(gram) - 1] * 2)[0]))
    margin = MARGIN
    while not _positive_definite((bound * (1 + margin)) ** 2 * np.eye(len(gram)) - gram):
        margin *= 4
    return bound * (1 + margin) * scale


def _largest_eigenvalue_bound(symmetric: Matrix) -> float:
    """An upper bound of ``lmax`` of a symmetric matrix, confirmed by Cholesky."""
    scale = max(float(np.abs(symmetric).max()), float(np.finfo(float).tiny))
    bound = float(linalg.eigvalsh(symmetric, subset_by_index=[len(symmetric) - 1] * 2)[0])
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
    if (network.steps is None) == (network.integrator == "cayley"):
        raise InputError(f"coupling_steps: expected one matrix for cayley and none for euler ({network.integrator})")
    for name in ("area_weights", "coupling", "steps"):
        matrix = getattr(network, name)
        if matrix is None:
            continue
        if matrix.shape != (n, n):
            raise InputError(
                f"{name} cannot be judged: expected shape {(n, n)} for areas of {n} units in all, got {matrix.shape}"
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


def _steps_defect(steps: Matrix, skew: Matrix, h: float, defect: float) -> tuple[str, str]:
    """Why step matrices are refused, and a remark: ``(reason, note)``.

    They must be orthogonal and be the Cayley step of the coupling. A coupling of another strength is remarked, not
    refused: the certificate holds at any strength.
    """
    if defect > STEP_TOLERANCE:
        return f"coupling_steps are not orthogonal: defect {defect:.3g}, at most {STEP_TOLERANCE:g} is rounding", ""
    if _is_step_of(steps, skew, h):
        return "", ""
    strength = _relative_strength(steps, skew, h)
    if strength is None:
        return "coupling_steps are not Cayley steps of the coupling: one of the two was changed", ""
    return "", f"coupling has {1 / strength:.6g} times the strength that coupling_steps execute; certified at both"


def _is_step_of(steps: Matrix, skew: Matrix, h: float) -> bool:
    """Whether a float32 step matrix is the Cayley step of this very coupling."""
    identity = np.eye(len(skew))
    # NumPy's solvers, not SciPy's: these judge tampered matrices too and must not print warnings about them.
    try:
        expected = 2 * np.linalg.inv(identity - 0.5 * h * skew) - identity
    except np.linalg.LinAlgError:
        return False
    return bool(np.abs(steps - expected).max() <= ROUNDING_TOLERANCE)


def _relative_strength(steps: Matrix, skew: Matrix, h: float) -> float | None:
    """The factor c for which the steps are those of ``c K``, clearly other than 1; ``None`` where there is none."""
    identity = np.eye(len(skew))
    largest = float(np.abs(skew).max())
    try:
        recovered = (2 / h) * np.linalg.solve((steps + identity).T, (steps - identity).T).T
    except np.linalg.LinAlgError:
        return None
    if largest == 0:
        return None
    shape = skew / largest
    amount = float(np.sum(recovered * shape)) / float(np.sum(shape * shape))
    residual = float(np.linalg.norm(recovered - amount * shape))
    # Written so that a NaN from a near-singular solve is refused.
    if not (amount > 0 and residual <= RECOVERY_TOLERANCE * float(np.linalg.norm(recovered)) < math.inf):
        return None
    strength = amount / largest
    return strength if abs(strength - 1) > RECOVERY_TOLERANCE else None


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
    defect = 0.0
    if network.steps is not None:
        defect = norm_bound(network.steps.T @ network.steps - identity)
        # The margin also covers the rounding of Q^T Q, which a margin relative to so small a defect would not.
        rho, bound = math.sqrt(1 + defect) * (1 + MARGIN) * (1 - h * (1 - area_norm)), "cayley"
        steps_reason, note = _steps_defect(network.steps, coupling, h, defect)
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
        stability=network.stability,
        dt=network.dt,
        tau=network.tau,
        area_norm=area_norm,
        coupling_norm=strength,
        coupling_symmetric_part=symmetric,
        orthogonality_defect=defect,
        euler_certified=euler_rho < 1 and not free and area_norm < 1,
        euler_rho=euler_rho,
        euler_largest_dt=largest_dt,
    )
