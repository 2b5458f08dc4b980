from __future__ import annotations

import random
import time
from itertools import combinations

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networkx.algorithms.isomorphism import categorical_node_match

from topo_search.graph import Area, ModuleGraph

from .generators import lightly, module_graphs

SAME_KIND = categorical_node_match(["size", "role"], [None, None])


def from_plain(graph, areas=None):
    graph = nx.convert_node_labels_to_integers(graph)
    return ModuleGraph(areas or [Area(3)] * len(graph), graph.edges())


def relabelled(graph, order):
    """The graph with area i called order[i]."""
    areas = [None] * graph.n_areas
    for old, new in enumerate(order):
        areas[new] = graph.areas[old]
    return ModuleGraph(areas, [(order[i], order[j]) for i, j in graph.edges])


@lightly
@given(module_graphs(high=10), st.data())
def test_relabelling_keeps_the_key(graph, data):
    order = data.draw(st.permutations(range(graph.n_areas)))
    assert relabelled(graph, order).isomorphism_key == graph.isomorphism_key


@settings(max_examples=150, deadline=None)
@given(module_graphs(low=4, high=6), st.data())
def test_equal_keys_are_isomorphisms_as_networkx_finds_them(graph, data):
    # The same areas and number of edges: pairs that are worth telling apart.
    pairs = list(combinations(range(graph.n_areas), 2))
    order = data.draw(st.permutations(pairs))
    other = graph.with_edges(order[: graph.n_edges])
    expected = nx.is_isomorphic(graph.graph, other.graph, node_match=SAME_KIND)
    assert (graph.isomorphism_key == other.isomorphism_key) == expected


def test_numbers_of_graphs_on_five_and_six_nodes_are_the_known_ones():
    pairs = list(combinations(range(5), 2))
    keys = {
        ModuleGraph([Area(1)] * 5, [p for b, p in enumerate(pairs) if mask >> b & 1]).isomorphism_key
        for mask in range(1 << len(pairs))
    }
    assert len(keys) == 34  # OEIS A000088, n = 5
    atlas = [g for g in nx.graph_atlas_g() if len(g) == 6]
    assert len({from_plain(g).isomorphism_key for g in atlas}) == len(atlas) == 156


def test_atlas_graphs_on_seven_nodes_all_differ():
    atlas = [g for g in nx.graph_atlas_g() if len(g) == 7]
    assert len({from_plain(g).isomorphism_key for g in atlas}) == len(atlas) == 1044


def test_size_and_role_are_part_of_the_key():
    path = [(0, 1), (1, 2)]
    keys = {
        ModuleGraph(areas, path).isomorphism_key
        for areas in (
            [Area(3), Area(3), Area(3)],
            [Area(4), Area(3), Area(3)],
            [Area(3), Area(4), Area(3)],
            [Area(3, is_input=True), Area(3), Area(3)],
            [Area(3, is_output=True), Area(3), Area(3)],
            [Area(3, is_input=True, is_output=True), Area(3), Area(3)],
        )
    }
    assert len(keys) == 6


def shrikhande():
    graph = nx.Graph()
    for i in range(4):
        for j in range(4):
            graph.add_edges_from(((i, j), ((i + x) % 4, (j + y) % 4)) for x, y in ((1, 0), (0, 1), (1, 1)))
    return graph


def rook(rows, columns):
    return nx.cartesian_product(nx.complete_graph(rows), nx.complete_graph(columns))


def latin_square_graph(rows):
    """Cells joined when they share row, column or symbol: strongly regular (25, 12, 5, 6) for order 5."""
    cells = [(i, j, symbol) for i, row in enumerate(rows) for j, symbol in enumerate(row)]
    graph = nx.empty_graph(len(cells))
    for a, b in combinations(range(len(cells)), 2):
        if any(x == y for x, y in zip(cells[a], cells[b], strict=True)):
            graph.add_edge(a, b)
    return graph


