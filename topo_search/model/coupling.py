"""Linear negative feedback between areas: its norm, and the cap below which Euler steps are certified."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from topo_search.engine import AreaLayout

__all__ = ["coupling_norm", "euler_cap", "project_to_cap"]


def coupling_norm(layout: AreaLayout, packed: Tensor) -> Tensor:
    """The spectral norm of ``K = B - B^T``, a scalar tensor; 0 for a graph without edges."""
    if not layout.edges:
        return packed.new_zeros(())
    lower = layout.dense_coupling(packed)
    norm: Tensor = torch.linalg.matrix_norm(lower - lower.t(), ord=2)
    return norm


def euler_cap(area_norm: float, h: float) -> float:
    """The largest coupling norm at which forward Euler is certified by the ``tri`` bound.

    ``rho <= sqrt((1 - h)^2 + h^2 sigma^2) + h s`` is below 1 exactly when
    ``sigma < sqrt((1 - s) (2 - h (1 + s)) / h)``.

    Args:
        area_norm: s, the largest spectral norm of an area's weights, in ``[0, 1)``.
        h: ``dt / tau``, in ``(0, 1]``.
    """
    return math.sqrt((1 - area_norm) * (2 - h * (1 + area_norm)) / h)


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
