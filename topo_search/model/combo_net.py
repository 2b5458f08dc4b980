"""The network: stable areas joined by trained negative feedback, an input layer and a readout."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from topo_search.engine import (
    AreaLayout,
    Call,
    Dynamics,
    cayley_transform,
    edge_cayley_blocks,
    rollouts,
    serving_engine,
)
from topo_search.engine.native import Series, series_for
from topo_search.errors import InputError
from topo_search.graph import ModuleGraph
from topo_search.model.certificate import Certificate, NetworkMatrices, certify_matrices
from topo_search.model.config import NetworkConfig
from topo_search.model.coupling import euler_cap, project_to_cap
from topo_search.model.subnetworks import sparse_area
from topo_search.seeds import generator

__all__ = ["ComboNet", "InputMap", "Routing", "build_network", "input_map"]

Routing = Mapping[int, Sequence[int]]
"""Input channels that an input area sees, by area; an input area that is not named sees all channels."""


class InputMap(NamedTuple):
    """Which (unit, channel) pairs carry a trainable input weight."""

    units: Tensor
    channels: Tensor


class ComboNet(nn.Module):
    """A modular recurrent network in metric coordinates (the Sparse Combo Net of Kozachkov et al.).

    ``tau y' = -y + W phi(y) + L y + W_in u + b`` with W block-diagonal and fixed, ``L = B - B^T`` trained through B and
    present only where the graph has an edge, and a linear readout of the output areas. The state is the published one
    times ``M^(1/2)``: for ReLU an exact change of units, for tanh each unit then saturates at its level ``m^(1/2)``.

    Trainable parameters: the coupling (``n_i n_j`` an edge; twice that for ``unconstrained``), one input weight for
    each unit of an input area and channel that it sees, one bias a unit, the readout weights and biases. With every
    area both input and output these are the paper's counts.

    Use :func:`build_network`; the constructor takes weights that exist.

    Args:
        graph: areas and edges.
        config: settings.
        channels: input channels C.
        classes: readout size.
        routing: channels that input areas see.
        weights: ``area_weights``, ``metric`` and ``input_weights``, ``input_bias``, ``readout_weights``,
            ``readout_bias``, ``coupling`` (and ``coupling_back`` for ``unconstrained``), packed as in the attributes.

    Raises:
        InputError: if an area sees a channel that does not exist, or there is no input or no output area.
    """

    area_weights: Tensor
    metric: Tensor
    coupling: nn.Parameter
    coupling_back: nn.Parameter
    input_weights: nn.Parameter
    input_bias: nn.Parameter
    readout_weights: nn.Parameter
    readout_bias: nn.Parameter

    def __init__(
        self,
        graph: ModuleGraph,
        config: NetworkConfig,
        *,
        channels: int,
        classes: int,
        routing: Routing,
        weights: Mapping[str, Tensor],
    ) -> None:
        super().__init__()
        self.graph, self.config, self.channels, self.classes = graph, config, channels, classes
        self.layout = AreaLayout(graph.sizes, graph.edges)
        self.routing = _checked_routing(graph, channels, routing)
        units, seen = input_map(self.layout, self.routing)
        # In order of units and channels: where every unit sees every channel the packed weights are the matrix.
        whole = len(units) == self.layout.n_units * channels
        self._input_index = None if whole else units * channels + seen
        self._output_index = self.layout.units_of(graph.output_areas)
        self.dynamics = Dynamics(self.layout, config.step_rule, config.h, config.activation, tuple(graph.input_areas))
        self.register_buffer("area_weights", weights["area_weights"].clone())
        self.register_buffer("metric", weights["metric"].clone())
        for name in self.parameter_names:
            self.register_parameter(name, nn.Parameter(weights[name].clone()))
        self._step: tuple[Tensor, Tensor] | None = None

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The trainable tensors, in a fixed order."""
        free = ("coupling_back",) if self.config.stability == "unconstrained" else ()
        return ("coupling", *free, "input_weights", "input_bias", "readout_weights", "readout_bias")

    @property
    def n_parameters(self) -> int:
        """Trainable parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def saturation(self) -> Tensor | None:
        """For tanh, the level of each unit in metric coordinates, ``(N,)``."""
        return self.metric.sqrt() if self.config.activation == "tanh" else None

    def dense_input_weights(self) -> Tensor:
        """Input weights, ``(N, C)``, zero where a unit does not see a channel."""
        shape = self.layout.n_units, self.channels
        if self._input_index is None:
            return self.input_weights.view(shape)
        dense = self.input_weights.new_zeros(shape[0] * shape[1])
        return dense.index_copy(0, self._input_index.to(dense.device), self.input_weights).view(shape)

    def dense_coupling(self) -> Tensor:
        """L, ``(N, N)``: ``B - B^T``, exactly skew; for ``unconstrained`` two directions trained apart."""
        lower = self.layout.dense_coupling(self.coupling)
        if self.config.stability == "unconstrained":
            return lower + self.layout.dense_coupling(self.coupling_back).t()
        return lower - lower.t()

    @torch.no_grad()
    def step_matrix(self) -> Tensor | None:
        """The Cayley step as stored, and as the reference engine executes it; ``None`` for Euler.

        Q, ``(N, N)``, for ``cayley``; for ``edge_cayley`` the packed steps of all edges (see
        :class:`topo_search.engine.AreaLayout`).

        Made in float64 and rounded, so that its defect of orthogonality is that of rounding at any coupling strength.
        Kept until the coupling changes.
        """
        if self.dynamics.integrator == "euler":
            return None
        coupling = self.coupling.detach()
        # By value: a tensor's version number does not count what a fused optimiser writes.
        if self._step is None or not _same(self._step[0], coupling):
            if self.dynamics.integrator == "edge_cayley":
                step = edge_cayley_blocks(self.layout, self.coupling.double(), self.config.h)
            else:
                step = cayley_transform(self.dense_coupling().double(), self.config.h)
            self._step = (coupling.clone(), step.to(coupling.dtype))
        return self._step[1]

    def states(
        self,
        inputs: Tensor,
        *,
        initial: Tensor | None = None,
        lengths: Tensor | None = None,
        all_states: bool = False,
    ) -> Tensor:
        """Run over sequences.

        Args:
            inputs: ``(T, B, C)``.
            initial: state before the first step, ``(B, N)``, metric coordinates; zero where not given.
            lengths: steps of each sequence, ``(B,)``, int64, 0 to T; all T where not given. A sequence is held in its
                state from its end on.
            all_states: return ``(T, B, N)`` instead of the last state ``(B, N)``.
        """
        return rollouts([self.call(inputs, initial=initial, lengths=lengths, all_states=all_states)])[0]

    def call(
        self,
        inputs: Tensor,
        *,
        initial: Tensor | None = None,
        lengths: Tensor | None = None,
        all_states: bool = False,
    ) -> Call:
        """What :meth:`states` asks of the engine; several networks' calls can be run as one."""
        # The native engine applies a Cayley step in factored form and needs no matrix.
        kept = not torch.is_grad_enabled() and serving_engine(self.coupling) == "reference"
        return Call(
            dynamics=self.dynamics,
            inputs=inputs,
            input_weights=self.dense_input_weights(),
            bias=self.input_bias,
            area_weights=self.area_weights,
            forward=self.coupling,
            backward=self.coupling_back if self.config.stability == "unconstrained" else None,
            step=self.step_matrix() if kept else None,
            saturation=self.saturation,
            initial=initial,
            lengths=lengths,
            all_states=all_states,
        )

    def readout(self, states: Tensor) -> Tensor:
        """Logits of states ``(..., N)``: ``(..., classes)``."""
        index = self._output_index
        first, count = int(index[0]), len(index)
        if int(index[-1]) - first == count - 1:
            read = states.narrow(-1, first, count)
        else:
            read = states.index_select(-1, index.to(states.device))
        return nn.functional.linear(read, self.readout_weights, self.readout_bias)

    def forward(self, inputs: Tensor, *, lengths: Tensor | None = None, all_states: bool = False) -> Tensor:
        """Logits after each sequence's last step, ``(B, classes)``, or after every step, ``(T, B, classes)``."""
        return self.readout(self.states(inputs, lengths=lengths, all_states=all_states))

    def project(self) -> None:
        """Bring the coupling back under its cap; does something only for certified Euler."""
        if self.config.stability == "certified" and self.dynamics.integrator == "euler":
            project_to_cap(self.layout, self.coupling.data, euler_cap(self.config.area_norm, self.config.h))

    @torch.no_grad()
    def matrices(self) -> NetworkMatrices:
        """The network as its certificate sees it: float64 matrices of the weights as they are."""
        free = self.config.stability == "unconstrained"
        coupling = self.dense_coupling() if free else self.layout.dense_coupling(self.coupling)
        step = self.step_matrix()
        return NetworkMatrices(
            sizes=self.graph.sizes,
            edges=self.graph.edges,
            area_weights=_float64(self.layout.dense_area_weights(self.area_weights)),
            coupling=_float64(coupling),
            steps=None if step is None else _float64(step),
            integrator=self.dynamics.integrator,
            dt=self.config.dt,
            tau=self.config.tau,
            stability=self.config.stability,
            series=self._series(),
        )

    def _series(self) -> Series | None:
        if self.dynamics.integrator != "cayley":
            return None
        return series_for(self.layout, self.coupling.detach().cpu().float(), self.config.h)

    def certificate(self) -> Certificate:
        """The certificate of the weights as they are."""
        return certify_matrices(self.matrices())


