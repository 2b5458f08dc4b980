"""Which input channels each unit sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from topo_search.engine import AreaLayout
from topo_search.errors import InputError
from topo_search.graph import ModuleGraph

__all__ = ["InputMap", "Routing", "checked_routing", "input_map"]

Routing = Mapping[int, Sequence[int]]
"""Input channels that an input area sees, by area; an input area that is not named sees all channels."""


class InputMap(NamedTuple):
    """Which (unit, channel) pairs carry a trainable input weight."""

    units: Tensor
    channels: Tensor


def checked_routing(graph: ModuleGraph, channels: int, routing: Routing) -> dict[int, tuple[int, ...]]:
    """Channels of every input area, all where the routing does not name it."""
    if not graph.input_areas or not graph.output_areas:
        raise InputError("a network needs an input area and an output area: expected at least one of each role")
    for area, seen in routing.items():
        if area not in graph.input_areas:
            raise InputError(f"area {area} is given input channels but is not an input area")
        if not seen or len(set(seen)) != len(seen) or min(seen) < 0 or max(seen) >= channels:
            raise InputError(
                f"area {area} sees channels {list(seen)}: expected distinct channels from 0 to {channels - 1}"
            )
    return {area: tuple(routing.get(area, range(channels))) for area in graph.input_areas}


def input_map(layout: AreaLayout, routing: Routing) -> InputMap:
    """The (unit, channel) pairs with a trainable input weight, in their packed order: by area, unit and channel."""
    units, channels = [], []
    for area in sorted(routing):
        seen = torch.tensor(list(routing[area]))
        members = torch.arange(layout.offsets[area], layout.offsets[area + 1])
        units.append(members.repeat_interleave(len(seen)))
        channels.append(seen.repeat(len(members)))
    return InputMap(torch.cat(units), torch.cat(channels))
