"""Pruning by the magnitude of weights."""

from __future__ import annotations

from typing import ClassVar

from topo_search.search.strategies._pruning import EdgePruning

__all__ = ["MagnitudeStrategy"]


class MagnitudeStrategy(EdgePruning):
    """Keeps the edges of large weights after pretraining: mean ``|L_ij|`` of the block, in metric coordinates.

    Source: Han, Pool, Tran and Dally, "Learning both weights and connections for efficient neural networks" (2015), and
    the outlook of Kozachkov, Ennis and Slotine: ranking edges by weight magnitude. See :class:`EdgePruning`.
    """

    name: ClassVar[str] = "magnitude"
    criterion: ClassVar[str] = "magnitude"
