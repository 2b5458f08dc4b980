"""The rows of ``benchmarks/stability_tables.py``: bounds of forward Euler at initialisation, caps on the coupling."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from bench.tables import number
from topo_search.errors import InputError
from topo_search.graph import Area, GraphConstraints, ModuleGraph, make_family
from topo_search.model import NetworkConfig, build_network
from topo_search.model.certificate.bounds import centred, tri
from topo_search.model.certificate.eigen import norm_bound
from topo_search.model.certificate.falsifier import largest_step_found
from topo_search.model.certificate.multipliers import balanced_multipliers, best_start, improve
from topo_search.model.certificate.s_procedure import step_bound
from topo_search.model.certificate.step_forms import StepForm
from topo_search.model.coupling import euler_cap
from topo_search.seeds import generator

__all__ = ["CAPS", "TIGHTNESS", "GraphRow", "cap_row", "matrices_of", "row_of", "tightness_row"]

Matrix = NDArray[np.float64]
Row = dict[str, Any]

DT = 0.03
AREA_NORM = 0.998
"""Of the first table: what areas of the sparse recipe have in the metric of Theorem 1."""
HALVINGS = 8
"""Of the interval in which a cap lies: to a few hundredths."""
SEARCHES = 8
"""For a pattern of active units that expands."""
_FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "all": ("all_to_all", {}),
    "workspace": ("global_workspace", {"hub": 0}),
    "half": ("random_density", {"density": 0.5}),
}

TIGHTNESS = {
    "network": lambda row: row["row"],
    "seed": number("seed", "d"),
    "coupling norm": number("coupling_norm", ".2f"),
    "tri": number("tri", ".4f"),
    "centred": number("centred", ".4f"),
    "scalar T": number("scalar", ".4f"),
    "diagonal T": number("diagonal", ".4f"),
    "at least": number("lower", ".4f"),
}
CAPS = {
    "network": lambda row: row["row"],
    "seed": number("seed", "d"),
    "s": number("area_norm", "g"),
    "coupling norm": number("coupling_norm", ".2f"),
    "cap, tri": number("tri", ".2f"),
    "cap, diagonal T": number("diagonal", ".2f"),
    "impossible from": number("impossible", ".2f"),
    "ratio": number("ratio", ".2f"),
}


class GraphRow(NamedTuple):
    """A family of graphs with a number of areas."""

    name: str
    areas: int
    family: str

    def graph(self, units: int, seed: int) -> ModuleGraph:
        """The graph; the same one each time."""
        constraints = GraphConstraints((Area(units, is_input=True, is_output=True),) * self.areas)
        family, parameters = _FAMILIES[self.family]
        return make_family(family, constraints, generator(seed, "stability graph", self.name), **parameters)


def row_of(name: str) -> GraphRow:
    """``AREAS-FAMILY``, for example ``16-workspace``.

    Raises:
        InputError: if there is no such family, or fewer than two areas.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,2})-(\w+)", name)
    if match is None or match[2] not in _FAMILIES or int(match[1]) < 2:
        raise InputError(f"row {name!r}: expected AREAS-FAMILY, 2 areas or more, family {', '.join(_FAMILIES)}")
    return GraphRow(name, int(match[1]), match[2])


def matrices_of(row: GraphRow, *, units: int, seed: int, area_norm: float) -> tuple[Matrix, Matrix]:
    """W, block-diagonal with blocks of norm ``area_norm``, and the skew K at initialisation, ``(N, N)`` each."""
    config = NetworkConfig(stability="continuous", dt=DT, area_norm=area_norm)
    matrices = build_network(row.graph(units, seed), config, channels=1, classes=2, seed=seed).matrices()
    return matrices.area_weights, matrices.coupling - matrices.coupling.T


