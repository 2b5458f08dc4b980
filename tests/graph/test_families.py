from __future__ import annotations

from collections import Counter
from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topo_search.graph import (
    FAMILIES,
    Area,
    GraphConstraints,
    GraphError,
    all_to_all,
    distance_lattice,
    global_workspace,
    make_family,
    random_density,
    random_regular,
    ring,
    small_world,
    stochastic_block,
)

from .generators import constraint_sets, lightly, seeds, streams

FREE = GraphConstraints.build([Area(8)] * 12)


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", FAMILIES)
@lightly
@given(constraints=constraint_sets(), seed=seeds)
def test_defaults_give_a_valid_graph_in_every_space(name, constraints, seed):
    graph = make_family(name, constraints, generator(seed))
    assert constraints.violation(graph) is None
    assert make_family(name, constraints, generator(seed)) == graph


@lightly
@given(constraint_sets(low=5), seeds, st.data())
def test_parameters_give_a_valid_graph_in_every_space(constraints, seed, data):
    count = len(constraints.areas)
    name, parameters = data.draw(
        st.one_of(
            st.tuples(
                st.just("global_workspace"),
                st.fixed_dictionaries(
                    {
                        "hub": st.integers(0, count - 1),
                        "hubs": st.integers(1, count),
                        "join_hubs": st.booleans(),
                        "spread": st.booleans(),
                    }
                ),
            ),
            st.tuples(
                st.just("small_world"),
                st.fixed_dictionaries({"neighbours": st.sampled_from([2, 4]), "rewire": st.floats(0, 1)}),
            ),
            st.tuples(st.just("distance_lattice"), st.fixed_dictionaries({"radius": st.floats(0, 5)})),
            st.tuples(
                st.just("stochastic_block"),
                st.fixed_dictionaries(
                    {"blocks": st.integers(1, count), "within": st.floats(0, 1), "between": st.floats(0, 1)}
                ),
            ),
            st.tuples(st.just("random_regular"), st.fixed_dictionaries({"degree": st.integers(0, count - 1)})),
        )
    )
    assert constraints.violation(make_family(name, constraints, generator(seed), **parameters)) is None


def test_all_to_all_takes_every_allowed_edge_or_the_budget():
    constraints = streams()
    assert all_to_all(constraints, generator()).n_edges == 13
    assert all_to_all(constraints, generator(), ignore_budget=True).edges == constraints.allowed_edges


@lightly
@given(constraint_sets(), seeds, st.data())
def test_random_density_has_exactly_the_number_of_edges(constraints, seed, data):
    count = data.draw(st.integers(constraints.min_edges, constraints.edge_budget))
    graph = random_density(constraints, generator(seed), edges=count)
    assert graph.n_edges == count
    assert constraints.violation(graph) is None


def test_random_density_is_exact_when_no_draw_is_valid():
    # 32 areas and 31 edges: one draw in about 10**9 is a spanning tree.
    constraints = GraphConstraints.build([Area(4, is_input=True, is_output=True)] * 32, max_edges=31)
    graph = random_density(constraints, generator())
    assert graph.n_edges == 31
    assert nx.is_tree(graph.graph)


def test_random_density_is_uniform_over_valid_graphs():
    areas = [Area(4, is_input=True), Area(4), Area(4), Area(4, is_output=True)]
    constraints = GraphConstraints.build(areas, forbidden_roles=[("input", "output")])
    valid = [edges for edges in combinations(constraints.allowed_edges, 3) if constraints.connects(edges)]
    rng = generator()
    counts = Counter(random_density(constraints, rng, edges=3).edges for _ in range(200 * len(valid)))
    assert set(counts) == set(valid)
    # 200 expected each, standard deviation 13.
    assert min(counts.values()) > 140
    assert max(counts.values()) < 260


def test_random_density_defaults_to_the_budget_and_counts_allowed_edges():
    assert random_density(streams(), generator()).n_edges == 13
    assert random_density(streams(max_edges=None), generator(), density=0.5).n_edges == 31
    assert random_density(streams(max_edges=None), generator(), density=1).n_edges == 62


def test_global_workspace_is_a_star_around_the_first_hidden_area():
    graph = global_workspace(streams(), generator())
    assert graph.edges == tuple(sorted((min(4, i), max(4, i)) for i in range(12) if i != 4))
    assert global_workspace(FREE, generator(), hub=7).degree(7) == 11


