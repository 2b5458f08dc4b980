"""Discrete steps of the coupled network and the exact gradients of their matrices.

One step advances the state by ``h = dt / tau`` in metric coordinates (a diagonal metric is the identity there). With
``f(y) = h (-y + W phi(y) + u)``, what happens inside areas:

- ``euler``, the published one: ``x+ = x + f(x) + h K x``;
- ``cayley``: ``y = Q x``, then ``x+ = y + f(y)``, with ``Q = (I - h K / 2)^-1 (I + h K / 2)``, K skew;
- ``edge_cayley``: the same with a Q that is a product of Cayley steps, one an edge
  (:mod:`topo_search.engine.edge_cayley`);
- ``resolvent``: ``x+ = (I - h K)^-1 (x + f(x))``, the coupling implicit and the rest explicit;
- ``imex``, Crank-Nicolson for the coupling: ``x+ = Q x + (I - h K / 2)^-1 f(x)``.

Q is orthogonal for every skew K and ``||(I - h K)^-1||_2 <= 1``, so Cayley and resolvent steps contract by
``1 - h (1 - s)``, ``s = ||W||_2 < 1`` for slopes in [0, 1], at any coupling strength and every ``0 < h <= 1``; Euler
and IMEX steps do so only below a cap on ``||K||_2``, which is far higher for IMEX. All are first order in h. Euler,
resolvent and IMEX steps have exactly the fixed points of the differential equation; those of the Cayley step belong to
the slightly changed coupling ``K (I + h K / 2)^-1``. The resolvent damps rotations of frequency w by
``1 / sqrt(1 + (h w)^2)`` a step.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

__all__ = ["INTEGRATORS", "Integrator", "cayley_step", "cayley_transform", "resolvent", "resolvent_step"]

Integrator = Literal["cayley", "edge_cayley", "euler", "imex", "resolvent"]
INTEGRATORS: tuple[str, ...] = get_args(Integrator)


def resolvent(skew: Tensor, c: float) -> Tensor:
    """``(I - c K)^-1``, shape ``(N, N)``; one factorisation.

    ``I - c K`` is a skew perturbation of the identity: its singular values are ``sqrt(1 + (c w)^2) >= 1``, so the
    inverse exists for every skew K, and its norm is at most 1.
    """
    identity = torch.eye(skew.shape[0], dtype=skew.dtype, device=skew.device)
    inverse: Tensor = torch.linalg.inv(identity - c * skew)
    return inverse


def cayley_transform(skew: Tensor, h: float) -> Tensor:
    """``Q = (I - h K / 2)^-1 (I + h K / 2) = 2 (I - h K / 2)^-1 - I``, shape ``(N, N)``; orthogonal."""
    step = resolvent(skew, 0.5 * h).mul_(2)
    step.diagonal().sub_(1)
    return step


class _Resolvent(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, skew: Tensor, c: float) -> Tensor:
        inverse = resolvent(skew, c)
        ctx.save_for_backward(inverse)
        ctx.c = c  # type: ignore[attr-defined]
        return inverse

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        # dP = c P dK P: the pull-back of a gradient G is c P^T G P^T, and no solve is differentiated.
        (inverse,) = ctx.saved_tensors  # type: ignore[attr-defined]
        transposed = inverse.t()
        return ctx.c * (transposed @ grad @ transposed), None  # type: ignore[attr-defined]


def resolvent_step(skew: Tensor, c: float) -> Tensor:
    """:func:`resolvent` with an exact gradient that costs two products and no solve.

    Args:
        skew: K, ``(N, N)``, skew-symmetric.
        c: positive.
    """
    result: Tensor = _Resolvent.apply(skew, c)
    return result


def cayley_step(skew: Tensor, h: float) -> Tensor:
    """:func:`cayley_transform`, differentiable as :func:`resolvent_step` is.

    Args:
        skew: K, ``(N, N)``, skew-symmetric.
        h: step, ``dt / tau``, in ``(0, 1]``.
    """
    identity = torch.eye(skew.shape[0], dtype=skew.dtype, device=skew.device)
    return 2 * resolvent_step(skew, 0.5 * h) - identity
