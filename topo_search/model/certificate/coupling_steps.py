"""Whether stored steps are the Cayley steps of the stored coupling, in float64 and from the matrices alone.

Whole-matrix and edge-wise steps are judged alike: as pairs of a step matrix and the skew matrix that it should be the
Cayley transform of. There is one pair for ``cayley``, and one an edge for ``edge_cayley``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["StepPair", "edge_step_pairs", "n_edge_steps", "steps_defect"]

Matrix = NDArray[np.float64]

# Step matrices are stored in float32: the largest defect of orthogonality that rounding explains, with room.
STEP_TOLERANCE = 1e-5
# They are made in float64 and rounded: an entry of the step of the very coupling differs by half a unit in the last
# place, 6e-8 at most.
ROUNDING_TOLERANCE = 1.2e-7
# Coupling recovered from float32 step matrices: relative residual that rounding explains, with room. A coupling whose
# strength differs by less is not one that was rescaled.
RECOVERY_TOLERANCE = 1e-3


class StepPair(NamedTuple):
    """A step matrix Q and the skew K that it belongs to, of one shape."""

    step: Matrix
    skew: Matrix


def n_edge_steps(sizes: Sequence[int], edges: Sequence[tuple[int, int]]) -> int:
    """Length of packed edge steps."""
    return sum((sizes[i] + sizes[j]) ** 2 for i, j in edges)


def edge_step_pairs(
    packed: Matrix, skew: Matrix, sizes: Sequence[int], edges: Sequence[tuple[int, int]]
) -> list[StepPair]:
    """Packed edge steps, each with the coupling of its two areas.

    Args:
        packed: for each edge (i, j) a matrix ``(n_i + n_j, n_i + n_j)``, the units of area i first, row-major, in order
            of edges: ``(n_edge_steps,)``.
        skew: K, ``(N, N)``.
        sizes: units of each area.
        edges: pairs ``(i, j)``, ``i < j``.
    """
    ends = np.concatenate([[0], np.cumsum(sizes)])
    pairs, first = [], 0
    for edge in edges:
        units = np.concatenate([np.arange(ends[area], ends[area + 1]) for area in edge])
        last = first + len(units) ** 2
        pairs.append(StepPair(packed[first:last].reshape(len(units), -1), skew[np.ix_(units, units)]))
        first = last
    return pairs


def steps_defect(pairs: Sequence[StepPair], h: float, defect: float) -> tuple[str, str]:
    """Why step matrices are refused, and a remark: ``(reason, note)``.

    They must be orthogonal and be the Cayley steps of the coupling. A coupling of another strength is remarked, not
    refused: the certificate holds at any strength.

    Args:
        pairs: every step matrix with its part of the coupling.
        h: step, ``dt / tau``.
        defect: the largest defect of orthogonality of a step matrix.
    """
    if defect > STEP_TOLERANCE:
        return f"coupling_steps are not orthogonal: defect {defect:.3g}, at most {STEP_TOLERANCE:g} is rounding", ""
    if all(_is_step_of(pair, h) for pair in pairs):
        return "", ""
    strength = _relative_strength(pairs, h)
    if strength is None:
        return "coupling_steps are not Cayley steps of the coupling: one of the two was changed", ""
    return "", f"coupling has {1 / strength:.6g} times the strength that coupling_steps execute; certified at both"


def _is_step_of(pair: StepPair, h: float) -> bool:
    """Whether a float32 step matrix is the Cayley step of this very coupling."""
    identity = np.eye(len(pair.skew))
    # NumPy's solvers, not SciPy's: these judge tampered matrices too and must not print warnings about them.
    try:
        expected = 2 * np.linalg.inv(identity - 0.5 * h * pair.skew) - identity
    except np.linalg.LinAlgError:
        return False
    return bool(np.abs(pair.step - expected).max() <= ROUNDING_TOLERANCE)


def _recovered(step: Matrix, h: float) -> NDArray[np.floating[Any]]:
    """The K whose Cayley step a matrix is. Raises LinAlgError where there is none."""
    identity = np.eye(len(step))
    return (2 / h) * np.linalg.solve((step + identity).T, (step - identity).T).T


def _relative_strength(pairs: Sequence[StepPair], h: float) -> float | None:
    """The factor c for which the steps are those of ``c K``, clearly other than 1; ``None`` where there is none."""
    try:
        recovered = np.concatenate([_recovered(pair.step, h).reshape(-1) for pair in pairs])
    except np.linalg.LinAlgError:
        return None
    skew = np.concatenate([pair.skew.reshape(-1) for pair in pairs])
    largest = float(np.abs(skew).max())
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
