from __future__ import annotations

from itertools import combinations

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topo_search.graph import Area, GraphConstraints, GraphError, ModuleGraph

from .generators import constraint_sets, lightly, streams

IN, HID, OUT, BOTH = Area(4, is_input=True), Area(4), Area(4, is_output=True), Area(4, True, True)


@pytest.mark.parametrize(
    ("areas", "roles", "expected"),
    [
        ([IN] * 4 + [HID] * 7 + [OUT], [("input", "output")], 5),
        ([IN] * 4 + [HID] * 7 + [OUT], [("output", "input")], 5),
        ([IN] * 4 + [HID] * 7 + [OUT], [], 4),
        ([IN, HID, HID, OUT], [("input", "output")], 2),
        ([IN, OUT], [], 1),
        ([BOTH], [], 0),
        ([BOTH, HID, HID], [], 0),
        ([BOTH] * 16, [], 15),
        ([IN] * 10 + [HID] * 2 + [OUT] * 2, [("input", "output")], 12),
        ([IN] * 3 + [HID], [], 0),
        ([OUT] * 3 + [HID], [], 0),
        ([HID], [], 0),
    ],
)
def test_min_edges_of_known_spaces(areas, roles, expected):
    assert GraphConstraints.build(areas, forbidden_roles=roles).min_edges == expected


@lightly
@given(constraint_sets(high=6))
def test_min_edges_is_the_smallest_valid_graph(constraints):
    if len(constraints.allowed_edges) > 12:
        return
    smallest = next(
        count
        for count in range(len(constraints.allowed_edges) + 1)
        if any(constraints.connects(edges) for edges in combinations(constraints.allowed_edges, count))
    )
    assert constraints.min_edges == smallest
    assert constraints.min_edges <= constraints.edge_budget <= len(constraints.allowed_edges)


@lightly
@given(constraint_sets(), st.data())
def test_violation_agrees_with_paths_in_networkx(constraints, data):
    pairs = list(combinations(range(len(constraints.areas)), 2))
    edges = data.draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    graph = ModuleGraph(constraints.areas, edges)
    joined = all(nx.has_path(graph.graph, i, o) for i in graph.input_areas for o in graph.output_areas)
    fits = constraints.max_edges is None or len(edges) <= constraints.max_edges
    valid = joined and fits and not constraints.forbidden & set(graph.edges)
    assert (constraints.violation(graph) is None) == valid
    if not valid:
        with pytest.raises(GraphError, match=graph.key):
            constraints.check(graph)


def test_build_forbids_by_role_and_pair():
    constraints = GraphConstraints.build(
        [IN, HID, OUT, BOTH, HID],
        forbidden_roles=[("input", "output")],
        forbidden_pairs=[(1, 0), (0, 1)],
        hub_sizes=[9, 9, 2],
    )
    assert constraints.forbidden == {(0, 1), (0, 2), (0, 3), (2, 3)}
    assert constraints.allowed_edges == ((0, 4), (1, 2), (1, 3), (1, 4), (2, 4), (3, 4))
    assert constraints.hub_sizes == (2, 9)
    assert constraints.sizes_of(0) == (2, 4, 9)
    hidden = GraphConstraints.build([IN, HID, HID, OUT], forbidden_roles=[("hidden", "hidden")])
    assert hidden.forbidden == {(1, 2)}
    both = GraphConstraints.build([BOTH, BOTH, HID, IN], forbidden_roles=[("input+output", "input+output")])
    assert both.forbidden == {(0, 1)}


def test_budget():
    assert streams().edge_budget == 13
    assert streams(max_edges=None).edge_budget == streams(max_edges=1000).edge_budget == 62
    assert streams(max_edges=5).edge_budget == 5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: streams(max_edges=4), "max_edges must be at least 5 .*, got 4"),
        (lambda: streams(max_edges=-1), "max_edges must be an integer of at least 0, got -1"),
        (lambda: streams(max_edges=13.0), "max_edges must be an integer of at least 0, got 13.0"),
        (lambda: streams(max_edges=True), "got True"),
        (lambda: streams(hub_sizes=[0]), "hub_sizes entry must be an integer from 1"),
        (lambda: streams(hub_sizes=[64.0]), "hub_sizes entry must be"),
        (lambda: GraphConstraints(()), "1 to 4096 areas, got 0"),
        (lambda: GraphConstraints((IN, OUT), frozenset({(0, 1)})), "no valid graph exists"),
        (lambda: GraphConstraints.build([IN, OUT], forbidden_roles=[("input", "output")]), "no valid graph exists"),
        (lambda: GraphConstraints.build([IN] * 12 + [OUT], forbidden_roles=[("output", "input")]), "no valid graph"),
        (lambda: GraphConstraints.build([IN] * 12 + [OUT], max_edges=11), "max_edges must be at least 12 .*, got 11"),
        (
            lambda: GraphConstraints.build([IN, OUT], forbidden_roles=[("input", "hub")]),
            "forbidden_roles must hold pairs",
        ),
        (lambda: GraphConstraints.build([IN, OUT], forbidden_roles=["input"]), "forbidden_roles must hold pairs"),
        (lambda: GraphConstraints.build([IN, OUT], forbidden_roles=[("input",)]), "forbidden_roles must hold pairs"),
        (lambda: GraphConstraints.build([IN, OUT], forbidden_pairs=[(0, 2)]), "from 0 to 1, got 2"),
        (lambda: GraphConstraints.build([IN, OUT], forbidden_pairs=[(1, 1)]), "self-loop"),
        (lambda: GraphConstraints.build([IN, OUT], forbidden_pairs=[3]), "an edge must be a pair"),
    ],
)
def test_bad_constraints_are_refused(make, message):
    with pytest.raises(GraphError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


TREE = [(0, 4), (1, 4), (2, 4), (3, 4), (4, 11)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda g: ModuleGraph(g.areas[:-1], []), "the graph must have 12 areas, got 11"),
        (lambda g: g.with_areas([Area(32)] * 12), "area 0 must have the role 'input', got 'hidden'"),
        (
            lambda g: g.with_areas([*g.areas[:5], Area(33), *g.areas[6:]]),
            "area 5 must have a size among 16, 32, 64, got 33",
        ),
        (lambda g: g.with_edges([*TREE, (0, 11)]), "edge (0, 11) joins a forbidden pair of areas"),
        (
            lambda g: g.with_edges([*TREE, *combinations(range(5, 10), 2)]),
            "the graph may have at most 13 edges, got 15",
        ),
        (lambda g: g.with_edges(TREE[:-1]), "output area 11 cannot be reached from input area 0"),
        (lambda g: g.with_edges(TREE[1:]), "output area 11 cannot be reached from input area 0"),
        (lambda g: g.with_edges(TREE[:3] + TREE[4:]), "output area 11 cannot be reached from input area 3"),
        (lambda g: g, None),
        (lambda g: g.with_areas([*g.areas[:4], Area(64), *g.areas[5:]]), None),
    ],
)
def test_violation_names_the_reason(change, expected):
    constraints = streams(hub_sizes=(16, 64))
    assert constraints.violation(change(ModuleGraph(constraints.areas, TREE))) == expected
