"""Maps from free numbers to bounded ones, rotations and triangles, smooth and finite everywhere."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["bounded", "lower_triangle", "rotation"]

# Every rotation is exp(A) for a skew A of spectral norm at most pi, whose entries are then at most pi: entries bounded
# by 4 reach every rotation, and keep the exponential orthogonal to rounding.
_SKEW_BOUND = 4.0


def bounded(raw: Tensor, bound: float) -> Tensor:
    """``bound * tanh(raw / bound)``: the identity near 0, within plus or minus ``bound`` everywhere."""
    return bound * torch.tanh(raw / bound)


def lower_triangle(entries: Tensor, size: int, *, below: int) -> Tensor:
    """``(..., k)`` entries, row by row, as ``(..., n, n)``; ``below`` 0 includes the diagonal, 1 leaves it zero."""
    rows, columns = torch.tril_indices(size, size, -below, device=entries.device)
    dense = entries.new_zeros(*entries.shape[:-1], size * size)
    return dense.index_copy(-1, rows * size + columns, entries).reshape(*entries.shape[:-1], size, size)


def rotation(entries: Tensor, size: int) -> Tensor:
    """An orthogonal matrix of determinant 1, ``(..., n, n)``: the exponential of the skew matrix of the entries.

    Args:
        entries: ``(..., n (n - 1) / 2)``, any finite numbers.
        size: n.
    """
    lower = lower_triangle(bounded(entries, _SKEW_BOUND), size, below=1)
    turned: Tensor = torch.linalg.matrix_exp(lower - lower.mT)
    return turned
