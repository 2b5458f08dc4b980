"""Pruning by the change of weights."""

from __future__ import annotations

from typing import ClassVar

from topo_search.search.strategies._pruning import EdgePruning

__all__ = ["DeltaWeightStrategy"]


class DeltaWeightStrategy(EdgePruning):
    """Keeps the edges that training changed most: mean ``|change of L_ij|`` since initialisation.

    Large weights may have been drawn large; what training moved, it needed. Source: Zhou, Lan, Liu and Yosinski,
    "Deconstructing lottery tickets" (2019), for single weights, and the outlook of Kozachkov, Ennis and Slotine. See
    :class:`EdgePruning`.
    """

    name: ClassVar[str] = "delta_weight"
    criterion: ClassVar[str] = "delta"
