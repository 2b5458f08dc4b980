"""Pruning by gradient."""

from __future__ import annotations

from typing import ClassVar

from topo_search.search.strategies._pruning import EdgePruning

__all__ = ["GradientPruningStrategy"]


class GradientPruningStrategy(EdgePruning):
    """Keeps the edges that the loss still depends on most after pretraining: mean ``|dLoss/dL_ij|``.

    Source: the growth rule of Evci, Gale, Menick, Castro and Elsen, "Rigging the lottery" (2020), used to rank what is
    there. See :class:`EdgePruning`.
    """

    name: ClassVar[str] = "gradient_pruning"
    criterion: ClassVar[str] = "gradient"
