"""Which form of a Cayley step is executed: it is the cheapest, and the same map."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.calls import graph_of, layouts, make_call
from support.native import Execution, held_against_reference, levels, needs_native, passed

from topo_search.engine import AreaLayout, Dynamics
from topo_search.engine.native import SERIES_TOLERANCE, direct_form, eliminable, series_for, useful_multiplies
from topo_search.engine.native import rollout as native_module
from topo_search.engine.native.forms import coupling_norm, series_coefficients

pytestmark = needs_native


def ring(areas):
    return AreaLayout.of([8] * areas, [*pairwise(range(areas)), (0, areas - 1)])


RING = ring(40)
EXECUTION = Execution(levels()[0] if levels() else "", 1, 0)


def blocks(layout, rows, columns):
    """Mask ``(N, N)`` of the units of some areas by those of others."""
    mask = torch.zeros(layout.n_units, layout.n_units, dtype=torch.bool)
    for row in rows:
        for column in columns:
            mask[layout.units(row), layout.units(column)] = True
    return mask


def coupled(layout):
    """Mask of the entries of K that the graph allows."""
    return layout.dense_coupling(torch.ones(layout.n_coupling)).bool()


def skew(layout, coupling):
    lower = layout.dense_coupling(coupling.double())
    return lower - lower.t()


def random_coupling(layout, seed=0):
    return torch.randn(layout.n_coupling, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("hub", [0, 2, 5])
def test_of_a_star_the_hub_is_solved(hub):
    layout = AreaLayout.of([5, 6, 7, 8, 9, 10], graph_of("star", 6, hub=hub))
    form = direct_form(layout)
    assert (form.name, form.cover) == ("cover", (hub,))
    assert form.multiplies == layout.sizes[hub] ** 2 + 2 * layout.n_coupling


def test_of_a_complete_graph_all_is_solved():
    layout = AreaLayout.of([8] * 5, graph_of("complete", 5))
    assert direct_form(layout) == ("dense", (0, 1, 2, 3, 4), 40 * 40)


def test_without_edges_nothing_is_solved():
    assert direct_form(AreaLayout.of([8, 3], [])) == ("cover", (), 0)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(layout=layouts())
def test_a_direct_form_solves_every_edge_and_its_multiplies_are_those_of_its_matrices(layout):
    form = direct_form(layout)
    areas = range(len(layout.sizes))
    others = [area for area in areas if area not in form.cover]
    assert all(i in form.cover or j in form.cover for i, j in layout.edges)
    assert list(form.cover) == sorted(set(form.cover))
    solved = blocks(layout, form.cover, form.cover).sum()
    into = (coupled(layout) | coupled(layout).t()) & blocks(layout, form.cover, others)
    assert form.multiplies == int(solved + 2 * into.sum())
    assert form.multiplies <= layout.n_units**2
    assert (form.name == "dense") == (len(form.cover) == len(layout.sizes))


@pytest.mark.parametrize("radius", [1e-6, 0.01, 0.3, 1.0, 5.0, 20.0])
def test_a_series_is_truncated_below_the_tolerance(radius):
    coefficients = series_coefficients(radius)
    t = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    x = 1j * t
    before, now = torch.ones_like(x), x
    total = coefficients[0] * before
    for coefficient in coefficients[1:]:
        total += coefficient * now
        before, now = now, 2 * x * now + before
    left_out = float((total - 1 / (1 - 1j * radius * t)).abs().max())
    # 1e-15: rounding of the sum itself.
    assert left_out <= SERIES_TOLERANCE + 1e-15 * len(coefficients)
    # Not many more terms than needed: the last ones are near the tolerance.
    assert len(coefficients) == 1 or coefficients[-1] > 0.01 * SERIES_TOLERANCE / (1 + radius)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(layout=layouts(), seed=st.integers(0, 999))
def test_the_norm_of_a_coupling_is_estimated_from_below_within_a_tenth(layout, seed):
    coupling = random_coupling(layout, seed)
    truth = float(torch.linalg.matrix_norm(skew(layout, coupling), ord=2))
    assert 0.9 * truth <= coupling_norm(layout, coupling) <= truth * (1 + 1e-5)


@pytest.mark.parametrize("areas", [40, 100])
def test_the_norm_of_a_large_sparse_coupling_is_estimated_too(areas):
    for step in (1, 7):
        edges = {tuple(sorted((i, (i + k) % areas))) for i in range(areas) for k in (1, step)}
        layout = AreaLayout.of([8] * areas, edges)
        coupling = random_coupling(layout, step)
        truth = float(torch.linalg.matrix_norm(skew(layout, coupling), ord=2))
        assert 0.9 * truth <= coupling_norm(layout, coupling) <= truth * (1 + 1e-5)


def test_a_series_is_chosen_only_where_it_is_cheaper():
    direct = direct_form(RING).multiplies
    coupling = random_coupling(RING)
    norm = float(torch.linalg.matrix_norm(skew(RING, coupling), ord=2))
    chosen = []
    for strength in (0.0, 0.01, 0.1, 1.0, 3.0, 10.0, 100.0):
        series = series_for(RING, coupling * (strength / norm), 0.25)
        radius = 0.25 * strength
        needed = (len(series_coefficients(max(1.1 * radius, 1e-6))) - 1) * 2 * RING.n_coupling
        chosen.append(series is not None)
        if series is not None:
            assert 0.99 * radius <= series.radius <= max(1.1001 * radius, 1e-6)
            assert series.coefficients == series_coefficients(series.radius)
            assert (len(series.coefficients) - 1) * 2 * RING.n_coupling < direct
        if abs(needed / direct - 1) > 0.2:
            assert (series is not None) == (needed < direct), strength
    assert chosen == sorted(chosen, reverse=True)
    assert chosen[0]
    assert not chosen[-1]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_coupling_that_is_not_finite_has_no_series(bad):
    coupling = random_coupling(RING)
    coupling[3] = bad
    assert series_for(RING, coupling, 0.1) is None


@pytest.mark.parametrize("layout", [AreaLayout.of([8] * 40, []), AreaLayout.of([8] * 5, graph_of("complete", 5))])
def test_small_or_dense_or_uncoupled_graphs_have_no_series(layout):
    assert series_for(layout, random_coupling(layout), 0.1) is None


@pytest.mark.parametrize("level", levels())
@pytest.mark.parametrize("batch", [1, 20, 70])
@pytest.mark.parametrize(("areas", "norm"), [(40, 0.0), (40, 0.05), (100, 1.0)])
def test_the_series_is_the_map_of_the_reference(areas, norm, batch, level):
    layout = ring(areas)
    call = make_call(layout, "cayley", h=0.5, norm=norm, batch=batch, initial=True, lengths=True, all_states=True)
    assert series_for(layout, call.forward, 0.25) is not None
    assert passed(call)["form"] == native_module.FORMS["series"]
    assert held_against_reference(call, Execution(level, 1, 1))


def test_a_strong_coupling_of_a_sparse_graph_is_solved_directly():
    call = make_call(RING, "cayley", "tanh", h=1.0, norm=30.0, initial=True, all_states=True)
    assert series_for(RING, call.forward, 0.5) is None
    assert held_against_reference(call, EXECUTION)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(layout=layouts())
def test_useful_multiplies_are_those_of_the_blocks(layout):
    mask = coupled(layout)
    entries = int((mask | mask.t()).sum())
    assert useful_multiplies(Dynamics(layout, "euler", 0.1, "relu")) == (3 * entries, "blocks")
    pairs = sum(10 * layout.sizes[i] * layout.sizes[j] for i, j in layout.edges)
    assert useful_multiplies(Dynamics(layout, "edge_cayley", 0.1, "relu")) == (pairs, "edges")
    form = direct_form(layout)
    assert useful_multiplies(Dynamics(layout, "cayley", 0.1, "relu")) == (2 * form.multiplies + entries, form.name)


def test_useful_multiplies_of_a_series():
    dynamics = Dynamics(RING, "cayley", 0.5, "relu")
    coupling = random_coupling(RING) * 0.01
    products = len(series_for(RING, coupling, 0.25).coefficients) - 1
    mask = coupled(RING)
    entries = int((mask | mask.t()).sum())
    assert useful_multiplies(dynamics, coupling) == ((2 * products + 1) * entries, "series")
    # Stronger, and no series is short enough; stronger still, and nothing is eliminated.
    strong, stronger = 3e1 * coupling, 1e4 * coupling
    assert series_for(RING, strong, 0.25) is None
    assert eliminable(strong, 0.25)
    assert not eliminable(stronger, 0.25)
    assert useful_multiplies(dynamics, strong)[1] == direct_form(RING).name == "cover"
    units = RING.n_units
    assert useful_multiplies(dynamics, stronger) == (2 * units * units + entries, "dense")
