"""Products with the blocks of a network, unit-major: the area weights, and the coupling in four equivalent forms.

Every form adds the product of a batch of states, ``(N, B)``, to a buffer, adds the transposed product, and sums up the
gradient of its blocks over time; which one is used changes the time that a step takes, not its result.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from topo_search.engine.layout import AreaLayout

__all__ = ["AreaProducts", "Coupling", "coupling_form"]

# Share of directed blocks above which one dense product beats the products over edges (measured between 0.2 and 0.5
# for 8 to 24 areas of 16 or 32 units).
DENSE_SHARE = 0.35


class AreaProducts:
    """Products with the block-diagonal area weights, batched over runs of areas of one size."""

    def __init__(self, layout: AreaLayout, packed: Tensor, scale: float) -> None:
        self.parts = []
        for run in layout.runs:
            count = run.n_areas * run.size**2
            block = packed[run.packed : run.packed + count].view(run.n_areas, run.size, run.size) * scale
            units = slice(run.unit, run.unit + run.n_areas * run.size)
            self.parts.append((units, run, block, block.transpose(1, 2).contiguous()))

    def add(self, out: Tensor, activity: Tensor) -> None:
        """``out += scale W activity``."""
        for units, run, block, _ in self.parts:
            shape = (run.n_areas, run.size, -1)
            out[units].view(shape).baddbmm_(block, activity[units].view(shape))

    def transpose(self, gradient: Tensor, out: Tensor) -> Tensor:
        """``out = scale W^T gradient``."""
        for units, run, _, block_t in self.parts:
            shape = (run.n_areas, run.size, -1)
            torch.bmm(block_t, gradient[units].view(shape), out=out[units].view(shape))
        return out

    def accumulate(self, total: Tensor, gradient: Tensor, activity: Tensor) -> None:
        """``total += gradient activity^T`` on the blocks, packed."""
        for units, run, block, _ in self.parts:
            shape = (run.n_areas, run.size, -1)
            part = total[run.packed : run.packed + block.numel()].view_as(block)
            part.baddbmm_(gradient[units].view(shape), activity[units].view(shape).transpose(1, 2))


class Coupling(Protocol):
    """A linear map of the state, its transpose, and the gradient of its blocks."""

    def add(self, out: Tensor, x: Tensor) -> None:
        """``out += scale L x``."""
        ...

    def add_transpose(self, out: Tensor, gradient: Tensor) -> None:
        """``out += scale L^T gradient``."""
        ...

    def accumulate(self, gradient: Tensor, x: Tensor) -> None:
        """Take a step's ``gradient x^T`` into the sum."""
        ...

    def gradients(self) -> tuple[Tensor, Tensor]:
        """Gradients of the packed blocks forward and backward."""
        ...


class _DenseCoupling:
    """L as one matrix, for graphs dense enough."""

    def __init__(self, layout: AreaLayout, forward: Tensor, backward: Tensor, scale: float) -> None:
        self.layout, self.scale = layout, scale
        self.matrix = (layout.dense_coupling(forward) + layout.dense_coupling(backward).t()) * scale
        self.matrix_t = self.matrix.t().contiguous()
        self.total = torch.zeros_like(self.matrix)

    def add(self, out: Tensor, x: Tensor) -> None:
        out.addmm_(self.matrix, x)

    def add_transpose(self, out: Tensor, gradient: Tensor) -> None:
        out.addmm_(self.matrix_t, gradient)

    def accumulate(self, gradient: Tensor, x: Tensor) -> None:
        self.total.addmm_(gradient, x.t())

    def gradients(self) -> tuple[Tensor, Tensor]:
        total = self.total * self.scale
        return self.layout.pack_coupling(total), self.layout.pack_coupling(total.t())


