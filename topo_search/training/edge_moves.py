"""Edges that move while a network trains: weak ones are dropped, others grow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from topo_search.graph import Edge, GraphConstraints
from topo_search.model import ComboNet
from topo_search.training.edge_blocks import by_edge, edge_parameters, with_edges
from topo_search.training.edge_scores import edge_gradients

__all__ = ["EdgeMoves"]

# Share of the training after which edges stay.
SETTLED = 0.75


@dataclass(frozen=True)
class EdgeMoves:
    """When and how edges move.

    The number of edges stays exactly what it was, and terminals stay joined after every move: a drop that would cut
    inputs from outputs is left out. New edges begin at zero, so that a move changes what the network does only by what
    it drops.

    Sources: ``rigl`` Evci, Gale, Menick, Castro and Elsen, "Rigging the lottery: making all tickets winners" (2020);
    ``set`` Mocanu et al., "Scalable training of artificial neural networks with adaptive sparse connectivity" (2018).
    Departs from them in that whole blocks move and not single weights, and that an edge just dropped does not grow
    again in the same move; from SET in that new edges begin at zero.

    Attributes:
        constraints: which edges may grow, and what must stay joined.
        grow: ``rigl``: where the gradient of a batch is largest; ``set``: at random.
        drop_fraction: share of edges that move at first; it falls to zero along a cosine.
        every: epochs between moves.
        epochs: of the whole training; edges stay for the last quarter.
    """

    constraints: GraphConstraints
    grow: Literal["rigl", "set"]
    drop_fraction: float
    every: int
    epochs: int

    def due(self, epoch: int) -> bool:
        """Whether edges move before this epoch, counted from 0."""
        return epoch > 0 and epoch % self.every == 0 and epoch <= SETTLED * self.epochs

    def count(self, epoch: int, n_edges: int) -> int:
        """How many edges move before an epoch, if so many can."""
        share = self.drop_fraction / 2 * (1 + math.cos(math.pi * min(1.0, epoch / (SETTLED * self.epochs))))
        return round(share * n_edges)

    def moved(
        self, network: ComboNet, epoch: int, batch: tuple[Tensor, Tensor], rng: np.random.Generator
    ) -> tuple[Edge, ...]:
        """The edges after the move before an epoch, ascending; as many as before.

        Args:
            network: as it is trained so far.
            epoch: counted from 0.
            batch: inputs and labels that growth by gradient looks at.
            rng: source of randomness for growth at random.
        """
        edges = network.graph.edges
        absent = [edge for edge in self.constraints.allowed_edges if edge not in set(edges)]
        dropped = self._weakest(network, min(self.count(epoch, len(edges)), len(absent)))
        if not dropped:
            return edges
        if self.grow == "set":
            grown = [absent[index] for index in rng.choice(len(absent), len(dropped), replace=False)]
        else:
            gradients = edge_gradients(with_edges(network, [*edges, *absent]), [batch])
            size = {edge: float(gradients[edge].abs().mean()) for edge in absent}
            grown = sorted(absent, key=lambda edge: (-size[edge], edge))[: len(dropped)]
        return tuple(sorted({*edges, *grown} - dropped))

    def _weakest(self, network: ComboNet, count: int) -> set[Edge]:
        """Up to so many edges of least mean magnitude without which the rest still connects."""
        numbers = by_edge(network.layout, edge_parameters(network))
        magnitude = {edge: float(vector.detach().abs().mean()) for edge, vector in numbers.items()}
        left = set(network.graph.edges)
        dropped: set[Edge] = set()
        for edge in sorted(left, key=lambda edge: (magnitude[edge], edge)):
            if len(dropped) == count:
                break
            if self.constraints.connects(left - {edge}):
                left.remove(edge)
                dropped.add(edge)
        return dropped
