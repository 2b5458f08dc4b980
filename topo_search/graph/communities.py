"""Communities of a graph of areas by Louvain's method, in whole numbers."""

from __future__ import annotations

import random

import networkx as nx

__all__ = ["louvain_communities"]

# A further level that gains less modularity than this is not begun.
THRESHOLD = 1e-7


def louvain_communities(network: nx.Graph[int], *, seed: int) -> list[set[int]]:
    """Communities of large modularity (Blondel, Guillaume, Lambiotte and Lefebvre, 2008).

    What ``networkx.community.louvain_communities`` finds, but that gains are compared as integers. In floats a move
    between two communities that are equally good may seem to gain some 1e-17, there and back again, without end.

    Args:
        network: with at least one edge, without weights and self-loops.
        seed: of the order in which areas are visited.
    """
    rng = random.Random(seed)
    level: nx.Graph[int] = nx.Graph()
    level.add_nodes_from(network)
    level.add_edges_from(network.edges, weight=1)
    total = level.number_of_edges()
    members = {node: {node} for node in level}
    gained = nx.community.modularity(level, [{node} for node in level])
    while True:
        parts = _moved(level, total, rng)
        before, gained = gained, nx.community.modularity(level, parts)
        communities = [set().union(*(members[node] for node in part)) for part in parts]
        if gained - before <= THRESHOLD:
            return communities
        level = _merged(level, parts)
        members = dict(enumerate(communities))


def _moved(level: nx.Graph[int], total: int, rng: random.Random) -> list[set[int]]:
    """Move each node to the neighbouring community where most is gained, until no move gains anything."""
    home = {node: index for index, node in enumerate(level)}
    parts = [{node} for node in level]
    degrees = dict(level.degree(weight="weight"))
    filled = [degrees[node] for node in level]
    order = list(level)
    rng.shuffle(order)
    moving = True
    while moving:
        moving = False
        for node in order:
            own, degree = home[node], degrees[node]
            filled[own] -= degree
            shared: dict[int, int] = {}
            for other, data in level[node].items():
                if other != node:
                    shared[home[other]] = shared.get(home[other], 0) + data["weight"]
            # The gain in modularity times 2 total^2, a whole number.
            worth = {part: 2 * total * weight - filled[part] * degree for part, weight in shared.items()}
            best, least = own, 2 * total * shared.get(own, 0) - filled[own] * degree
            for part, value in worth.items():
                if value > least:
                    best, least = part, value
            filled[best] += degree
            if best != own:
                parts[own].remove(node)
                parts[best].add(node)
                home[node], moving = best, True
    return [part for part in parts if part]


def _merged(level: nx.Graph[int], parts: list[set[int]]) -> nx.Graph[int]:
    """One node a community; what lies inside it is a self-loop."""
    home = {node: index for index, part in enumerate(parts) for node in part}
    merged: nx.Graph[int] = nx.Graph()
    merged.add_nodes_from(range(len(parts)))
    for first, second, data in level.edges(data=True):
        ends = home[first], home[second]
        known = merged.get_edge_data(*ends, default={"weight": 0})["weight"]
        merged.add_edge(*ends, weight=known + data["weight"])
    return merged
