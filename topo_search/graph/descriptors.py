"""Numbers that describe a graph, for records, plots and statistics."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike

from topo_search.graph.communities import louvain_communities
from topo_search.graph.constraints import GraphConstraints
from topo_search.graph.module_graph import ModuleGraph
from topo_search.graph.positions import area_distances

__all__ = ["describe", "workspace_distance"]


def describe(graph: ModuleGraph, *, positions: ArrayLike | None = None) -> dict[str, float]:
    """Describe a graph of p areas; every value is finite for every graph.

    Args:
        graph: Any graph, valid in a search space or not.
        positions: ``(p, d)`` coordinates for the wiring cost. Default: a 2-d grid of unit spacing, filled row by row.

    Returns:
        By name:

        - ``edges``: number of edges.
        - ``density``: share of all pairs of areas that are joined; 0 for one area.
        - ``mean_degree``, ``degree_std``, ``max_degree``: over areas (population standard deviation).
        - ``hub_share``: largest degree divided by the number of edges; 1 for a star, 0 without edges.
        - ``modularity``: of the communities that Louvain finds (Blondel et al. 2008) from a fixed seed; 0 without
          edges. It is a heuristic, so isomorphic graphs may differ a little.
        - ``algebraic_connectivity``: second smallest eigenvalue of the Laplacian; 0 when an area is cut off.
        - ``clustering``: mean local clustering coefficient.
        - ``input_output_path``: mean number of edges on a shortest path from an input to an output area, over the pairs
          that a path joins; 0 when there is none. An area that is both counts with length 0.
        - ``spectral_radius``: of the 0/1 adjacency matrix.
        - ``cycles``: cyclomatic number, edges - areas + components.
        - ``wiring_cost``: sum over edges of the distance of their ends, in the unit of the positions.
        - ``isolated_areas``: number of areas without edge.
        - ``workspace_distance``: see :func:`workspace_distance`; every pair of areas counts as allowed.

    Raises:
        GraphError: If the positions are not ``(p, d)`` finite numbers.
    """
    if positions is None:
        # A finished trial is described for the study, then for the table; the caller may change what it is given.
        return dict(_described_on_grid(graph))
    return _described(graph, positions)


@lru_cache(maxsize=16)
def _described_on_grid(graph: ModuleGraph) -> Mapping[str, float]:
    return MappingProxyType(_described(graph, None))


def _described(graph: ModuleGraph, positions: ArrayLike | None) -> dict[str, float]:
    count = graph.n_areas
    # Not the graph's own, which it would keep: a networkx graph takes ten times the memory of what it says.
    network: nx.Graph[int] = nx.empty_graph(count)
    network.add_edges_from(graph.edges)
    adjacency = graph.adjacency().astype(np.float64)
    degrees = adjacency.sum(axis=0)
    distances = area_distances(count, positions)
    paths = _input_output_paths(graph, network)
    laplacian = np.linalg.eigvalsh(np.diag(degrees) - adjacency)
    components = nx.number_connected_components(network)
    return {
        "edges": float(graph.n_edges),
        "density": graph.n_edges / max(1, count * (count - 1) // 2),
        "mean_degree": float(degrees.mean()),
        "degree_std": float(degrees.std()),
        "max_degree": float(degrees.max()),
        "hub_share": float(degrees.max()) / max(1, graph.n_edges),
        "modularity": _modularity(network),
        # Rounding leaves numbers like 1e-16, of either sign, where the graph is in several pieces.
        "algebraic_connectivity": float(laplacian[1]) if components == 1 and count > 1 else 0.0,
        "clustering": float(nx.average_clustering(network)),
        "input_output_path": sum(paths) / len(paths) if paths else 0.0,
        "spectral_radius": float(np.abs(np.linalg.eigvalsh(adjacency)).max()),
        "cycles": float(graph.n_edges - count + components),
        "wiring_cost": float(sum(distances[edge] for edge in graph.edges)),
        "isolated_areas": float(np.count_nonzero(degrees == 0)),
        "workspace_distance": float(workspace_distance(graph)),
    }


def workspace_distance(graph: ModuleGraph, constraints: GraphConstraints | None = None) -> int:
    """Fewest edges to add or remove until the graph is a global workspace of one hub: a star.

    Sizes of areas do not count, nor does the edge budget: a space whose budget is below a star's edges has no graph of
    distance 0.

    Args:
        graph: Any graph.
        constraints: Which edges are allowed. The star of a hub then has the allowed edges alone, and only those hubs
            count whose star is valid but for the budget; all hubs where none is. Default: every pair of areas is
            allowed.
    """
    stars = dict.fromkeys(range(graph.n_areas), graph.n_areas - 1) if constraints is None else _stars(constraints)
    # The hub's edges stay, the others go, and what its star lacks is added.
    return min(graph.n_edges + star - 2 * graph.degree(hub) for hub, star in stars.items())


@lru_cache(maxsize=64)
def _stars(constraints: GraphConstraints) -> Mapping[int, int]:
    """Edges of each hub's star, for the hubs that count."""
    of = {hub: [edge for edge in constraints.allowed_edges if hub in edge] for hub in range(len(constraints.areas))}
    valid = {hub: len(edges) for hub, edges in of.items() if constraints.connects(edges)}
    return MappingProxyType(valid or {hub: len(edges) for hub, edges in of.items()})


def _modularity(network: nx.Graph[int]) -> float:
    if not network.number_of_edges():
        return 0.0
    communities = louvain_communities(network, seed=0)
    return float(nx.community.modularity(network, communities))


def _input_output_paths(graph: ModuleGraph, network: nx.Graph[int]) -> list[int]:
    lengths: list[int] = []
    for start in graph.input_areas:
        reached = nx.single_source_shortest_path_length(network, start)
        lengths += [reached[end] for end in graph.output_areas if end in reached]
    return lengths