@pytest.mark.parametrize(("join", "expected"), [(True, 3 * 9 + 3), (False, 3 * 9)])
def test_global_workspace_with_several_hubs(join, expected):
    graph = global_workspace(FREE, generator(), hub=10, hubs=3, join_hubs=join)
    assert graph.n_edges == expected
    assert [i for i in range(12) if graph.degree(i) > 3] == [0, 10, 11]
    assert graph.has_edge(10, 11) is join


def test_further_hubs_are_the_next_hidden_areas():
    graph = global_workspace(streams(max_edges=None), generator(), hub=9, hubs=3)
    assert [i for i in range(12) if graph.degree(i) == 11] == [4, 9, 10]
    # An input area may be the hub; what it may not reach is repaired through a hidden area.
    first = global_workspace(streams(max_edges=None), generator(), hub=0)
    assert (first.degree(0), first.n_edges) == (10, 11)


@pytest.mark.parametrize("hubs", [1, 2, 3, 4])
def test_a_spread_workspace_gives_each_other_area_one_hub(hubs):
    graph = global_workspace(FREE, generator(), hub=2, hubs=hubs, spread=True)
    chosen = set(range(2, 2 + hubs))
    assert graph.n_edges == 12 - hubs + hubs * (hubs - 1) // 2
    assert all(graph.degree(area) == 1 for area in range(12) if area not in chosen)
    loads = [graph.degree(hub) - (hubs - 1) for hub in chosen]
    assert max(loads) - min(loads) <= 1
    apart = global_workspace(FREE, generator(), hub=2, hubs=hubs, spread=True, join_hubs=False)
    assert set(graph.edges) - set(apart.edges) == set(combinations(sorted(chosen), 2))


def test_a_spread_workspace_deals_over_allowed_edges():
    # Input area 0 cannot be joined to hub 4: it goes to hub 5, and the others fill up hub 4 first.
    areas = streams().areas
    constraints = GraphConstraints.build(areas, forbidden_pairs=[(0, 4)])
    graph = global_workspace(constraints, generator(), hub=4, hubs=2, spread=True)
    assert graph.has_edge(0, 5)
    assert graph.has_edge(1, 4)
    assert (graph.degree(4), graph.degree(5), graph.n_edges) == (6, 6, 11)


def test_hub_size_changes_only_the_hubs():
    constraints = streams(hub_sizes=(64,), max_edges=None)
    graph = global_workspace(constraints, generator(), hubs=2, hub_size=64)
    assert [i for i, size in enumerate(graph.sizes) if size == 64] == [4, 5]
    assert constraints.violation(graph) is None
    assert graph.areas[4].role == "hidden"
    assert global_workspace(constraints, generator(), hub=0, hub_size=64).areas[0] == Area(64, is_input=True)


@pytest.mark.parametrize(("count", "edges"), [(1, 0), (2, 1), (3, 3), (12, 12)])
def test_ring(count, edges):
    graph = ring(GraphConstraints.build([Area(8)] * count), generator())
    assert graph.n_edges == edges
    assert count < 3 or all(graph.degree(i) == 2 for i in range(count))


def test_small_world_goes_from_lattice_to_random():
    lattice = small_world(FREE, generator(), neighbours=4, rewire=0)
    assert lattice.edges == tuple(sorted(nx.circulant_graph(12, [1, 2]).edges()))
    rewired = small_world(FREE, generator(), neighbours=4, rewire=1.0)
    assert rewired.n_edges == lattice.n_edges
    assert rewired != lattice


def test_distance_lattice_joins_grid_neighbours_or_given_positions():
    assert distance_lattice(FREE, generator()).edges == tuple(
        sorted((4 * r + c, 4 * s + d) for (r, c), (s, d) in map(sorted, nx.grid_2d_graph(3, 4).edges()))
    )
    assert distance_lattice(FREE, generator(), radius=1.5).n_edges == 17 + 12
    assert distance_lattice(FREE, generator(), radius=0).n_edges == 0
    line = [[0.1 * i] for i in range(12)]
    assert distance_lattice(FREE, generator(), radius=0.1, positions=line).edges == tuple((i, i + 1) for i in range(11))


def test_stochastic_block_fills_and_empties_blocks():
    graph = stochastic_block(FREE, generator(), blocks=3, within=1.0, between=0.0)
    assert [sorted(part) for part in nx.connected_components(graph.graph)] == [[*range(s, s + 4)] for s in (0, 4, 8)]
    assert graph.n_edges == 3 * 6
    assert stochastic_block(FREE, generator(), blocks=2, within=0.0, between=1.0).n_edges == 36