def tightness_row(row: GraphRow, *, units: int, seed: int) -> Row:
    """All bounds of the factor a step, of areas with norm :data:`AREA_NORM`."""
    weights, coupling = matrices_of(row, units=units, seed=seed, area_norm=AREA_NORM)
    form, sigma = _euler(weights, coupling, units), norm_bound(coupling)
    scalar = _scalar_multiplier(form)
    multipliers = _diagonal_multipliers(form, np.full(len(weights), scalar))
    return {
        "row": row.name,
        "seed": seed,
        "coupling_norm": sigma,
        "tri": tri(DT, AREA_NORM, sigma),
        "centred": centred(form),
        "scalar": step_bound(form, np.full(len(weights), scalar)),
        "diagonal": step_bound(form, multipliers),
        "lower": max(largest_step_found(relabelled) for relabelled in _relabelled(form, seed)),
    }


def cap_row(row: GraphRow, *, units: int, seed: int, area_norm: float) -> Row:
    """Norms of a rescaled coupling: certified by two bounds, and refuted by a pattern of active units."""
    weights, coupling = matrices_of(row, units=units, seed=seed, area_norm=area_norm)
    sigma = norm_bound(coupling)
    cap, limit = euler_cap(area_norm, DT), float(np.sqrt((2 - DT) / DT))
    last = _diagonal_multipliers(_euler(weights, cap / sigma * coupling, units), None)

    def certified(norm: float) -> bool:
        nonlocal last
        form = _euler(weights, norm / sigma * coupling, units)
        # What certified a weaker coupling often does here too.
        if step_bound(form, last) >= 1:
            last = _diagonal_multipliers(form, last)
        return step_bound(form, last) < 1

    def refuted(norm: float) -> bool:
        form = _euler(weights, norm / sigma * coupling, units)
        return any(largest_step_found(relabelled) >= 1 for relabelled in _relabelled(form, seed))

    diagonal = _bisect(certified, cap, limit)[0]
    return {
        "row": row.name,
        "seed": seed,
        "area_norm": area_norm,
        "coupling_norm": sigma,
        "tri": cap,
        "diagonal": diagonal,
        "impossible": _bisect(lambda norm: not refuted(norm), diagonal, limit)[1],
        "ratio": diagonal / sigma,
    }


def _bisect(holds: Callable[[float], bool], low: float, high: float) -> tuple[float, float]:
    """An interval at whose lower end the statement holds and at whose upper end it does not, given one."""
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low, high


def _euler(weights: Matrix, coupling: Matrix, units: int) -> StepForm:
    """One Euler step as ``F0 + G E``, E diagonal in [-1, 1]."""
    n = len(weights)
    parts = tuple(slice(first, first + units) for first in range(0, n, units))
    return StepForm((1 - DT) * np.eye(n) + 0.5 * DT * weights + DT * coupling, 0.5 * DT * weights, None, parts)


def _relabelled(form: StepForm, seed: int) -> Iterator[StepForm]:
    """The same step with its units in other orders: the search for expanding patterns then has other starts."""
    rng = generator(seed, "relabelled")
    for _ in range(SEARCHES):
        order = rng.permutation(len(form.fixed))
        yield StepForm(form.fixed[np.ix_(order, order)], form.gain[np.ix_(order, order)], None, ())


def _scalar_multiplier(form: StepForm) -> float:
    """The best multiplier that is the same for all units, by a line search."""
    gain = norm_bound(form.gain)
    # Above ||G||^2 the bound is finite; the optimum for a step of norm f is near f ||G||.
    bracket = (float(np.log(1.01 * gain**2)), float(np.log(10 * gain)))
    found = optimize.minimize_scalar(
        lambda log: step_bound(form, np.full(len(form.fixed), np.exp(log))),
        bounds=bracket,
        method="bounded",
        options={"xatol": 1e-3},
    )
    return float(np.exp(found.x))


def _diagonal_multipliers(form: StepForm, start: Matrix | None) -> Matrix:
    """Multipliers a unit, from a start and from the best of a few scales of those that balance each unit."""
    batch = StepForm(form.fixed[None], form.gain[None], None, form.parts)
    balanced = balanced_multipliers(batch)
    candidates = [scale * balanced for scale in (0.7, 1.0, 1.5, 3.0)]
    uniform = np.full_like(balanced, norm_bound(form.gain))
    candidates += [uniform] if start is None else [start[None], uniform]
    return np.asarray(improve(batch, best_start(batch, candidates)[0])[0])