def _same(a: Tensor, b: Tensor) -> bool:
    return a.device == b.device and a.dtype == b.dtype and torch.equal(a, b)


def _float64(tensor: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return tensor.detach().to("cpu", torch.float64).numpy()


def _checked_routing(graph: ModuleGraph, channels: int, routing: Routing) -> dict[int, tuple[int, ...]]:
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


def _uniform(rng: np.random.Generator, bound: float, *shape: int) -> Tensor:
    return torch.from_numpy(rng.uniform(-bound, bound, shape)).float()


def _coupling_block(seed: int, name: str, i: int, j: int, sizes: Sequence[int], deviation: float) -> Tensor:
    rng = generator(seed, name, i, j, sizes[i], sizes[j])
    return torch.from_numpy(rng.normal(0.0, deviation, sizes[i] * sizes[j])).float()


def build_network(
    graph: ModuleGraph,
    config: NetworkConfig,
    *,
    channels: int,
    classes: int,
    seed: int,
    routing: Routing | None = None,
) -> ComboNet:
    """Make a network from a graph: the one builder of search, full training, ablation and certificate.

    Every block is drawn from a generator named by the seed, what it is and where it lies (common random numbers): area
    weights by area and size, the coupling of an edge by its two areas, so that two graphs share all blocks that both
    have. The coupling is drawn ``N(0, coupling_scale^2 / n)``, n the mean number of units an area, in metric
    coordinates (section S.3 of the paper; in original coordinates its norm would be 4e3 and more). Input weights are
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
    sizes = graph.sizes
    norm = config.area_norm if config.rescaled else None
    areas = [
        sparse_area(size, config.recipe_for(size), generator(seed, "area", index, size), norm=norm)
        for index, size in enumerate(sizes)
    ]
    deviation = config.coupling_scale / math.sqrt(sum(sizes) / len(sizes))
    seen = _checked_routing(graph, channels, routing or {})
    read = [sizes[area] for area in graph.output_areas]

    def coupling(name: str) -> Tensor:
        blocks = [_coupling_block(seed, name, i, j, sizes, deviation) for i, j in graph.edges]
        return torch.cat(blocks) if blocks else torch.zeros(0)

    readout = [
        _uniform(generator(seed, "readout", area, sizes[area]), 1 / math.sqrt(sum(read)), classes, sizes[area])
        for area in graph.output_areas
    ]
    weights = {
        "area_weights": torch.cat([torch.from_numpy(area.weights).float().reshape(-1) for area in areas]),
        "metric": torch.cat([torch.from_numpy(area.metric).float() for area in areas]),
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
    if config.stability == "unconstrained":
        # The transpose of an independent draw of the other direction has the same distribution.
        weights["coupling_back"] = coupling("coupling back")
    network = ComboNet(graph, config, channels=channels, classes=classes, routing=seen, weights=weights)
    network.project()
    return network
