"""Discrete steps of the coupled network and the exact gradients of their matrices.

One step advances the state by ``h = dt / tau`` in metric coordinates (a diagonal metric is the identity there):

- ``euler``, the published one: ``x+ = x + h (-x + W phi(x) + L x + u)``;
- ``cayley``: ``y = Q x``, then ``x+ = y + h (-y + W phi(y) + u)`` with ``Q = (I - h K / 2)^-1 (I + h K / 2)``, K skew;
- ``edge_cayley``: the same with a Q that is a product of Cayley steps, one an edge
  (:mod:`topo_search.engine.edge_cayley`).

Q is orthogonal for every skew K, so the Cayley step contracts by ``1 - h (1 - s)``, ``s = ||W||_2 < 1`` for slopes in
[0, 1], at any coupling strength and every ``0 < h <= 1``; Euler does so only below a cap on ``||K||_2``. Both are first
order in h. The fixed points of the Cayley step are those of the slightly changed coupling ``K (I + h K / 2)^-1``.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

__all__ = ["INTEGRATORS", "Integrator", "cayley_step", "cayley_transform"]

Integrator = Literal["cayley", "edge_cayley", "euler"]
INTEGRATORS: tuple[str, ...] = get_args(Integrator)


def cayley_transform(skew: Tensor, h: float) -> Tensor:
    """``Q = (I - h K / 2)^-1 (I + h K / 2) = 2 (I - h K / 2)^-1 - I``, shape ``(N, N)``; one factorisation.

    ``I - h K / 2`` is a skew perturbation of the identity: its singular values are ``sqrt(1 + (h w / 2)^2) >= 1``, so
    the inverse exists for every skew K.
    """
    identity = torch.eye(skew.shape[0], dtype=skew.dtype, device=skew.device)
    inverse: Tensor = torch.linalg.inv(identity - (0.5 * h) * skew)
    return inverse.mul_(2).sub_(identity)


class _CayleyStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, skew: Tensor, h: float) -> Tensor:
        step = cayley_transform(skew, h)
        ctx.save_for_backward(step)
        ctx.h = h  # type: ignore[attr-defined]
        return step

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        # dQ = (I - hK/2)^-1 (h/2) dK (Q + I) and (I - hK/2)^-1 = (Q + I)/2: with P = (Q + I)/2 the pull-back of a
        # gradient G is h P^T G P^T, and no solve is differentiated.
        (step,) = ctx.saved_tensors  # type: ignore[attr-defined]
        half = step.t() * 0.5
        half.diagonal().add_(0.5)
        return ctx.h * (half @ grad @ half), None  # type: ignore[attr-defined]


def cayley_step(skew: Tensor, h: float) -> Tensor:
    """:func:`cayley_transform` with an exact gradient that costs two products and no solve.

    Args:
        skew: K, ``(N, N)``, skew-symmetric.
        h: step, ``dt / tau``, in ``(0, 1]``.
    """
    result: Tensor = _CayleyStep.apply(skew, h)
    return result