class _EqualBlockCoupling:
    """L over the edges of areas of one size: two batched products, whatever the number of edges."""

    def __init__(self, layout: AreaLayout, forward: Tensor, backward: Tensor, scale: float) -> None:
        n = layout.sizes[0]
        self.shape, self.scale = (len(layout.sizes), n, -1), scale
        pairs = torch.tensor(layout.edges, device=forward.device)
        self.low, self.high = pairs[:, 0].contiguous(), pairs[:, 1].contiguous()
        self.up = forward.view(-1, n, n) * scale
        self.down_t = backward.view(-1, n, n) * scale
        self.up_total, self.down_total = torch.zeros_like(self.up), torch.zeros_like(self.down_t)

    def add(self, out: Tensor, x: Tensor) -> None:
        areas, target = x.view(self.shape), out.view(self.shape)
        target.index_add_(0, self.high, torch.bmm(self.up, areas[self.low]))
        target.index_add_(0, self.low, torch.bmm(self.down_t.transpose(1, 2), areas[self.high]))

    def add_transpose(self, out: Tensor, gradient: Tensor) -> None:
        areas, target = gradient.view(self.shape), out.view(self.shape)
        target.index_add_(0, self.low, torch.bmm(self.up.transpose(1, 2), areas[self.high]))
        target.index_add_(0, self.high, torch.bmm(self.down_t, areas[self.low]))

    def accumulate(self, gradient: Tensor, x: Tensor) -> None:
        adjoint, areas = gradient.view(self.shape), x.view(self.shape)
        self.up_total.baddbmm_(adjoint[self.high], areas[self.low].transpose(1, 2))
        self.down_total.baddbmm_(areas[self.high], adjoint[self.low].transpose(1, 2))

    def gradients(self) -> tuple[Tensor, Tensor]:
        return self.up_total.view(-1) * self.scale, self.down_total.view(-1) * self.scale


class _MixedBlockCoupling:
    """L edge by edge, for areas of different sizes."""

    def __init__(self, layout: AreaLayout, forward: Tensor, backward: Tensor, scale: float) -> None:
        self.scale = scale
        self.pairs = [(layout.units(i), layout.units(j)) for i, j in layout.edges]
        self.up = [block * scale for block in layout.coupling_blocks(forward)]
        self.down_t = [block * scale for block in layout.coupling_blocks(backward)]
        self.up_total = [torch.zeros_like(block) for block in self.up]
        self.down_total = [torch.zeros_like(block) for block in self.down_t]

    def add(self, out: Tensor, x: Tensor) -> None:
        for (low, high), up, down_t in zip(self.pairs, self.up, self.down_t, strict=True):
            out[high].addmm_(up, x[low])
            out[low].addmm_(down_t.t(), x[high])

    def add_transpose(self, out: Tensor, gradient: Tensor) -> None:
        for (low, high), up, down_t in zip(self.pairs, self.up, self.down_t, strict=True):
            out[low].addmm_(up.t(), gradient[high])
            out[high].addmm_(down_t, gradient[low])

    def accumulate(self, gradient: Tensor, x: Tensor) -> None:
        for (low, high), up, down in zip(self.pairs, self.up_total, self.down_total, strict=True):
            up.addmm_(gradient[high], x[low].t())
            down.addmm_(x[high], gradient[low].t())

    def gradients(self) -> tuple[Tensor, Tensor]:
        join = [torch.cat([block.reshape(-1) for block in blocks]) for blocks in (self.up_total, self.down_total)]
        return join[0] * self.scale, join[1] * self.scale


class _NoCoupling:
    """A graph without edges."""

    def __init__(self, forward: Tensor, backward: Tensor) -> None:
        self.empty = torch.zeros_like(forward), torch.zeros_like(backward)

    def add(self, out: Tensor, x: Tensor) -> None:
        """Nothing flows."""

    def add_transpose(self, out: Tensor, gradient: Tensor) -> None:
        """Nothing flows back."""

    def accumulate(self, gradient: Tensor, x: Tensor) -> None:
        """Nothing to learn."""

    def gradients(self) -> tuple[Tensor, Tensor]:
        return self.empty


def coupling_form(layout: AreaLayout, forward: Tensor, backward: Tensor, scale: float) -> Coupling:
    """The cheapest of the equivalent forms of L for this graph."""
    if not layout.edges:
        return _NoCoupling(forward, backward)
    if 2 * layout.n_coupling > DENSE_SHARE * layout.n_units**2:
        return _DenseCoupling(layout, forward, backward, scale)
    if layout.equal_sizes:
        return _EqualBlockCoupling(layout, forward, backward, scale)
    return _MixedBlockCoupling(layout, forward, backward, scale)
