"""Areas whose weights are trained inside their theorem, beside areas that stay as drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from topo_search.model.recipes import Recipe
from topo_search.model.subnetworks import raw_size, realise

__all__ = ["AreaWeights", "TrainedAreas"]


class AreaWeights(NamedTuple):
    """Weights of all areas as the engine takes them.

    Attributes:
        weights: packed W, ``(sum n_i^2,)``.
        gauge: packed V, alike; ``None`` where every metric is diagonal.
    """

    weights: Tensor
    gauge: Tensor | None


class TrainedAreas(nn.Module):
    """The numbers that trained areas are made of; whatever they are, each area meets its theorem.

    Args:
        recipes: of every area, ``(p,)``.
        sizes: units of every area, ``(p,)``.
        norm: s, see :func:`topo_search.model.subnetworks.realise`.
        raw: the numbers of the trained areas, one after another, in order of areas.
        mask: alike, 0 where a number stays 0.
    """

    raw: nn.Parameter
    mask: Tensor

    def __init__(
        self, recipes: Sequence[Recipe], sizes: Sequence[int], norm: float, *, raw: Tensor, mask: Tensor
    ) -> None:
        super().__init__()
        self.recipes, self.sizes, self.norm = tuple(recipes), tuple(sizes), norm
        self.raw = nn.Parameter(raw.clone())
        self.register_buffer("mask", mask.clone())
        # Areas of one recipe and size are made together.
        self._groups: dict[tuple[Recipe, int], list[tuple[int, int]]] = defaultdict(list)
        first = 0
        for area, (recipe, size) in enumerate(zip(self.recipes, self.sizes, strict=True)):
            if recipe.trainable:
                self._groups[recipe, size].append((area, first))
                first += raw_size(recipe, size)

    @property
    def n_trained(self) -> int:
        """Numbers that are trained: those that the mask lets through."""
        return int(self.mask.count_nonzero())

    def clear(self, fixed: AreaWeights) -> None:
        """Zero the places of trained areas, in place: what they hold is never used."""
        counts = [size * size for size in self.sizes]
        for tensor in fixed:
            if tensor is None:
                continue
            for part, recipe in zip(torch.split(tensor, counts), self.recipes, strict=True):
                if recipe.trainable:
                    part.zero_()

    def put_into(self, fixed: AreaWeights) -> AreaWeights:
        """The weights of all areas: the trained ones made from their numbers, the others from ``fixed``.

        Differentiable in ``raw``.
        """
        counts = [size * size for size in self.sizes]
        weights = list(torch.split(fixed.weights, counts))
        gauges = None if fixed.gauge is None else list(torch.split(fixed.gauge, counts))
        for (recipe, size), members in self._groups.items():
            length = raw_size(recipe, size)
            raw = torch.stack([self.raw[first : first + length] for _, first in members])
            mask = torch.stack([self.mask[first : first + length] for _, first in members])
            made = realise(recipe, size, raw, mask, self.norm)
            for index, (area, _) in enumerate(members):
                weights[area] = made.weights[index].reshape(-1)
                if gauges is not None:
                    gauge = torch.eye(size).to(raw) if made.gauge is None else made.gauge[index]
                    gauges[area] = gauge.reshape(-1)
        return AreaWeights(torch.cat(weights), None if gauges is None else torch.cat(gauges))
