"""All valid graphs of a small space, counted up to isomorphism."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import networkx as nx

from topo_search.graph import Area, GraphConstraints, ModuleGraph


def test_six_areas_have_exactly_the_known_classes():
    # Two inputs that differ in size, so that they cannot be exchanged, one output and three hidden areas.
    areas = [Area(3, is_input=True), Area(5, is_input=True), Area(4), Area(4), Area(4), Area(4, is_output=True)]
    constraints = GraphConstraints.build(areas, forbidden_roles=[("input", "output")])
    allowed = constraints.allowed_edges
    assert len(allowed) == 13
    classes = {}
    for count in range(5, 14):
        for edges in combinations(allowed, count):
            graph = ModuleGraph(areas, edges)
            if nx.is_connected(graph.graph):
                assert constraints.violation(graph) is None
                classes[graph.isomorphism_key] = count
    assert len(classes) == 1054
    assert [Counter(classes.values())[count] for count in range(5, 14)] == [96, 222, 276, 231, 140, 63, 20, 5, 1]
