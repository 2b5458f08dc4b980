"""Pruning by connection sensitivity at initialisation."""

from __future__ import annotations

from typing import ClassVar

from topo_search.search.strategies._pruning import EdgePruning

__all__ = ["SnipStrategy"]


class SnipStrategy(EdgePruning):
    """Keeps the edges that the loss depends on most before any training: sum of ``|dLoss/dL_ij L_ij|``.

    Source: Lee, Ajanthan and Torr, "SNIP: single-shot network pruning based on connection sensitivity" (2019). Departs
    from it in that whole edges are kept, and that the parent is trained all the same, as all pretrainings are. See
    :class:`EdgePruning`.
    """

    name: ClassVar[str] = "snip"
    criterion: ClassVar[str] = "snip"
