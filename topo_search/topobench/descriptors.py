"""What is correlated with accuracy: numbers that describe a graph, here those of its input and output areas."""

from __future__ import annotations

import networkx as nx

from topo_search.graph import ModuleGraph

__all__ = ["DESCRIPTORS", "describe_roles"]

DESCRIPTORS = (
    "edges",
    "input_output_path",
    "longer_input_path",
    "disjoint_paths",
    "output_degree",
    "input_degree",
    "inputs_joined",
    "shared_by_inputs",
    "dead_ends",
    "max_degree",
    "hub_share",
    "degree_std",
    "clustering",
    "algebraic_connectivity",
    "spectral_radius",
)
"""Names of :func:`describe_roles` and :func:`topo_search.graph.describe` that a landscape looks at.

The number of cycles is left out: in a connected graph of six areas it is the number of edges less five.
"""


def describe_roles(graph: ModuleGraph) -> dict[str, float]:
    """Describe a connected graph by what its input and output areas are to it.

    Returns:
        By name:

        - ``longer_input_path``: edges on a shortest path to an output area from the input area that is further away.
        - ``disjoint_paths``: most paths from input areas to output areas that share no edge.
        - ``output_degree``, ``input_degree``: edges of the output areas, and of the input areas, in all.
        - ``inputs_joined``: edges between input areas.
        - ``shared_by_inputs``: areas that are joined to every input area.
        - ``dead_ends``: hidden areas with one edge: nothing passes through them.
    """
    inputs, outputs = graph.input_areas, graph.output_areas
    distances = nx.multi_source_dijkstra_path_length(graph.graph, set(outputs), weight=None)
    return {
        "longer_input_path": float(max(distances[area] for area in inputs)),
        "disjoint_paths": float(_disjoint_paths(graph)),
        "output_degree": float(sum(graph.degree(area) for area in outputs)),
        "input_degree": float(sum(graph.degree(area) for area in inputs)),
        "inputs_joined": float(sum(i in inputs and j in inputs for i, j in graph.edges)),
        "shared_by_inputs": float(len(set.intersection(*(set(graph.neighbors(area)) for area in inputs)))),
        "dead_ends": float(sum(graph.degree(area) == 1 for area in graph.hidden_areas)),
    }


def _disjoint_paths(graph: ModuleGraph) -> int:
    """By maximum flow, each edge carrying one path in either direction."""
    flow: nx.Graph[int] = nx.Graph()
    flow.add_edges_from((i, j, {"capacity": 1}) for i, j in graph.edges)
    # Two further nodes join all inputs and all outputs; an edge without a capacity carries any flow.
    source, sink = graph.n_areas, graph.n_areas + 1
    flow.add_edges_from((source, area) for area in graph.input_areas)
    flow.add_edges_from((area, sink) for area in graph.output_areas)
    return int(nx.maximum_flow_value(flow, source, sink))
