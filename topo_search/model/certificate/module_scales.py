"""How areas are scaled against each other so that a small-gain condition shows a rate: Theorem 1 with areas as units.

Resolvents serve and not Perron vectors, which have zeros where the graph of the gains is not strongly connected.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["module_scales"]

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

# Shares of the best rate at which scales are looked for: the closer to it, the further scales lie apart.
KEPT = (0.98, 0.9, 0.5, 0.0)


def module_scales(rates: Vector, gains: Matrix) -> Vector | None:
    """Scales c that certify nearly the best rate that any scales can; None where none certify a positive one.

    Args:
        rates: Lambda, ``(p,)``.
        gains: ``(p, p)``, upper bounds of the norms of couplings, to row from column; zero diagonal.

    Returns:
        ``c = w / v``, ``(p,)``, the least 1, with ``v = X^-1 1``, ``w = X^-T 1``, ``X = Lambda - t I - gains`` and t as
        near to the best rate as scales within the range of float64 allow.
    """
    best = -float(np.linalg.eigvals(gains - np.diag(rates)).real.max())
    for kept in KEPT if best > 0 else (0.0,):
        matrix = np.diag(rates - kept * best) - gains
        right, left = _positive_solution(matrix), _positive_solution(matrix.T)
        if right is not None and left is not None:
            # In logarithms: a long chain of areas takes scales to the ends of the range.
            exponent = np.log(left) - np.log(right)
            exponent -= exponent.min()
            if exponent.max() < 600:
                return np.asarray(np.exp(exponent), dtype=np.float64)
    return None


def _positive_solution(matrix: Matrix) -> Vector | None:
    """``X^-1 1`` of an M-matrix, positive; None where X is none.

    By elimination without pivoting: pivots are positive exactly for M-matrices, and nothing but they is subtracted, so
    that the solution keeps its sign however far its entries lie apart.
    """
    rest, solution = matrix.copy(), np.ones(len(matrix))
    for k, pivot_row in enumerate(rest):
        if pivot_row[k] <= 0:
            return None
        below = rest[k + 1 :, k] / pivot_row[k]
        rest[k + 1 :, k + 1 :] -= np.outer(below, pivot_row[k + 1 :])
        solution[k + 1 :] -= below * solution[k]
    for k in reversed(range(len(rest))):
        solution[k] = (solution[k] - rest[k, k + 1 :] @ solution[k + 1 :]) / rest[k, k]
    return solution if np.isfinite(solution).all() else None
