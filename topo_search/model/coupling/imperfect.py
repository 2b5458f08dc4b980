"""Imperfect feedback: a symmetric part S of the linear coupling, below what the areas' rates bear.

With ``L = K + S`` and areas of which only the rates ``Lambda`` are known, the network contracts if and only if
``S < Lambda``, at the rate ``lmin(Lambda - S)`` or better.
"""

from __future__ import annotations

import torch
from torch import Tensor

from topo_search.engine import AreaLayout

__all__ = ["symmetric_feedback"]


def symmetric_feedback(layout: AreaLayout, raw: Tensor, rates: Tensor, *, margin: float) -> Tensor:
    """The symmetric part of the feedback from free parameters: whatever these are, ``S <= (1 - margin) Lambda``.

    ``S = (1 - margin) Lambda^(1/2) R / max(1, lmax(R)) Lambda^(1/2)``, R the symmetric matrix of the raw blocks. The
    network keeps a rate of at least ``margin min(rates)``.

    Args:
        layout: sizes and edges.
        raw: blocks ``R_ji`` of shape ``(n_j, n_i)``, packed as a coupling, ``(n_coupling,)``; any finite numbers.
        rates: ``(p,)``, positive: the certified rate of each area, its speed included (``r_i lambda_i``).
        margin: share of the rate that is kept, in ``(0, 1)``; at least 1e-6 where S is stored in float32.

    Returns:
        Blocks ``S_ji`` packed alike, with ``S_ij = S_ji^T``; of the type of ``raw``, differentiable in it and in
        ``rates``, also where R is zero or its largest eigenvalue is repeated. What is not finite comes back as it is.

    Raises:
        ValueError: if the margin or a rate is out of range.
    """
    if not 0 < margin < 1:
        raise ValueError(f"margin must lie between 0 and 1, got {margin}")
    if rates.shape != (len(layout.sizes),) or not bool((rates > 0).all()):
        raise ValueError(f"rates must be {len(layout.sizes)} positive numbers, one an area, got {rates.tolist()}")
    if not layout.edges or not bool(torch.isfinite(raw).all()):
        return raw
    # In float64: the claim is one on eigenvalues, and rounding in float32 would eat into a small margin.
    lower = layout.dense_coupling(raw.double())
    largest = torch.linalg.eigvalsh(lower + lower.t())[-1]
    root = torch.sqrt(rates.double()).repeat_interleave(torch.tensor(layout.sizes, device=rates.device))
    scaled = lower * root[:, None] * root / torch.clamp(largest, min=1.0)
    return (1 - margin) * layout.pack_coupling(scaled).to(raw.dtype)
