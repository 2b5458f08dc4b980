"""Edges that grow by gradient while a network trains."""

from __future__ import annotations

from typing import ClassVar, Literal

from topo_search.search.strategies._sparse_training import SparseTraining

__all__ = ["RigLStrategy"]


class RigLStrategy(SparseTraining):
    """Trains with edges that move by weight and gradient: the weakest are dropped, those of largest gradient grow.

    Source: Evci, Gale, Menick, Castro and Elsen, "Rigging the lottery: making all tickets winners" (2020). Departs from
    it as :class:`topo_search.training.EdgeMoves` says, and in that its end is trained anew as a candidate. See
    :class:`SparseTraining`.
    """

    name: ClassVar[str] = "rigl"
    moves: ClassVar[Literal["rigl", "set"]] = "rigl"
