"""Edge-wise Cayley steps: one small orthogonal matrix an edge, applied one after another.

For an edge ``e = {i, j}``, ``K_e`` is the skew coupling restricted to the two areas and ``Q_e`` its Cayley transform. A
step multiplies the state by all of them, ``y = Q_m ... Q_2 Q_1 x``. Their product is orthogonal in any order, so the
step contracts as the whole-matrix Cayley step does, and its work grows with the edges. But signals hop several areas
in a step along the order, so the order is part of the model: the sorted order of the edges at even steps, counted from
0 at the start of a sequence, and its reverse at odd steps. Alternating makes the coupling's part of the step second
order in h (Strang); the whole step is first order.

What is here is the truth, not fast: the two products as dense matrices, differentiated by autograd.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.functional import pad

from topo_search.engine.integrators import cayley_step
from topo_search.engine.layout import AreaLayout

__all__ = ["edge_cayley_blocks", "edge_cayley_steps", "edge_products"]


def edge_cayley_blocks(layout: AreaLayout, forward: Tensor, h: float) -> Tensor:
    """The matrices ``Q_e`` of all edges; differentiable in ``forward``.

    Args:
        layout: sizes and edges.
        forward: packed B.
        h: step, ``dt / tau``, in ``(0, 1]``.

    Returns:
        Packed edge steps, see :class:`AreaLayout`.
    """
    blocks = []
    for (i, j), block in zip(layout.edges, layout.coupling_blocks(forward), strict=True):
        lower = pad(block, (0, layout.sizes[j], layout.sizes[i], 0))
        blocks.append(cayley_step(lower - lower.t(), h).reshape(-1))
    return torch.cat(blocks) if blocks else forward.new_zeros(0)


def edge_products(layout: AreaLayout, packed: Tensor) -> tuple[Tensor, Tensor]:
    """The step matrices of packed edge steps: those of even and of odd steps, each ``(N, N)``; differentiable."""
    edges = range(len(layout.edges))
    return _product(layout, packed, edges), _product(layout, packed, reversed(edges))


def edge_cayley_steps(layout: AreaLayout, forward: Tensor, h: float) -> tuple[Tensor, Tensor]:
    """The step matrices of a coupling: those of even and of odd steps, each ``(N, N)``; differentiable.

    Args as :func:`edge_cayley_blocks`.
    """
    return edge_products(layout, edge_cayley_blocks(layout, forward, h))


def _product(layout: AreaLayout, packed: Tensor, order: Iterable[int]) -> Tensor:
    """``Q_last ... Q_first``, the edges applied in the order given."""
    blocks = layout.edge_step_blocks(packed)
    step = torch.eye(layout.n_units, dtype=packed.dtype, device=packed.device)
    for edge in order:
        units = layout.units_of(layout.edges[edge]).to(step.device)
        step = step.index_copy(0, units, blocks[edge] @ step[units])
    return step