@pytest.mark.parametrize("count", [5, 8, 11, 12])
def test_random_regular_has_equal_degrees(count):
    free = GraphConstraints.build([Area(8)] * count)
    for degree in range(count):
        degrees = Counter(d for _, d in random_regular(free, generator(degree), degree=degree).graph.degree)
        odd = count * degree % 2
        assert degrees == Counter({degree: count - odd} | ({degree - 1: 1} if odd else {}))


@pytest.mark.parametrize("name", ["random_density", "small_world", "stochastic_block", "random_regular", "all_to_all"])
def test_seeds_matter(name):
    constraints = streams()
    assert len({make_family(name, constraints, generator(seed)) for seed in range(5)}) == 5


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("hub_and_spoke", {}, "unknown family 'hub_and_spoke', expected one of all_to_all, distance_lattice, "),
        ("", {}, "unknown family ''"),
        ("ring", {"size": 3}, "family 'ring': unknown parameter 'size', expected none"),
        ("random_density", {"n_edges": 3}, "unknown parameter 'n_edges', expected density, edges"),
        ("random_density", {"edges": 9.0}, "parameter 'edges' must be an integer or none, got '9.0'"),
        ("random_density", {"edges": True}, "parameter 'edges' must be an integer or none, got 'True'"),
        ("random_density", {"density": "half"}, "parameter 'density' must be a finite number or none, got 'half'"),
        ("random_density", {"density": float("nan")}, "must be a finite number or none, got 'nan'"),
        ("random_density", {"density": 1.5}, "density must be a number from 0 to 1, got 1.5"),
        ("random_density", {"density": 0.9}, r"edges \(density 0.9 of 62 allowed edges\) must be .* 5 to 13, got 56"),
        ("random_density", {"edges": 4}, "edges must be an integer from 5 to 13, got 4"),
        ("random_density", {"edges": 14}, "edges must be an integer from 5 to 13, got 14"),
        ("random_density", {"edges": 9, "density": 0.2}, "density or edges, got both"),
        ("global_workspace", {"hub": 12}, "hub must be an integer from 0 to 11, got 12"),
        ("global_workspace", {"hub": -1}, "hub must be an integer from 0 to 11, got -1"),
        ("global_workspace", {"hub": "4"}, "parameter 'hub' must be an integer or none, got '4'"),
        ("global_workspace", {"hubs": 0}, "hubs must be an integer from 1 to 12, got 0"),
        ("global_workspace", {"hubs": 13}, "hubs must be an integer from 1 to 12, got 13"),
        ("global_workspace", {"hubs": None}, "parameter 'hubs' must be an integer, got 'None'"),
        ("global_workspace", {"join_hubs": 1}, "parameter 'join_hubs' must be true or false, got '1'"),
        ("global_workspace", {"hub_size": 64}, r"hub_size must be one of 32 \(area 4\), got 64"),
        ("small_world", {"neighbours": 3}, "neighbours must be even, got 3"),
        ("small_world", {"neighbours": 12}, "neighbours must be an integer from 0 to 11, got 12"),
        ("small_world", {"rewire": -0.1}, "rewire must be a number from 0 to 1, got -0.1"),
        ("distance_lattice", {"radius": -1}, "radius must be a number of at least 0, got -1"),
        ("distance_lattice", {"positions": [[0, 0]]}, r"positions must have shape \(12, d\), .*, got \(1, 2\)"),
        ("distance_lattice", {"positions": [[0.0, float("nan")]] * 12}, "positions must be finite"),
        ("distance_lattice", {"positions": [["a"]] * 12}, "positions must be numbers"),
        ("distance_lattice", {"positions": [[0], [0, 1]] * 6}, "positions must be numbers"),
        ("distance_lattice", {"positions": "grid"}, "parameter 'positions' must be a list of coordinates or none"),
        ("stochastic_block", {"blocks": 0}, "blocks must be an integer from 1 to 12, got 0"),
        ("stochastic_block", {"blocks": 13}, "blocks must be an integer from 1 to 12, got 13"),
        ("stochastic_block", {"within": 2}, "within must be a number from 0 to 1, got 2"),
        ("stochastic_block", {"between": -1}, "between must be a number from 0 to 1, got -1"),
        ("random_regular", {"degree": 12}, "degree must be an integer from 0 to 11, got 12"),
        ("random_regular", {"degree": -1}, "degree must be an integer from 0 to 11, got -1"),
        ("all_to_all", {"ignore_budget": "yes"}, "parameter 'ignore_budget' must be true or false, got 'yes'"),
    ],
)
def test_bad_requests_are_refused_in_one_line(name, parameters, message):
    with pytest.raises(GraphError, match=message) as caught:
        make_family(name, streams(), generator(), **parameters)
    assert "\n" not in str(caught.value)
