"""Settings of the strategies that learn from the weights of a pretrained network."""

from __future__ import annotations

from typing import Literal

from topo_search.search.settings.base import Count, Settings, Share

__all__ = ["PruningConfig", "SparseTrainingConfig"]


class PruningConfig(Settings):
    """Pruning after short pretraining; see :class:`topo_search.search.strategies.MagnitudeStrategy`.

    - ``epochs``: of pretraining; the first rung's where not given.
    - ``children``: candidates from one pretrained parent.
    """

    epochs: Count | None = None
    children: Count = 8


class SparseTrainingConfig(Settings):
    """Edges that move while a network trains; see :class:`topo_search.search.strategies.RigLStrategy`."""

    epochs: Count | None = None
    grow: Literal["gradient", "random"] = "gradient"
    fraction: Share = 0.3
