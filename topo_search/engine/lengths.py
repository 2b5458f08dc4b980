"""Ragged batches: a sequence that ends before the others is held in its last state."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["check_lengths", "ended_before", "segment_lengths"]


def check_lengths(lengths: Tensor, steps: int, batch: int) -> None:
    """Refuse lengths that are not one integer from 0 to ``steps`` for each sequence.

    Args:
        lengths: ``(B,)``, int64.
        steps: T.
        batch: B.

    Raises:
        ValueError: if dtype, shape or range is wrong.
    """
    if lengths.dtype != torch.int64 or lengths.shape != (batch,):
        raise ValueError(f"lengths must be int64 of shape ({batch},), got {lengths.dtype} {tuple(lengths.shape)}")
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest < 0 or longest > steps:
        raise ValueError(f"lengths must lie in 0 .. {steps}, the steps of the inputs, got {shortest} .. {longest}")


def ended_before(lengths: Tensor, steps: int) -> Tensor:
    """For each step, which sequences have ended before it, bool ``(T, B)``."""
    return lengths <= torch.arange(steps, device=lengths.device)[:, None]


def segment_lengths(lengths: Tensor | None, steps: int, segment: int) -> list[Tensor | None]:
    """Lengths within each of the consecutive segments of ``segment`` steps (the last one may be shorter)."""
    starts = range(0, steps, segment)
    if lengths is None:
        return [None] * len(starts)
    return [(lengths - start).clamp(0, min(segment, steps - start)) for start in starts]
