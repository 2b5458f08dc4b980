"""The dynamics that a verdict is on: all parts of a network resolved, in one metric."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from topo_search.model.certificate.eigen import Matrix, Vector, symmetric_part
from topo_search.model.certificate.network import NetworkMatrices

__all__ = ["Frame", "frame_of"]


@dataclass(frozen=True)
class Frame:
    """``tau y' = r (-y + (W + C) phi(V y) + u) + (K + S) y``, with the metric the identity.

    Attributes:
        sizes: units of each area, ``(p,)``.
        h: ``dt / tau``.
        speeds: r, ``(N,)``.
        weights: W, ``(N, N)``, block-diagonal.
        gauge: V, ``(N, N)``, block-diagonal; ``None`` for the identity.
        nonlinear: C, ``(N, N)``; ``None`` for none.
        skew: K, ``(N, N)``, exactly skew.
        symmetric: S, ``(N, N)``, exactly symmetric; ``None`` for none.
        scales: c, ``(p,)``, where the metric is ``blockdiag(c_i I)`` in the network's own coordinates; else empty.
    """

    sizes: tuple[int, ...]
    h: float
    speeds: Vector
    weights: Matrix
    gauge: Matrix | None
    nonlinear: Matrix | None
    skew: Matrix
    symmetric: Matrix | None
    scales: tuple[float, ...] = ()

    @property
    def areas(self) -> tuple[slice, ...]:
        """Units of each area."""
        ends = np.concatenate([[0], np.cumsum(self.sizes)]).tolist()
        return tuple(slice(first, last) for first, last in pairwise(ends))

    @property
    def separable(self) -> bool:
        """Whether areas meet in nothing but K."""
        return self.nonlinear is None and self.symmetric is None

    @property
    def plain(self) -> bool:
        """Whether speeds are 1, the gauge is the identity and the coupling is skew: the network of the first theory."""
        return self.separable and self.gauge is None and bool((self.speeds == 1).all())

    @property
    def scalable(self) -> bool:
        """Whether areas may be scaled against each other: a linear coupling would have to be skew in that metric."""
        return self.nonlinear is not None and self.symmetric is None and not self.skew.any() and not self.scales

    @property
    def gain_parts(self) -> tuple[slice, ...]:
        """Diagonal blocks of ``R (W + C)``."""
        return self.areas if self.nonlinear is None else (slice(0, len(self.weights)),)

    @property
    def gain(self) -> Matrix:
        """``R (W + C)``, ``(N, N)``: what slopes multiply."""
        total = self.weights if self.nonlinear is None else self.weights + self.nonlinear
        return self.speeds[:, None] * total

    @property
    def drift(self) -> Matrix:
        """``-R + S``, ``(N, N)``: what is linear, without K."""
        decay = -np.diag(self.speeds)
        return decay if self.symmetric is None else decay + self.symmetric

    @property
    def linear(self) -> Matrix:
        """The linear coupling ``K + S``."""
        return self.skew if self.symmetric is None else self.skew + self.symmetric

    def scaled(self, scales: tuple[float, ...]) -> Frame:
        """The same network in the metric ``blockdiag(c_i I)``; for networks whose only coupling is nonlinear.

        Args:
            scales: c, ``(p,)``, positive.
        """
        if not self.scalable:
            raise ValueError("scales of areas need a coupling that is nonlinear alone, in its own coordinates")
        root = np.repeat(np.sqrt(np.asarray(scales)), self.sizes)
        # Within an area the scale is uniform and cancels.
        return replace(self, nonlinear=self.nonlinear * (root[:, None] / root), scales=scales)


def frame_of(network: NetworkMatrices) -> Frame:
    """The dynamics of stored matrices; a free linear coupling is split into its skew and symmetric parts."""
    if network.stability == "unconstrained":
        skew, symmetric = 0.5 * (network.coupling - network.coupling.T), symmetric_part(network.coupling)
    else:
        skew, symmetric = network.coupling - network.coupling.T, np.zeros_like(network.coupling)
    if network.symmetric is not None:
        symmetric = symmetric + network.symmetric
    nonlinear = network.nonlinear
    return Frame(
        sizes=network.sizes,
        h=network.dt / network.tau,
        speeds=np.ones(len(skew)) if network.speeds is None else network.speeds,
        weights=network.area_weights,
        gauge=network.gauge,
        nonlinear=nonlinear if nonlinear is not None and nonlinear.any() else None,
        skew=skew,
        symmetric=symmetric if symmetric.any() else None,
    )
