"""The published numbers of trainable parameters that the builder's own tests leave out, and what they say of edges."""

import pytest

from topo_search.graph import Area, GraphConstraints, ModuleGraph, make_family
from topo_search.model import NetworkConfig, build_network
from topo_search.seeds import generator

UNITS = 32


def areas(count):
    return [Area(UNITS, is_input=True, is_output=True)] * count


def parameters(graph, **config):
    return build_network(graph, NetworkConfig(**config), channels=3, classes=10, seed=0).n_parameters


@pytest.mark.parametrize(
    ("family", "count", "published"),
    [
        ("global_workspace", 16, 22_538),
        ("global_workspace", 24, 34_314),
        ("global_workspace", 26, 37_258),
        ("global_workspace", 32, 46_090),
        ("all_to_all", 10, 50_570),
    ],
)
def test_families_of_the_graph_package_have_the_published_counts(family, count, published):
    graph = make_family(family, GraphConstraints.build(areas(count)), generator(0, "graph"))
    assert parameters(graph) == published
    # One input weight from each of three channels, one bias and ten readout weights a unit, ten readout biases.
    assert published == graph.n_edges * UNITS**2 + (3 + 1 + 10) * count * UNITS + 10


@pytest.mark.parametrize(
    ("count", "published", "edges", "share"),
    [(24, 24_074, 13, 0.05), (24, 142_858, 129, 0.5), (32, 183_306, 165, 1 / 3)],
)
def test_random_graphs_of_the_paper_have_a_whole_number_of_edges(count, published, edges, share):
    blocks, rest = divmod(published - 14 * count * UNITS - 10, UNITS**2)
    assert (blocks, rest) == (edges, 0)
    # The printed shares are those of the draw: near, not exact.
    assert abs(edges / (count * (count - 1) / 2) - share) < 0.04


@pytest.mark.parametrize("stability", ["certified", "continuous", "as_released"])
def test_the_arm_does_not_change_the_count(stability):
    assert parameters(ModuleGraph(areas(3), [(0, 1), (0, 2)]), stability=stability) == 2 * 1024 + 14 * 96 + 10


def test_the_count_with_both_directions_trained_is_the_papers():
    graph = make_family("global_workspace", GraphConstraints.build(areas(16)), generator(0, "graph"))
    assert parameters(graph, stability="unconstrained") == 37_898 == 22_538 + 15 * 1024
