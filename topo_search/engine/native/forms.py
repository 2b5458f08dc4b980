"""Which of the equivalent forms of a coupling step the compiled engine executes: the cheapest.

A Cayley step needs ``z = (I - c K)^-1 x`` with ``c = h / 2``; then ``y = 2 z - x``. IMEX steps need the same z, and
resolvent steps one with ``c = h``. Four ways to get it:

- ``dense``: the inverse as one ``(N, N)`` matrix;
- ``cover``: block elimination. Areas outside a vertex cover H of the graph have no edge among them, so with
  ``C = K_RH`` their part of the solve is explicit: ``z_H = S^-1 (x_H - c C^T x_R)``, ``z_R = x_R + c C z_H``,
  ``S = I - c K_HH + c^2 C^T C``. For a star, H is the hub, and the step costs little more than one product with K;
- ``series``: Chebyshev polynomials of K, for graphs that are large and sparse;
- ``edges``: the edge-wise Cayley step, whose inverse is one small matrix an edge.

``dense`` and ``cover`` are the same map as the whole-matrix step up to rounding; ``series`` is truncated below
:data:`SERIES_TOLERANCE`.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from topo_search.engine.blocks import coupling_form
from topo_search.engine.call import Dynamics
from topo_search.engine.layout import AreaLayout

__all__ = [
    "SERIES_TOLERANCE",
    "Direct",
    "Series",
    "dense_form",
    "direct_form",
    "eliminable",
    "series_for",
    "useful_multiplies",
]

SERIES_TOLERANCE = 1e-7
"""Norm of what the truncated series leaves out of ``(I - c K)^-1``; float32 rounds at 6e-8."""

# In float32 an elimination may lose (c ||K||_2)^2 units of rounding; up to here that is 1e-5 at worst.
STRENGTH_LIMIT = 13.0
# A cover must save this share of the dense product: its extra passes over the state are not free.
COVER_SAVING = 0.9
# A series is considered where the direct solve costs more than so many products with K: it needs its norm estimated.
SERIES_PRODUCTS = 4
# The power iteration is a lower bound of the norm; beyond its estimate the polynomials grow slowly.
NORM_MARGIN = 1.1
NORM_PRODUCTS = 12
NORM_STARTS = 16


class Direct(NamedTuple):
    """A direct solve.

    Attributes:
        name: ``dense`` or ``cover``.
        cover: areas solved together, ascending.
        multiplies: per application and sequence.
    """

    name: Literal["dense", "cover"]
    cover: tuple[int, ...]
    multiplies: int


class Series(NamedTuple):
    """Chebyshev coefficients of ``(I - c K)^-1`` in ``X = c K / radius``.

    Attributes:
        radius: the polynomials are bounded where ``c ||K||_2`` is at most this.
        coefficients: of the polynomials of degree 0, 1, ...; the last degree is the number of products with K.
    """

    radius: float
    coefficients: tuple[float, ...]


@lru_cache(maxsize=4096)
def direct_form(layout: AreaLayout) -> Direct:
    """The cheapest direct solve: areas leave the cover one by one while that saves multiplies."""
    sizes, n = layout.sizes, layout.n_units
    neighbours: list[set[int]] = [set() for _ in sizes]
    for i, j in layout.edges:
        neighbours[i].add(j)
        neighbours[j].add(i)
    cover = set(range(len(sizes)))
    covered, cost = n, n * n
    while True:
        savings = [
            (covered**2 - (covered - sizes[a]) ** 2 - 2 * sizes[a] * sum(sizes[b] for b in neighbours[a]), -a)
            for a in cover
            if neighbours[a] <= cover
        ]
        saving, area = max(savings, default=(0, 0))
        if saving <= 0:
            break
        cover.remove(-area)
        covered -= sizes[-area]
        cost -= saving
    if cost >= COVER_SAVING * n * n:
        return dense_form(layout)
    return Direct("cover", tuple(sorted(cover)), cost)


def dense_form(layout: AreaLayout) -> Direct:
    """All areas solved together: exact within rounding at any coupling strength."""
    return Direct("dense", tuple(range(len(layout.sizes))), layout.n_units**2)


def eliminable(coupling: Tensor, c: float) -> bool:
    """Whether a coupling is weak enough, ``c ||K||_F <= 13``, for areas to be eliminated in float32.

    That is ten times what training reaches on the default space. Beyond it a whole-matrix step is solved for all areas
    together, and edge-wise steps are left to the reference engine. True for a coupling that is not finite, which gives
    NaN in any form.
    """
    strength = c * math.sqrt(2) * float(torch.linalg.vector_norm(coupling.detach(), dtype=torch.float64))
    return not math.isfinite(strength) or strength <= STRENGTH_LIMIT


def series_coefficients(radius: float) -> tuple[float, ...]:
    """Coefficients of ``1 / (1 - i radius t)``, t in [-1, 1], up to :data:`SERIES_TOLERANCE`.

    ``c_k = (2 - [k = 0]) q^k / sqrt(1 + radius^2)`` with ``q = radius / (1 + sqrt(1 + radius^2))``, for the polynomials
    ``P_0 = I, P_1 = X, P_k+1 = 2 X P_k + P_k-1`` of a skew X; what follows degree m sums to at most
    ``2 q^(m + 1) / ((1 - q) sqrt(1 + radius^2))``.
    """
    root = math.sqrt(1 + radius * radius)
    q = radius / (1 + root)
    coefficients = [1 / root]
    while 2 * q ** len(coefficients) / ((1 - q) * root) > SERIES_TOLERANCE:
        coefficients.append(2 * q ** len(coefficients) / root)
    return tuple(coefficients)


@torch.no_grad()
def coupling_norm(layout: AreaLayout, coupling: Tensor) -> float:
    """An estimate of ``||K||_2`` from below, within a few percent: block power iteration from fixed starts."""
    product = coupling_form(layout, coupling, -coupling, 1.0)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(layout.n_units, NORM_STARTS, generator=generator)
    growth = 0.0
    for _ in range(NORM_PRODUCTS):
        x = x / x.norm(dim=0).clamp_min(1e-30)
        y = torch.zeros_like(x)
        product.add(y, x)
        growth, x = float(y.norm(dim=0).max()), y
    return growth


def series_for(layout: AreaLayout, coupling: Tensor, c: float) -> Series | None:
    """The series where it needs fewer multiplies than the direct solve, else ``None``."""
    block_multiplies = 2 * layout.n_coupling
    direct = direct_form(layout).multiplies
    if block_multiplies == 0 or direct <= SERIES_PRODUCTS * block_multiplies:
        return None
    radius = c * NORM_MARGIN * coupling_norm(layout, coupling)
    if not math.isfinite(radius):
        return None
    coefficients = series_coefficients(max(radius, 1e-6))
    if (len(coefficients) - 1) * block_multiplies >= direct:
        return None
    return Series(max(radius, 1e-6), coefficients)


def useful_multiplies(dynamics: Dynamics, coupling: Tensor | None = None) -> tuple[int, str]:
    """Multiplies that a training step needs on the coupling, per time step and sequence, and the form executed.

    Forward product, backward product and gradient; intermediates that are computed again are not counted, nor are area
    weights and input.

    Args:
        dynamics: of the network.
        coupling: packed; without it a Cayley step is counted as its direct solve.
    """
    layout = dynamics.layout
    blocks = 2 * layout.n_coupling
    if dynamics.integrator == "euler":
        return 3 * blocks, "blocks"
    if dynamics.integrator == "edge_cayley":
        return 5 * blocks, "edges"
    series = None if coupling is None else series_for(layout, coupling.detach(), dynamics.implicit)
    if series is not None:
        return (2 * (len(series.coefficients) - 1) + 1) * blocks, "series"
    eliminates = coupling is None or eliminable(coupling, dynamics.implicit)
    direct = direct_form(layout) if eliminates else dense_form(layout)
    return 2 * direct.multiplies + blocks, direct.name
