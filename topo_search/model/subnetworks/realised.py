"""An area made from trainable numbers, as the network runs it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["Realised"]


class Realised(NamedTuple):
    """An area in coordinates where its metric is the identity: ``y' = -y + W phi(V y)``.

    Attributes:
        weights: W, ``(..., n, n)``.
        gauge: V, ``(..., n, n)``; ``None`` stands for the identity.
    """

    weights: Tensor
    gauge: Tensor | None
