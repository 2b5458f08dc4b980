"""The activation of every area, and its slope."""

from __future__ import annotations

from itertools import groupby

import torch
from torch import Tensor

from topo_search.engine.call import Dynamics

__all__ = ["Nonlinearity"]


class Nonlinearity:
    """``phi`` and its slope on unit-major states ``(N, B)``; for tanh each unit saturates at its own level ``a``.

    In metric coordinates ``y = M^(1/2) x`` a unit's tanh becomes ``a tanh(y / a)`` with ``a = m^(1/2)``; ReLU is
    unchanged because it is positively homogeneous. The slope stays in [0, 1] either way.

    Args:
        dynamics: activations of the areas.
        saturation: levels, ``(N,)``; 1 where not given.
    """

    def __init__(self, dynamics: Dynamics, saturation: Tensor | None) -> None:
        offsets = dynamics.layout.offsets
        self.level = None if saturation is None else saturation[:, None]
        self.parts: list[tuple[slice, bool]] = []
        for name, group in groupby(enumerate(dynamics.activations), key=lambda area: area[1]):
            areas = [area for area, _ in group]
            self.parts.append((slice(offsets[areas[0]], offsets[areas[-1] + 1]), name == "relu"))

    def value(self, y: Tensor, out: Tensor) -> Tensor:
        """``out = phi(y)``."""
        for rows, relu in self.parts:
            if relu:
                torch.clamp_min(y[rows], 0, out=out[rows])
            elif self.level is None:
                torch.tanh(y[rows], out=out[rows])
            else:
                torch.div(y[rows], self.level[rows], out=out[rows]).tanh_().mul_(self.level[rows])
        return out

    def times_slope(self, gradient: Tensor, y: Tensor) -> Tensor:
        """``gradient *= phi'(y)``."""
        for rows, relu in self.parts:
            if relu:
                gradient[rows].mul_(y[rows] > 0)
            else:
                scaled = torch.tanh(y[rows] if self.level is None else y[rows] / self.level[rows])
                gradient[rows].mul_(1 - scaled.square_())
        return gradient
