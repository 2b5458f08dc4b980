"""Pruning by the first-order change of the loss."""

from __future__ import annotations

from typing import ClassVar

from topo_search.search.strategies._pruning import EdgePruning

__all__ = ["TaylorPruningStrategy"]


class TaylorPruningStrategy(EdgePruning):
    """Keeps the edges without which the loss would change most, to first order: ``|sum of dLoss/dL_ij L_ij|``.

    Sources: Molchanov, Tyree, Karras, Aila and Kautz, "Pruning convolutional neural networks for resource efficient
    inference" (2017), and Molchanov et al., "Importance estimation for neural network pruning" (2019). Departs from
    them in the group, which is the block of an edge. See :class:`EdgePruning`.
    """

    name: ClassVar[str] = "taylor_pruning"
    criterion: ClassVar[str] = "taylor"
