"""Edges that grow at random while a network trains."""

from __future__ import annotations

from typing import ClassVar, Literal

from topo_search.search.strategies._sparse_training import SparseTraining

__all__ = ["SetStrategy"]


class SetStrategy(SparseTraining):
    """Trains with edges that move by weight and chance: the weakest are dropped, others grow at random.

    Source: Mocanu, Mocanu, Stone, Nguyen, Gibescu and Liotta, "Scalable training of artificial neural networks with
    adaptive sparse connectivity inspired by network science" (2018). Departs from it as
    :class:`topo_search.training.EdgeMoves` says. See :class:`SparseTraining`.
    """

    name: ClassVar[str] = "set"
    moves: ClassVar[Literal["rigl", "set"]] = "set"
