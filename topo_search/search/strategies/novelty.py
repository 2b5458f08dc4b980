"""How far a graph lies from the others that were tried."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from topo_search.graph import ModuleGraph

__all__ = ["novelty"]


def novelty(graphs: Sequence[ModuleGraph], others: Sequence[ModuleGraph], *, neighbours: int) -> NDArray[np.float64]:
    """Mean number of edges in which each graph differs from its nearest others (Hamming distance of the edge sets).

    Areas are compared as they are numbered. A graph that is among the others, under the same key, is not compared
    with itself.

    Source: Lehman and Stanley, "Abandoning objectives: evolution through the search for novelty alone" (2011). Departs
    from it in that the others are the population alone, without an archive.

    Args:
        graphs: of which novelty is asked.
        others: what they are compared with, all over the same areas.
        neighbours: how many of the nearest count; all where there are fewer.

    Returns:
        ``(graphs,)``, 0 where there is no other.
    """
    seen = {other.key: _bits(other) for other in others}
    found = np.zeros(len(graphs))
    for index, graph in enumerate(graphs):
        own = _bits(graph)
        distances = sorted((own ^ bits).bit_count() for key, bits in seen.items() if key != graph.key)[:neighbours]
        if distances:
            found[index] = sum(distances) / len(distances)
    return found


def _bits(graph: ModuleGraph) -> int:
    """The edge set as a bit mask."""
    mask = 0
    for i, j in graph.edges:
        mask |= 1 << (i * graph.n_areas + j)
    return mask
