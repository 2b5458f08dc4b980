"""Linear negative feedback between areas: its norm, and the projection below a cap."""

from __future__ import annotations

import torch
from torch import Tensor

from topo_search.engine import AreaLayout

__all__ = ["coupling_norm", "project_to_cap"]


def coupling_norm(layout: AreaLayout, packed: Tensor) -> Tensor:
    """The spectral norm of ``K = B - B^T``, a scalar tensor; 0 for a graph without edges."""
    if not layout.edges:
        return packed.new_zeros(())
    lower = layout.dense_coupling(packed)
    norm: Tensor = torch.linalg.matrix_norm(lower - lower.t(), ord=2)
    return norm


@torch.no_grad()
def project_to_cap(layout: AreaLayout, packed: Tensor, cap: float, *, margin: float = 1e-4) -> None:
    """Scale a packed coupling in place so that its norm is at most ``(1 - margin) cap``.

    The margin covers rounding in float32: the certificate is computed in float64 from the stored weights. A coupling
    that is not finite is left as it is: it has no norm, and the next loss shows that the training diverged.
    """
    if not bool(torch.isfinite(packed).all()):
        return
    limit = (1 - margin) * cap
    norm = float(coupling_norm(layout, packed))
    if norm > limit:
        packed.mul_(limit / norm)
