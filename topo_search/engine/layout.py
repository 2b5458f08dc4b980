"""Where the areas of a network lie in its state, and how its blocks are packed into vectors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["AreaLayout", "Run"]


class Run(NamedTuple):
    """Consecutive areas of one size: their blocks can be advanced by one batched product."""

    first_area: int
    n_areas: int
    size: int
    unit: int
    """First unit of the run in the state."""
    packed: int
    """First entry of the run in the packed area weights."""


@dataclass(frozen=True)
class AreaLayout:
    """Sizes of the areas and the edges between them: all that the time loop knows of a graph.

    The state of a network is a vector of ``n_units`` entries, area after area. Three packings keep every trainable or
    stored block in one contiguous vector, whatever the mix of sizes:

    - *area weights*, ``(sum n_i^2,)``: the blocks ``W_i`` of shape ``(n_i, n_i)``, row-major, in order of areas;
    - *coupling*, ``(sum n_i n_j over edges,)``: for each edge ``(i, j)``, ``i < j``, the block from area i to area j of
      shape ``(n_j, n_i)``, row-major, in order of edges;
    - *edge steps*, ``(sum (n_i + n_j)^2 over edges,)``: for each edge a matrix of shape ``(n_i + n_j, n_i + n_j)``, the
      units of area i first, row-major, in order of edges.

    Args:
        sizes: units of each area, ``(p,)``, each at least 1.
        edges: pairs ``(i, j)`` with ``i < j``, sorted, without repetition.

    Raises:
        ValueError: if a size is below 1 or the edges are not sorted pairs of areas.
    """

    sizes: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1:
            raise ValueError(f"area sizes must be at least 1, got {self.sizes}")
        p = len(self.sizes)
        if list(self.edges) != sorted(set(self.edges)) or any(not 0 <= i < j < p for i, j in self.edges):
            raise ValueError(f"edges must be sorted pairs i < j of {p} areas without repetition, got {self.edges}")

    @classmethod
    def of(cls, sizes: Sequence[int], edges: Iterable[tuple[int, int]]) -> AreaLayout:
        """Layout from any sequences; the edges are sorted first."""
        return cls(tuple(sizes), tuple(sorted(edges)))

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First unit of each area, and ``n_units`` at the end: ``(p + 1,)``."""
        ends = [0]
        for size in self.sizes:
            ends.append(ends[-1] + size)
        return tuple(ends)

    @property
    def n_units(self) -> int:
        """Units of the whole network, N."""
        return self.offsets[-1]

    @cached_property
    def n_area_weights(self) -> int:
        """Length of the packed area weights."""
        return sum(size * size for size in self.sizes)

    @cached_property
    def n_coupling(self) -> int:
        """Length of the packed coupling."""
        return sum(self.sizes[i] * self.sizes[j] for i, j in self.edges)

    @cached_property
    def n_edge_steps(self) -> int:
        """Length of the packed edge steps."""
        return sum((self.sizes[i] + self.sizes[j]) ** 2 for i, j in self.edges)

    @cached_property
    def equal_sizes(self) -> bool:
        """Whether all areas have the same size."""
        return len(set(self.sizes)) == 1

    def units(self, area: int) -> slice:
        """Units of an area in the state."""
        return slice(self.offsets[area], self.offsets[area + 1])

    def units_of(self, areas: Iterable[int]) -> Tensor:
        """Indices of the units of several areas, int64."""
        return torch.cat([torch.arange(self.offsets[a], self.offsets[a + 1]) for a in areas])

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Maximal runs of consecutive areas of one size."""
        runs, area, packed = [], 0, 0
        for size, group in groupby(self.sizes):
            count = len(list(group))
            runs.append(Run(area, count, size, self.offsets[area], packed))
            area += count
            packed += count * size * size
        return tuple(runs)

    @cached_property
    def coupling_offsets(self) -> tuple[int, ...]:
        """First entry of each edge's block in the packed coupling, and ``n_coupling`` at the end."""
        ends = [0]
        for i, j in self.edges:
            ends.append(ends[-1] + self.sizes[i] * self.sizes[j])
        return tuple(ends)

    def coupling_blocks(self, packed: Tensor) -> list[Tensor]:
        """Views ``(n_j, n_i)`` of a packed coupling, one an edge."""
        ends = self.coupling_offsets
        return [packed[ends[e] : ends[e + 1]].view(self.sizes[j], self.sizes[i]) for e, (i, j) in enumerate(self.edges)]

    def edge_step_blocks(self, packed: Tensor) -> list[Tensor]:
        """Views ``(n_i + n_j, n_i + n_j)`` of packed edge steps, one an edge."""
        widths = [self.sizes[i] + self.sizes[j] for i, j in self.edges]
        parts = torch.split(packed, [width * width for width in widths])
        return [part.view(width, width) for part, width in zip(parts, widths, strict=True)]

    @cached_property
    def _coupling_index(self) -> Tensor:
        return self._positions([(j, i) for i, j in self.edges])

    @cached_property
    def _area_index(self) -> Tensor:
        return self._positions([(a, a) for a in range(len(self.sizes))])

    def _positions(self, blocks: Sequence[tuple[int, int]]) -> Tensor:
        """Flat positions in an (N, N) matrix of the entries of blocks given as (row area, column area)."""
        parts = [
            (torch.arange(*self.offsets[row : row + 2])[:, None] * self.n_units)
            + torch.arange(*self.offsets[column : column + 2])
            for row, column in blocks
        ]
        return torch.cat([part.reshape(-1) for part in parts]) if parts else torch.empty(0, dtype=torch.int64)

    def dense_coupling(self, packed: Tensor) -> Tensor:
        """The matrix B, ``(N, N)``: blocks strictly below the block diagonal where the graph has an edge, else 0.

        Differentiable in ``packed``.
        """
        return self._dense(packed, self._coupling_index)

    def dense_area_weights(self, packed: Tensor) -> Tensor:
        """The block-diagonal matrix W, ``(N, N)``. Differentiable in ``packed``."""
        return self._dense(packed, self._area_index)

    def pack_coupling(self, dense: Tensor) -> Tensor:
        """The packed coupling of an ``(N, N)`` matrix; entries off the graph's blocks are dropped."""
        return dense.reshape(-1)[self._coupling_index.to(dense.device)]

    def pack_area_weights(self, dense: Tensor) -> Tensor:
        """The packed area weights of an ``(N, N)`` matrix; entries off the block diagonal are dropped."""
        return dense.reshape(-1)[self._area_index.to(dense.device)]

    def _dense(self, packed: Tensor, index: Tensor) -> Tensor:
        n = self.n_units
        return packed.new_zeros(n * n).index_copy(0, index.to(packed.device), packed).view(n, n)
