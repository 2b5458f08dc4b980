"""What the settings of a network say of its time loop."""

from __future__ import annotations

from topo_search.engine import AreaLayout, Dynamics
from topo_search.errors import InputError
from topo_search.graph import ModuleGraph
from topo_search.model.config import NetworkConfig

__all__ = ["check_areas", "dynamics_of"]


def check_areas(graph: ModuleGraph, config: NetworkConfig) -> None:
    """Raise InputError where settings name an area that the graph does not have."""
    for area in config.areas:
        if not 0 <= area < len(graph.sizes):
            raise InputError(f"network.areas names area {area}: expected one of 0 to {len(graph.sizes) - 1}")


def dynamics_of(graph: ModuleGraph, config: NetworkConfig) -> Dynamics:
    """How the states of a network with this graph and these settings advance."""
    areas = range(len(graph.sizes))
    speeds = tuple(config.speed_of(area) for area in areas)
    activations = tuple(config.activation_of(area) for area in areas)
    return Dynamics(
        AreaLayout(graph.sizes, graph.edges),
        config.step_rule,
        config.h,
        activations[0] if len(set(activations)) == 1 else activations,
        tuple(graph.input_areas),
        None if set(speeds) == {1.0} else speeds,
    )
