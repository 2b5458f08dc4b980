"""Pruning and ablation: which operation keeps which certificate, and the operations themselves.

A metric M is best carried as its inverse P. A network in original coordinates contracts at a rate lambda if and only if
``W D P + P D W^T <= 2 (1 - lambda) P`` for all slopes D, with feedback ``L = K P^-1`` of a skew K. To remove unit k is
to set its slope to zero and to delete its row and column, so ``P_rr`` (r: what remains) certifies the rest at the same
rate, for every theorem and every metric. The principal submatrix of M does not, unless M is diagonal.

In metric coordinates, with ``P_i = V V^T`` for the gauge V of the area, removal is the isometry ``T = V'^-1 V_r``,
``V' V'^T = P_rr``: ``T T^T = I``, every matrix goes from X to ``T X T^T``, so that no norm and no rate gets worse.

:data:`RULES` is the table. It speaks of networks with linear negative feedback; where a symmetric part or a nonlinear
coupling is present, only removing units and areas is sure to keep a certificate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from topo_search.errors import InputError

__all__ = [
    "RULES",
    "Kept",
    "OriginalForm",
    "Rule",
    "keeps",
    "remove_area",
    "remove_edge",
    "remove_unit",
    "zero_pair",
]

Matrix = NDArray[np.float64]


class Kept(NamedTuple):
    """Which certificates an operation keeps without a new check; what is not kept must be judged again."""

    continuous: bool
    discrete: bool


@dataclass(frozen=True)
class Rule:
    """What an operation keeps.

    Attributes:
        description: the operation, in a few words.
        diagonal: what it keeps where the metric is diagonal, with Euler steps.
        general: what it keeps where it is not.
        coupling_only: whether it changes nothing but linear feedback.
    """

    description: str
    diagonal: Kept
    general: Kept
    coupling_only: bool = False


_ALL, _RATE, _NONE = Kept(True, True), Kept(True, False), Kept(False, False)

RULES = MappingProxyType(
    {
        "remove_unit": Rule("delete a unit; a non-diagonal metric becomes the inverse of `P_rr`", _ALL, _ALL),
        "remove_area": Rule("delete an area and its edges", _ALL, _ALL),
        "remove_edge": Rule("delete an edge: both of its blocks", _RATE, _RATE, coupling_only=True),
        "remove_pair": Rule("zero a pair `K_ab`, `K_ba` of the skew matrix", _RATE, _RATE, coupling_only=True),
        "zero_linear_pair": Rule("zero a pair `L_ab`, `L_ba` of the feedback", _RATE, _NONE, coupling_only=True),
        "zero_magnitude_weights": Rule("zero entries of weights stable by magnitude (Theorems 1, 4)", _RATE, _NONE),
        "zero_weights": Rule("zero entries of other weights", _NONE, _NONE),
        "ablate_weights": Rule("zero all weights of an area", _ALL, _ALL),
        "ablate_input": Rule("zero input weights", _ALL, _ALL),
        "ablate_readout": Rule("zero readout weights", _ALL, _ALL),
    }
)
"""Every operation by its name."""


def keeps(operation: str, *, diagonal: bool = True, integrator: str = "euler") -> Kept:
    """Which certificates an operation keeps.

    Cayley and resolvent steps are certified at any coupling, so that what changes only the coupling keeps theirs. IMEX
    steps contract in a metric that depends on the coupling: there only ablating inputs or readout is free.

    Args:
        operation: a name of :data:`RULES`.
        diagonal: whether the metric is diagonal.
        integrator: ``euler``, ``cayley``, ``edge_cayley``, ``resolvent`` or ``imex``.

    Raises:
        InputError: if there is no such operation.
    """
    if operation not in RULES:
        raise InputError(f"no pruning operation is called {operation!r}: expected one of {', '.join(RULES)}")
    rule = RULES[operation]
    kept = rule.diagonal if diagonal else rule.general
    if integrator == "imex":
        return Kept(kept.continuous, operation in ("ablate_input", "ablate_readout"))
    if integrator in ("cayley", "edge_cayley", "resolvent") and rule.coupling_only:
        return Kept(kept.continuous, kept.continuous)
    return kept


@dataclass(frozen=True)
class OriginalForm:
    """A network in original coordinates, its metric as its inverse.

    Attributes:
        weights: W, ``(N, N)``, block-diagonal.
        inverse_metric: P, ``(N, N)``, block-diagonal, symmetric and positive definite.
        skew: K, ``(N, N)``, exactly skew, zero within areas.
    """

    weights: Matrix
    inverse_metric: Matrix
    skew: Matrix

    @property
    def coupling(self) -> Matrix:
        """The feedback ``L = K P^-1``, ``(N, N)``."""
        return np.asarray(linalg.solve(self.inverse_metric, self.skew.T, assume_a="pos").T, dtype=np.float64)

    def restricted(self, units: NDArray[np.int64]) -> OriginalForm:
        """The network of these units alone, in the metric of ``P_rr``."""
        chosen = np.ix_(units, units)
        return replace(
            self, weights=self.weights[chosen], inverse_metric=self.inverse_metric[chosen], skew=self.skew[chosen]
        )


def remove_unit(form: OriginalForm, unit: int) -> OriginalForm:
    """Without one unit: the rate of the rest is no less, in the metric of ``P_rr``.

    Raises:
        InputError: if there is no such unit, or it is the only one.
    """
    n = len(form.weights)
    if not 0 <= unit < n or n == 1:
        raise InputError(f"unit {unit} cannot be removed: expected one of 0 to {n - 1} that leaves another")
    return form.restricted(np.delete(np.arange(n), unit))


def remove_area(form: OriginalForm, sizes: Sequence[int], area: int) -> OriginalForm:
    """Without one area: neither the rate nor the norm of the feedback gets worse.

    Raises:
        InputError: if there is no such area, or it is the only one.
    """
    if not 0 <= area < len(sizes) or len(sizes) == 1:
        raise InputError(f"area {area} cannot be removed: expected one of 0 to {len(sizes) - 1} that leaves another")
    ends = np.cumsum([0, *sizes])
    return form.restricted(np.delete(np.arange(ends[-1]), np.arange(ends[area], ends[area + 1])))


def remove_edge(form: OriginalForm, sizes: Sequence[int], edge: tuple[int, int]) -> OriginalForm:
    """Without the feedback between two areas; its norm may grow, so discrete steps must be judged again.

    Raises:
        InputError: if the edge does not join two of the areas.
    """
    i, j = edge
    if i == j or not 0 <= min(i, j) <= max(i, j) < len(sizes):
        raise InputError(f"edge {edge} cannot be removed: expected two of areas 0 to {len(sizes) - 1}")
    ends, skew = np.cumsum([0, *sizes]), form.skew.copy()
    one, other = slice(ends[i], ends[i + 1]), slice(ends[j], ends[j + 1])
    skew[one, other] = 0
    skew[other, one] = 0
    return replace(form, skew=skew)


def zero_pair(form: OriginalForm, a: int, b: int) -> OriginalForm:
    """Without the pair ``K_ab``, ``K_ba``: skew as before, where zeroing ``L_ab``, ``L_ba`` may not be.

    Raises:
        InputError: if a or b is no unit.
    """
    n = len(form.skew)
    if not 0 <= min(a, b) <= max(a, b) < n:
        raise InputError(f"the pair ({a}, {b}) cannot be zeroed: expected two of units 0 to {n - 1}")
    skew = form.skew.copy()
    skew[a, b] = skew[b, a] = 0
    return replace(form, skew=skew)
