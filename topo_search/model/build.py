"""The one builder of networks: search, full training, ablation and certificate all use it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from topo_search.graph import ModuleGraph
from topo_search.model.combo_net import ComboNet
from topo_search.model.config import NetworkConfig
from topo_search.model.dynamics import check_areas
from topo_search.model.recipes import Recipe
from topo_search.model.routing import Routing, checked_routing
from topo_search.model.subnetworks import draw, fixed_area, realise
from topo_search.seeds import generator

__all__ = ["build_network"]


class _AreaTensors(NamedTuple):
    weights: Tensor
    metric: Tensor
    gauge: Tensor | None
    numbers: Tensor
    mask: Tensor


def _uniform(rng: np.random.Generator, bound: float, *shape: int) -> Tensor:
    return torch.from_numpy(rng.uniform(-bound, bound, shape)).float()


def _coupling_block(seed: int, name: str, i: int, j: int, sizes: Sequence[int], deviation: float) -> Tensor:
    rng = generator(seed, name, i, j, sizes[i], sizes[j])
    return torch.from_numpy(rng.normal(0.0, deviation, sizes[i] * sizes[j])).float()


def _area(recipe: Recipe, size: int, rng: np.random.Generator, norm: float | None) -> _AreaTensors:
    none = torch.zeros(0)
    if not recipe.trainable:
        area = fixed_area(recipe, size, rng, norm)
        weights, metric = (torch.from_numpy(array).float() for array in (area.weights, area.metric))
        gauge = None if area.gauge is None else torch.from_numpy(area.gauge).float().reshape(-1)
        return _AreaTensors(weights.reshape(-1), metric, gauge, none, none)
    start = draw(recipe, size, rng, norm)
    numbers, mask, metric = (torch.from_numpy(array).float() for array in (start.raw, start.mask, start.metric))
    made = realise(recipe, size, numbers, mask, norm)
    gauge = None if made.gauge is None else made.gauge.reshape(-1)
    return _AreaTensors(made.weights.reshape(-1), metric, gauge, numbers, mask)


def _gauge(area: _AreaTensors, size: int) -> Tensor:
    return torch.eye(size).reshape(-1) if area.gauge is None else area.gauge


def build_network(
    graph: ModuleGraph,
    config: NetworkConfig,
    *,
    channels: int,
    classes: int,
    seed: int,
    routing: Routing | None = None,
) -> ComboNet:
    """Make a network from a graph.

    Every block is drawn from a generator named by the seed, what it is and where it lies (common random numbers): area
    weights by area and size, the coupling of an edge by its two areas, so that two graphs share all blocks that both
    have. The coupling is drawn ``N(0, coupling_scale^2 / n)``, n the mean number of units an area, in metric
    coordinates (section S.3 of the paper; in original coordinates its norm would be 4e3 and more), and so are the
    numbers behind nonlinear and imperfect couplings. Input weights are
    uniform in ``+- input_scale / sqrt(channels that the area sees)``, biases in ``+- input_scale / sqrt(C)``, readout
    weights and biases in ``+- 1 / sqrt(units read out)``.

    Args:
        graph: areas and edges.
        config: settings.
        channels: input channels C of the task.
        classes: readout size.
        seed: of the network.
        routing: channels that input areas see.

    Raises:
        InputError: as :class:`ComboNet`, and if the recipe finds no stable area.
    """
    check_areas(graph, config)
    sizes = graph.sizes
    norm = config.area_norm if config.rescaled else None
    areas = [
        _area(config.recipe_for(size, index), size, generator(seed, "area", index, size), norm)
        for index, size in enumerate(sizes)
    ]
    deviation = config.coupling_scale / math.sqrt(sum(sizes) / len(sizes))
    seen = checked_routing(graph, channels, routing or {})
    read = [sizes[area] for area in graph.output_areas]

    def coupling(name: str) -> Tensor:
        blocks = [_coupling_block(seed, name, i, j, sizes, deviation) for i, j in graph.edges]
        return torch.cat(blocks) if blocks else torch.zeros(0)

    readout = [
        _uniform(generator(seed, "readout", area, sizes[area]), 1 / math.sqrt(sum(read)), classes, sizes[area])
        for area in graph.output_areas
    ]
    weights = {
        "area_weights": torch.cat([area.weights for area in areas]),
        "metric": torch.cat([area.metric for area in areas]),
        "coupling": coupling("coupling"),
        "input_weights": torch.cat(
            [
                _uniform(
                    generator(seed, "input", area, sizes[area]),
                    config.input_scale / math.sqrt(len(seen[area])),
                    sizes[area] * len(seen[area]),
                )
                for area in sorted(seen)
            ]
        ),
        "input_bias": torch.cat(
            [
                _uniform(generator(seed, "bias", area, size), config.input_scale / math.sqrt(channels), size)
                for area, size in enumerate(sizes)
            ]
        ),
        "readout_weights": torch.cat(readout, dim=1),
        "readout_bias": _uniform(generator(seed, "readout bias"), 1 / math.sqrt(sum(read)), classes),
    }
    if any(area.gauge is not None for area in areas):
        weights["area_gauge"] = torch.cat([_gauge(area, size) for area, size in zip(areas, sizes, strict=True)])
    weights |= {"area_numbers": torch.cat([area.numbers for area in areas])}
    weights |= {"area_mask": torch.cat([area.mask for area in areas])}
    if config.coupling != "feedback":
        weights |= {name: coupling(name.replace("_", " ")) for name in ("nonlinear_forward", "nonlinear_backward")}
    if config.imperfect_margin is not None:
        weights["symmetric"] = coupling("symmetric")
    if config.stability == "unconstrained":
        # The transpose of an independent draw of the other direction has the same distribution.
        weights["coupling_back"] = coupling("coupling back")
    network = ComboNet(graph, config, channels=channels, classes=classes, routing=seen, weights=weights)
    network.project()
    return network
