"""Recursion: networks joined into one, whose areas keep the weights that they have.

An assembly of areas is an area of a larger assembly: negative feedback between areas of different networks is skew like
that within them, so what contracted goes on contracting, at the slowest rate (Kozachkov, Ennis and Slotine). The result
is a network like any other and can be joined again, to any depth. :mod:`topo_search.model.assembly` says what is known
of the whole from the certificates of its parts alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

import torch
from torch import Tensor

from topo_search.errors import InputError
from topo_search.graph import join_graphs
from topo_search.model.build import build_network
from topo_search.model.combo_net import ComboNet
from topo_search.model.config import AreaSettings, NetworkConfig

__all__ = ["join_networks"]

End = tuple[int, int]

# What networks must share to be one network: the rest is said area by area.
SHARED = ("stability", "dt", "area_norm", "coupling", "gain_margin", "imperfect_margin", "input_scale")


def join_networks(networks: Sequence[ComboNet], edges: Iterable[tuple[End, End]], *, seed: int) -> ComboNet:
    """One network of several: all areas, all edges with their weights, and new edges between them.

    The networks see the same channels. Each one's readout goes on reading its own areas, with weights and biases
    divided by the number of networks, so that without new edges the logits are the mean of theirs. New edges are drawn
    as in :func:`build_network`.

    Args:
        networks: at least one, with the same channels, classes, step and arm.
        edges: pairs of ends in either order, each end ``(network, area)`` with the area counted within its network.
        seed: of the new edges.

    Raises:
        InputError: if the networks do not fit each other, their areas are trained, or an edge cannot be.
    """
    if not networks:
        raise InputError("expected at least one network to join, got none")
    config = _joined_config(networks)
    graph = join_graphs([network.graph for network in networks], edges)
    first = [0, *accumulate(network.graph.n_areas for network in networks)]
    routing = {
        start + area: tuple(seen)
        for start, network in zip(first, networks, strict=False)
        for area, seen in network.routing.items()
    }
    whole = build_network(
        graph, config, channels=networks[0].channels, classes=networks[0].classes, seed=seed, routing=routing
    )
    _put_areas(whole, networks)
    _put_edges(whole, networks, first)
    _put_readout(whole, networks)
    whole.project()
    return whole


def _joined_config(networks: Sequence[ComboNet]) -> NetworkConfig:
    one = networks[0]
    for index, network in enumerate(networks):
        if (network.channels, network.classes) != (one.channels, one.classes):
            raise InputError(
                f"network {index} has {network.channels} channels and {network.classes} classes: expected "
                f"{one.channels} and {one.classes} as network 0"
            )
        if network.trained_areas is not None:
            raise InputError(f"network {index} has trained areas: expected networks whose areas are fixed")
        different = [name for name in SHARED if getattr(network.config, name) != getattr(one.config, name)]
        different += [] if network.config.step_rule == one.config.step_rule else ["integrator"]
        if different:
            raise InputError(f"network {index} has another {', '.join(different)} than network 0: expected the same")
    settings = [
        AreaSettings(
            recipe=network.config.recipe_for(size, area),
            activation=network.config.activation_of(area),
            tau=network.config.tau / network.config.speed_of(area),
        )
        for network in networks
        for area, size in enumerate(network.graph.sizes)
    ]
    return one.config.model_copy(update={"areas": dict(enumerate(settings))})


@torch.no_grad()
def _put_areas(whole: ComboNet, networks: Sequence[ComboNet]) -> None:
    whole.area_weights.copy_(torch.cat([network.area_weights for network in networks]))
    whole.metric.copy_(torch.cat([network.metric for network in networks]))
    if whole.area_gauge is not None:
        gauges = [
            torch.cat([torch.eye(size).reshape(-1) for size in network.graph.sizes])
            if network.area_gauge is None
            else network.area_gauge
            for network in networks
        ]
        whole.area_gauge.copy_(torch.cat(gauges))
    # In order of areas, as in each network.
    whole.input_weights.copy_(torch.cat([network.input_weights for network in networks]))
    whole.input_bias.copy_(torch.cat([network.input_bias for network in networks]))


@torch.no_grad()
def _put_edges(whole: ComboNet, networks: Sequence[ComboNet], first: Sequence[int]) -> None:
    names = ("coupling", "coupling_back", "nonlinear_forward", "nonlinear_backward", "symmetric")
    for name in [name for name in names if name in whole.parameter_names]:
        place = dict(zip(whole.layout.edges, whole.layout.coupling_blocks(getattr(whole, name).data), strict=True))
        for start, network in zip(first, networks, strict=False):
            blocks = network.layout.coupling_blocks(_numbers(network, name))
            for (i, j), block in zip(network.layout.edges, blocks, strict=True):
                place[i + start, j + start].copy_(block)


def _numbers(network: ComboNet, name: str) -> Tensor:
    """Numbers that make a coupling act in the whole as it acts in its network: already scaled to what areas bear."""
    numbers: Tensor = getattr(network, name)
    if name in ("coupling", "coupling_back"):
        return numbers
    acting: Tensor = getattr(network.couplings(), name)
    if name != "symmetric" or not numbers.any():
        return acting
    assert network.config.imperfect_margin is not None
    rates, layout = network.area_rates, network.layout
    bearable = [(rates[i] * rates[j]).sqrt().expand(layout.sizes[i] * layout.sizes[j]) for i, j in layout.edges]
    return (acting / ((1 - network.config.imperfect_margin) * torch.cat(bearable))).to(acting.dtype)


@torch.no_grad()
def _put_readout(whole: ComboNet, networks: Sequence[ComboNet]) -> None:
    share = 1 / len(networks)
    whole.readout_weights.copy_(share * torch.cat([network.readout_weights for network in networks], dim=1))
    biases: list[Tensor] = [network.readout_bias for network in networks]
    whole.readout_bias.copy_(share * torch.stack(biases).sum(0))