CYCLIC = ["12345", "23451", "34512", "45123", "51234"]
# The other class of order 5: it has 2x2 subsquares, and its cells are of several kinds.
ACYCLIC = ["12345", "21453", "35124", "43512", "54231"]


def hubs_with_leaves():
    graph = nx.cycle_graph(4)
    graph.add_edges_from((hub, 4 + 7 * hub + leaf) for hub in range(4) for leaf in range(7))
    return graph


LARGE = {
    "complete": nx.complete_graph(32),
    "empty": nx.empty_graph(32),
    "star": nx.star_graph(31),
    "ring": nx.cycle_graph(32),
    "path": nx.path_graph(32),
    "bipartite": nx.complete_bipartite_graph(16, 16),
    "multipartite": nx.complete_multipartite_graph(*[4] * 8),
    "cubic": nx.random_regular_graph(3, 32, seed=1),
    "15-regular": nx.random_regular_graph(15, 32, seed=1),
    "hypercube": nx.hypercube_graph(5),
    "rook 4x8": rook(4, 8),
    "triangular": nx.line_graph(nx.complete_graph(8)),
    "paley": nx.Graph(nx.paley_graph(29)),
    "squares": nx.disjoint_union_all([nx.cycle_graph(4)] * 8),
    "petersens": nx.disjoint_union_all([nx.petersen_graph()] * 3),
    "not pentagons": nx.complement(nx.disjoint_union_all([nx.cycle_graph(5)] * 6)),
    "matching": nx.disjoint_union_all([nx.path_graph(2)] * 16),
    "torus": nx.grid_2d_graph(4, 8, periodic=True),
    "hubs with leaves": hubs_with_leaves(),
    "doubled ring": nx.lexicographic_product(nx.cycle_graph(16), nx.empty_graph(2)),
    "tree": nx.balanced_tree(2, 4),
    "shrikhande x 2": nx.cartesian_product(shrikhande(), nx.complete_graph(2)),
    "latin square": latin_square_graph(CYCLIC),
    "two cubics": nx.disjoint_union(nx.random_regular_graph(3, 16, seed=3), nx.random_regular_graph(3, 16, seed=4)),
}


@pytest.mark.parametrize("name", LARGE)
def test_symmetric_and_large_graphs_are_fast_and_stable(name):
    graph = from_plain(LARGE[name])
    order = list(range(graph.n_areas))
    random.Random(name).shuffle(order)
    start = time.process_time()
    assert graph.isomorphism_key == relabelled(graph, order).isomorphism_key
    # About 0.1 s at most on an old core; an exponential search would take hours.
    assert time.process_time() - start < 3.0


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (shrikhande(), rook(4, 4)),
        (nx.cycle_graph(6), nx.disjoint_union(nx.cycle_graph(3), nx.cycle_graph(3))),
        (nx.circular_ladder_graph(8), nx.circulant_graph(16, [1, 8])),
        (nx.disjoint_union(shrikhande(), shrikhande()), nx.disjoint_union(shrikhande(), rook(4, 4))),
        (latin_square_graph(CYCLIC), latin_square_graph(ACYCLIC)),
        (nx.petersen_graph(), nx.circular_ladder_graph(5)),
        (nx.dodecahedral_graph(), nx.desargues_graph()),
    ],
)
def test_graphs_that_colour_refinement_confuses_are_told_apart(first, second):
    assert sorted(d for _, d in first.degree) == sorted(d for _, d in second.degree)
    assert from_plain(first).isomorphism_key != from_plain(second).isomorphism_key


def test_vertices_that_look_alike_but_are_not_do_not_mislead():
    # Colour refinement cannot tell the cells of this square apart, yet no automorphism maps them all onto each other.
    graph = from_plain(latin_square_graph(ACYCLIC))
    shuffle = random.Random(0)
    keys = {relabelled(graph, shuffle.sample(range(25), 25)).isomorphism_key for _ in range(12)}
    assert keys == {graph.isomorphism_key}
