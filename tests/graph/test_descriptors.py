from __future__ import annotations

import math
import time

import networkx as nx
import numpy as np
import pytest
from hypothesis import given

from topo_search.graph import Area, GraphError, ModuleGraph, describe, grid_positions, make_family
from topo_search.graph.descriptors import workspace_distance

from .generators import constraint_sets, lightly, module_graphs, seeds, streams

NAMES = {
    "edges", "density", "mean_degree", "degree_std", "max_degree", "hub_share", "modularity", "algebraic_connectivity",
    "clustering", "input_output_path", "spectral_radius", "cycles", "wiring_cost", "isolated_areas",
    "workspace_distance",
}  # fmt: skip


@lightly
@given(module_graphs(high=10))
def test_every_value_is_a_finite_float_for_every_graph(graph):
    values = describe(graph)
    assert set(values) == NAMES
    assert all(type(value) is float and math.isfinite(value) for value in values.values())
    assert describe(graph.with_edges(graph.edges)) == values


@lightly
@given(module_graphs(low=2, high=10))
def test_values_agree_with_networkx(graph):
    values = describe(graph)
    plain = nx.Graph(graph.graph)
    assert values["density"] == pytest.approx(nx.density(plain))
    assert values["clustering"] == pytest.approx(nx.average_clustering(plain))
    assert values["cycles"] == len(nx.cycle_basis(plain))
    assert values["isolated_areas"] == len(list(nx.isolates(plain)))
    assert values["algebraic_connectivity"] == pytest.approx(np.sort(nx.laplacian_spectrum(plain))[1], abs=1e-9)
    assert (values["algebraic_connectivity"] > 0) == nx.is_connected(plain)
    lengths = dict(nx.all_pairs_shortest_path_length(plain))
    paths = [lengths[i][o] for i in graph.input_areas for o in graph.output_areas if o in lengths[i]]
    assert values["input_output_path"] == pytest.approx(np.mean(paths) if paths else 0)


def test_star():
    areas = [Area(4), Area(4, is_input=True), Area(4, is_output=True), *[Area(4)] * 7]
    values = describe(ModuleGraph(areas, [(0, i) for i in range(1, 10)]))
    assert values["mean_degree"] == pytest.approx(1.8)
    assert values["max_degree"] == 9
    assert values["degree_std"] == pytest.approx(np.std([9] + [1] * 9))
    assert values["hub_share"] == 1
    assert values["algebraic_connectivity"] == pytest.approx(1)
    assert values["spectral_radius"] == pytest.approx(3)
    assert values["input_output_path"] == 2
    assert values["cycles"] == 0
    assert values["workspace_distance"] == 0


def test_complete_graph():
    values = describe(ModuleGraph([Area(4)] * 6, nx.complete_graph(6).edges()))
    assert values["density"] == values["clustering"] == 1
    assert values["spectral_radius"] == pytest.approx(5)
    assert values["algebraic_connectivity"] == pytest.approx(6)
    assert values["hub_share"] == pytest.approx(5 / 15)
    assert values["cycles"] == 10
    assert values["modularity"] == pytest.approx(0)


def test_two_communities():
    graph = ModuleGraph([Area(4)] * 8, [*nx.complete_graph(4).edges(), *nx.complete_graph(range(4, 8)).edges(), (0, 4)])
    # Newman's formula for the two cliques: 2 (6/13 - (13/26)^2).
    assert describe(graph)["modularity"] == pytest.approx(2 * (6 / 13 - 0.25))


@pytest.mark.parametrize("count", [1, 5])
def test_graph_without_edges(count):
    values = describe(ModuleGraph([Area(4, is_input=True, is_output=True)] * count, []))
    assert values.pop("isolated_areas") == count
    assert values.pop("workspace_distance") == count - 1
    assert set(values.values()) == {0.0}


@lightly
@given(module_graphs(high=8))
def test_workspace_distance_is_the_smallest_difference_from_a_star(graph):
    stars = [{(min(h, i), max(h, i)) for i in range(graph.n_areas) if i != h} for h in range(graph.n_areas)]
    assert workspace_distance(graph) == min(len(star ^ set(graph.edges)) for star in stars)
    assert describe(graph)["workspace_distance"] == workspace_distance(graph)


@lightly
@given(constraint_sets(), seeds)
def test_workspace_distance_under_rules_counts_allowed_edges_alone(constraints, seed):
    graph = make_family("random_density", constraints, np.random.default_rng(seed))
    stars = [{edge for edge in constraints.allowed_edges if h in edge} for h in range(graph.n_areas)]
    valid = [star for star in stars if constraints.connects(star)] or stars
    assert workspace_distance(graph, constraints) == min(len(star ^ set(graph.edges)) for star in valid)


def test_workspace_distance_of_workspaces_under_rules():
    constraints = streams(max_edges=None)
    for hub in range(4, 11):
        star = make_family("global_workspace", constraints, np.random.default_rng(0), hub=hub)
        assert workspace_distance(star, constraints) == 0
        assert workspace_distance(star.with_edges([*star.edges, (0, 1)]), constraints) == 1
    # Around an input area the output is missing: such a star is no graph of this space.
    inputs = make_family("global_workspace", constraints, np.random.default_rng(0), hub=0)
    assert workspace_distance(inputs, constraints) > 1


def test_wiring_cost_uses_the_grid_or_given_positions():
    graph = ModuleGraph([Area(4)] * 4, [(0, 1), (0, 3)])
    assert describe(graph)["wiring_cost"] == pytest.approx(1 + math.sqrt(2))
    assert describe(graph, positions=[[0], [2], [5], [-7]])["wiring_cost"] == pytest.approx(9)


@pytest.mark.parametrize(
    "positions", [[[0, 0]], [0, 1, 2, 3], np.zeros((4, 0)), [[0, np.inf]] * 4, [["a"]] * 4, "grid"]
)
def test_bad_positions_are_refused(positions):
    with pytest.raises(GraphError, match="positions must"):
        describe(ModuleGraph([Area(4)] * 4, []), positions=positions)


def test_grid_positions():
    assert grid_positions(1).tolist() == [[0, 0]]
    assert grid_positions(5).tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1]]
    assert grid_positions(12).max(axis=0).tolist() == [3, 2]


def test_a_description_is_the_callers_and_leaves_nothing_with_the_graph():
    graph = ModuleGraph([Area(4)] * 3, [(0, 1)])
    first = describe(graph)
    first["edges"] = 9.0
    assert describe(graph)["edges"] == 1
    assert "graph" not in vars(graph), "a networkx graph for each of 10,000 trials is 70 MB"


def test_describing_a_trial_costs_little():
    graph = ModuleGraph([Area(32)] * 12, nx.gnm_random_graph(12, 13, seed=1).edges())
    describe(graph)
    start = time.process_time()
    for first in range(1, 11):
        # Another graph each time: what is known is not computed again.
        describe(graph.with_edges(graph.edges[first:]))
    # 0.6 ms each when measured; room for slow machines.
    assert (time.process_time() - start) / 10 < 0.01
