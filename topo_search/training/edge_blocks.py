"""The numbers of each edge: reading them edge by edge, and the same network on other edges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from topo_search.engine import AreaLayout
from topo_search.graph import Edge
from topo_search.model import ComboNet

__all__ = ["EDGE_PARAMETERS", "by_edge", "edge_parameters", "repacked", "with_edges"]

EDGE_PARAMETERS = ("coupling", "coupling_back", "nonlinear_forward", "nonlinear_backward", "symmetric")
"""Trainable tensors of a network that hold one block an edge; a network has those that its settings name."""


def edge_parameters(network: ComboNet) -> dict[str, Tensor]:
    """The network's tensors of blocks between areas, packed in order of edges; not copies."""
    return {name: getattr(network, name) for name in EDGE_PARAMETERS if name in network.parameter_names}


def by_edge(layout: AreaLayout, packed: Mapping[str, Tensor]) -> dict[Edge, Tensor]:
    """All numbers of each edge as one vector, whatever tensors they come from.

    Args:
        layout: of the network.
        packed: tensors as :func:`edge_parameters` gives them, of one network.
    """
    counts = [layout.sizes[i] * layout.sizes[j] for i, j in layout.edges]
    parts = [torch.split(tensor, counts) for tensor in packed.values()]
    return {edge: torch.cat([part[index] for part in parts]) for index, edge in enumerate(layout.edges)}


def repacked(tensor: Tensor, before: AreaLayout, after: AreaLayout) -> Tensor:
    """A packed tensor for other edges of the same areas: shared blocks are carried over, new ones are zero."""
    blocks = dict(zip(before.edges, before.coupling_blocks(tensor), strict=True))
    parts = [
        blocks[i, j].reshape(-1) if (i, j) in blocks else tensor.new_zeros(after.sizes[i] * after.sizes[j])
        for i, j in after.edges
    ]
    return torch.cat(parts) if parts else tensor.new_zeros(0)


@torch.no_grad()
def with_edges(network: ComboNet, edges: Iterable[Edge]) -> ComboNet:
    """The same network on other edges: what both have is carried over, the blocks of new edges are zero.

    The form is kept, so that whatever holds for every coupling (the certificate of Cayley steps) holds for it; a
    coupling under a cap is brought below it again, as taking blocks away may raise its norm.

    Raises:
        GraphError: if an edge is given twice or joins no two areas.
    """
    graph = network.graph.with_edges(edges)
    layout = AreaLayout(graph.sizes, graph.edges)
    weights: dict[str, Tensor] = {"area_weights": network.area_weights, "metric": network.metric}
    if network.area_gauge is not None:
        weights["area_gauge"] = network.area_gauge
    if network.trained_areas is not None:
        weights |= {"area_numbers": network.trained_areas.raw, "area_mask": network.trained_areas.mask}
    for name in network.parameter_names:
        tensor = getattr(network, name).detach()
        weights[name] = repacked(tensor, network.layout, layout) if name in EDGE_PARAMETERS else tensor
    moved = ComboNet(
        graph,
        network.config,
        channels=network.channels,
        classes=network.classes,
        routing=network.routing,
        weights=weights,
    )
    moved.project()
    return moved
