"""Pruning by the relative change of weights."""

from __future__ import annotations

from typing import ClassVar

from topo_search.search.strategies._pruning import EdgePruning

__all__ = ["RelativeDeltaStrategy"]


class RelativeDeltaStrategy(EdgePruning):
    """Keeps the edges that training changed most beside what they were: ``||change|| / ||initial||`` of the block.

    Blocks between large areas and between small ones are on one scale then. Source: as :class:`DeltaWeightStrategy`, of
    which this is a variant. See :class:`EdgePruning`.
    """

    name: ClassVar[str] = "relative_delta"
    criterion: ClassVar[str] = "relative_delta"
