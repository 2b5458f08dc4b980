"""Recursion: contracting networks joined into larger ones, to any depth ("RNNs of RNNs", arXiv 2106.08928).

An *assembly* is a contracting network of which only a few numbers are needed to join it to others: its rate, how strong
its weights and its feedback are, and its metric. Everything is said in the coordinates in which the metric of each
assembly is the identity.

- Negative feedback between assemblies, skew in these coordinates, costs no rate: that of the whole is the least.
- A nonlinear coupling between them spends rate: the small-gain bounds hold with an assembly in the place of an area.
  Scales are uniform within an assembly, so that what is skew inside one stays skew.

In discrete time norms add: what an integrator certifies must be verified again on the matrices of the whole network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from topo_search.errors import InputError
from topo_search.model.certificate.eigen import norm_bound
from topo_search.model.certificate.small_gain import gain_matrix, small_gain_rate

__all__ = ["Assembly", "compose_feedback", "compose_small_gain"]

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Assembly:
    """A contracting network as a part of a larger one.

    Attributes:
        sizes: units of each area, ``(p,)``, through all levels.
        rate: certified contraction rate, positive, in units of ``1 / tau``.
        area_norm: upper bound of the spectral norm of all weights that act through the nonlinearity, ``||W + C||``.
        coupling_norm: sigma, upper bound of the spectral norm of the linear feedback, in units of ``1 / tau``.
        tau: the time constant that rate and coupling refer to.
        scales: c of each area, ``(p,)``: units y of the single areas' metric coordinates are ``sqrt(c) y`` here; all 1
            when empty.
        depth: levels of joining; 0 for a network made directly.

    Raises:
        InputError: if a number is out of its range, so that no contracting network is described.
    """

    sizes: tuple[int, ...]
    rate: float
    area_norm: float = 0.0
    coupling_norm: float = 0.0
    tau: float = 1.0
    scales: tuple[float, ...] = ()
    depth: int = 0

    def __post_init__(self) -> None:
        if not self.scales:
            object.__setattr__(self, "scales", (1.0,) * len(self.sizes))
        if not self.sizes or min(self.sizes) < 1:
            raise InputError(f"an assembly must have areas of at least one unit, got sizes {self.sizes}")
        if len(self.scales) != len(self.sizes) or not all(0 < scale < math.inf for scale in self.scales):
            raise InputError(f"an assembly must have one positive scale an area, got {self.scales}")
        for name in ("rate", "tau"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} of an assembly must be positive, got {getattr(self, name)}")
        for name in ("area_norm", "coupling_norm"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} of an assembly must be a finite norm, got {getattr(self, name)}")

    @property
    def n_units(self) -> int:
        """Units of all areas together."""
        return sum(self.sizes)


def compose_feedback(assemblies: Sequence[Assembly], cross: Matrix) -> Assembly:
    """Join assemblies by linear negative feedback.

    Args:
        assemblies: at least one.
        cross: exactly skew, ``(N, N)``, zero within assemblies, in the joint metric coordinates, with ``tau`` the
            greatest of the assemblies'.

    Returns:
        The whole: its rate is the least of the assemblies', the norm of its feedback at most the greatest of theirs
        plus that of ``cross``.

    Raises:
        InputError: if ``cross`` has another shape, is not finite, not skew, or not zero within an assembly.
    """
    _check(assemblies, cross)
    if not np.array_equal(cross, -cross.T):
        raise InputError("feedback between assemblies must be exactly skew in metric coordinates, got another matrix")
    tau = max(one.tau for one in assemblies)
    return _joined(
        assemblies,
        rate=min(one.rate * tau / one.tau for one in assemblies),
        area_norm=max(one.area_norm for one in assemblies),
        coupling_norm=_strongest(assemblies) + norm_bound(cross),
        scales=[1.0] * len(assemblies),
    )


def compose_small_gain(assemblies: Sequence[Assembly], cross: Matrix) -> Assembly:
    """Join assemblies by a nonlinear coupling ``C phi(y)``; whatever the two directions are, it spends rate.

    Args:
        assemblies: at least one.
        cross: C, ``(N, N)``, zero within assemblies, in their metric coordinates; ``tau_i y_i' = ... + sum_j C_ij
            phi(y_j)``.

    Returns:
        The whole, in the metric coordinates of the best small-gain bound.

    Raises:
        InputError: if ``cross`` has another shape, is not finite or not zero within an assembly, or is so strong that
            no positive rate is certified.
    """
    _check(assemblies, cross)
    tau, units = max(one.tau for one in assemblies), [one.n_units for one in assemblies]
    speeds = np.array([tau / one.tau for one in assemblies])
    rates = speeds * np.array([one.rate for one in assemblies])
    found = small_gain_rate(rates, np.repeat(speeds, units)[:, None] * cross, units, free_scales=True)
    if found.rate <= 0:
        raise InputError(
            f"a coupling between assemblies must leave a positive rate, got {found.rate:.6g}: it is too strong for "
            f"assemblies of rates {', '.join(f'{rate:.6g}' for rate in rates)}"
        )
    root = np.sqrt(found.scales)
    gains = gain_matrix(cross, units) * (root[:, None] / root)
    return _joined(
        assemblies,
        rate=found.rate,
        area_norm=norm_bound(gains + np.diag([one.area_norm for one in assemblies])),
        coupling_norm=_strongest(assemblies),
        scales=found.scales,
    )


def _strongest(assemblies: Sequence[Assembly]) -> float:
    """The greatest norm of a feedback within an assembly, in units of the common time constant."""
    tau = max(one.tau for one in assemblies)
    return max(one.coupling_norm * tau / one.tau for one in assemblies)


def _joined(
    assemblies: Sequence[Assembly], *, rate: float, area_norm: float, coupling_norm: float, scales: Sequence[float]
) -> Assembly:
    return Assembly(
        sizes=tuple(size for one in assemblies for size in one.sizes),
        rate=rate,
        area_norm=area_norm,
        coupling_norm=coupling_norm,
        tau=max(one.tau for one in assemblies),
        scales=tuple(outer * c for one, outer in zip(assemblies, scales, strict=True) for c in one.scales),
        depth=1 + max(one.depth for one in assemblies),
    )


def _check(assemblies: Sequence[Assembly], cross: Matrix) -> None:
    if not assemblies:
        raise InputError("expected at least one assembly to join, got none")
    ends = np.cumsum([0, *(one.n_units for one in assemblies)]).tolist()
    if cross.shape != (ends[-1], ends[-1]) or not np.isfinite(cross).all():
        raise InputError(
            f"the coupling between assemblies must be a finite matrix of shape ({ends[-1]}, {ends[-1]}), one row a "
            f"unit, got shape {cross.shape}"
        )
    for index, (first, last) in enumerate(pairwise(ends)):
        if cross[first:last, first:last].any():
            raise InputError(f"the coupling between assemblies must be zero within each, got weights in {index}")
