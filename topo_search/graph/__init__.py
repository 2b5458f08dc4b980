"""The graph between areas: values, constraints, families, mutations, crossover and descriptors.

- ``module_graph``: ``ModuleGraph``, an immutable graph of areas with keys, JSON, GraphML and adjacency matrix.
- ``constraints``: ``GraphConstraints``, what a valid graph respects.
- ``families``: all-to-all, random density, global workspace, ring, small world, lattice, blocks, regular.
- ``mutations``, ``crossover``: children of graphs.
- ``alignment``: the areas of one graph renumbered to agree with another.
- ``joining``: several graphs as one.
- ``adjacency_file``: graphs from a matrix in a CSV file.
- ``rewiring``: random graphs with the degrees of a given one.
- ``repair``: the nearest way from any edges to a valid graph.
- ``descriptors``: numbers that describe a graph.
- ``positions``: where areas lie.
"""

from topo_search.graph.alignment import align_areas, interchangeable_areas
from topo_search.graph.constraints import GraphConstraints
from topo_search.graph.crossover import crossover
from topo_search.graph.descriptors import describe, workspace_distance
from topo_search.graph.families import (
    FAMILIES,
    Family,
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
from topo_search.graph.joining import join_graphs
from topo_search.graph.module_graph import Area, Edge, GraphError, ModuleGraph
from topo_search.graph.mutations import (
    OPERATORS,
    Mutation,
    Operator,
    add_edge,
    grow_hub,
    move_hub_edge,
    mutate,
    remove_edge,
    rewire_edge,
    shrink_hub,
    swap_edges,
)
from topo_search.graph.positions import grid_positions
from topo_search.graph.repair import repair
from topo_search.graph.rewiring import degree_preserving_rewire

__all__ = [
    "FAMILIES",
    "OPERATORS",
    "Area",
    "Edge",
    "Family",
    "GraphConstraints",
    "GraphError",
    "ModuleGraph",
    "Mutation",
    "Operator",
    "add_edge",
    "align_areas",
    "all_to_all",
    "crossover",
    "degree_preserving_rewire",
    "describe",
    "distance_lattice",
    "global_workspace",
    "grid_positions",
    "grow_hub",
    "interchangeable_areas",
    "join_graphs",
    "make_family",
    "move_hub_edge",
    "mutate",
    "random_density",
    "random_regular",
    "remove_edge",
    "repair",
    "rewire_edge",
    "ring",
    "shrink_hub",
    "small_world",
    "stochastic_block",
    "swap_edges",
    "workspace_distance",
]
