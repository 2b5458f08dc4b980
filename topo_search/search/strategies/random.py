"""Random search: graphs drawn from families, whatever was found before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from topo_search.graph import GraphConstraints, ModuleGraph, make_family
from topo_search.search.history import History, Proposal
from topo_search.search.settings import FamilyDraw, SearchConfig

__all__ = ["RandomStrategy", "draw_family"]


def draw_family(
    draws: Sequence[FamilyDraw], constraints: GraphConstraints, rng: np.random.Generator
) -> tuple[ModuleGraph, str]:
    """A graph of one of the families, and the family's name.

    Raises:
        InputError: if a family's parameters do not fit.
    """
    weights = np.array([draw.weight for draw in draws])
    draw = draws[int(rng.choice(len(draws), p=weights / weights.sum()))]
    return make_family(draw.family, constraints, rng, **draw.parameters), draw.family


class RandomStrategy:
    """Draws from the families under ``search.random``; by default graphs of the full edge budget, uniformly."""

    name: ClassVar[str] = "random"
    operators: ClassVar[tuple[str, ...]] = ()

    def __init__(self, constraints: GraphConstraints, config: SearchConfig) -> None:
        self.constraints, self.draws = constraints, config.random

    def propose(self, history: History, rng: np.random.Generator) -> Proposal:  # noqa: ARG002
        """A graph of one of the families."""
        graph, family = draw_family(self.draws, self.constraints, rng)
        return Proposal(graph, self.name, family)
