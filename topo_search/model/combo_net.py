"""The network: stable areas joined by trained couplings, an input layer and a readout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from topo_search.engine import (
    AreaLayout,
    Call,
    cayley_transform,
    edge_cayley_blocks,
    resolvent,
    rollouts,
    serving_engine,
)
from topo_search.engine.native import Series, series_for
from topo_search.graph import ModuleGraph
from topo_search.model.certificate import Certificate, NetworkMatrices, certify_matrices
from topo_search.model.config import NetworkConfig
from topo_search.model.coupling import (
    euler_cap,
    imex_cap,
    project_small_gain,
    project_to_cap,
    symmetric_feedback,
)
from topo_search.model.dynamics import check_areas, dynamics_of
from topo_search.model.routing import Routing, checked_routing, input_map
from topo_search.model.subnetworks import guaranteed_rate
from topo_search.model.trained_areas import AreaWeights, TrainedAreas

__all__ = ["ComboNet", "Couplings"]


class Couplings(NamedTuple):
    """Packed blocks between areas as the engine takes them, see :class:`topo_search.engine.Call`.

    Attributes:
        forward: of the linear coupling, from the lower to the higher area of each edge; zero for ``nonlinear``.
        backward: of ``unconstrained``, transposed; else ``None``.
        symmetric: S of imperfect feedback, or ``None``.
        nonlinear_forward: of C, or ``None``.
        nonlinear_backward: of C, transposed, or ``None``.
    """

    forward: Tensor
    backward: Tensor | None
    symmetric: Tensor | None
    nonlinear_forward: Tensor | None
    nonlinear_backward: Tensor | None


class ComboNet(nn.Module):
    """A modular recurrent network in metric coordinates (the Combo Net of Kozachkov et al.).

    ``tau y' = r (-y + (W + C) phi(V y) + W_in u + b) + (K + S) y`` and a linear readout of the output areas. W and V
    are block-diagonal, V the identity but for areas whose metric is not diagonal; r is the speed ``tau / tau_i`` of
    each area. Between areas, where the graph has an edge: ``K = B - B^T``, linear negative feedback; S, the symmetric
    part of imperfect feedback; C, a nonlinear coupling. A network has the parts that its settings name. The state is
    the published one times ``M^(1/2)``: for ReLU and diagonal M an exact change of units, for tanh each unit then
    saturates at its level ``m^(1/2)``.

    Trainable parameters: the linear coupling (``n_i n_j`` an edge; twice that for ``unconstrained``), as many for S and
    twice as many for C, the numbers of trained areas, one input weight for each unit of an input area and channel that
    it sees, one bias a unit, the readout weights and biases. With fixed areas, linear negative feedback and every area
    both input and output these are the paper's counts.

    Use :func:`topo_search.model.build_network`; the constructor takes weights that exist.

    Args:
        graph: areas and edges.
        config: settings.
        channels: input channels C.
        classes: readout size.
        routing: channels that input areas see.
        weights: ``area_weights``, ``metric``, ``area_gauge`` where an area's metric is not diagonal, and all of
            :attr:`parameter_names`, packed; ``area_numbers`` and ``area_mask`` where areas are trained.

    Raises:
        InputError: if an area sees a channel that does not exist, there is no input or no output area, or the settings
            name an area that does not exist.
    """

    area_weights: Tensor
    area_gauge: Tensor | None
    metric: Tensor
    coupling: nn.Parameter
    coupling_back: nn.Parameter
    nonlinear_forward: nn.Parameter
    nonlinear_backward: nn.Parameter
    symmetric: nn.Parameter
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
        check_areas(graph, config)
        self.layout = AreaLayout(graph.sizes, graph.edges)
        self.routing = checked_routing(graph, channels, routing)
        units, seen = input_map(self.layout, self.routing)
        # In order of units and channels: where every unit sees every channel the packed weights are the matrix.
        whole = len(units) == self.layout.n_units * channels
        self._input_index = None if whole else units * channels + seen
        self._output_index = self.layout.units_of(graph.output_areas)
        self.dynamics = dynamics_of(graph, config)
        self.recipes = [config.recipe_for(size, area) for area, size in enumerate(graph.sizes)]
        self.register_buffer("area_weights", weights["area_weights"].clone())
        self.register_buffer("area_gauge", weights["area_gauge"].clone() if "area_gauge" in weights else None)
        self.register_buffer("metric", weights["metric"].clone())
        for name in self.parameter_names:
            self.register_parameter(name, nn.Parameter(weights[name].clone()))
        self.trained_areas = None
        if any(recipe.trainable for recipe in self.recipes):
            raw, mask = weights["area_numbers"], weights["area_mask"]
            self.trained_areas = TrainedAreas(self.recipes, graph.sizes, config.area_norm, raw=raw, mask=mask)
            self.trained_areas.clear(AreaWeights(self.area_weights, self.area_gauge))
        self._step: tuple[Tensor, Tensor] | None = None

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The trainable tensors of this module itself, in a fixed order."""
        config = self.config
        names = [] if config.coupling == "nonlinear" else ["coupling"]
        names += ["coupling_back"] if config.stability == "unconstrained" else []
        names += ["nonlinear_forward", "nonlinear_backward"] if config.coupling != "feedback" else []
        names += ["symmetric"] if config.imperfect_margin is not None else []
        return (*names, "input_weights", "input_bias", "readout_weights", "readout_bias")

    @property
    def n_parameters(self) -> int:
        """Trainable parameters; numbers of trained areas that are held at zero are not counted."""
        own = sum(int(getattr(self, name).numel()) for name in self.parameter_names)
        return own + (0 if self.trained_areas is None else self.trained_areas.n_trained)

    @property
    def saturation(self) -> Tensor | None:
        """Where an area has tanh, the level of each unit in metric coordinates, ``(N,)``."""
        return self.metric.sqrt() if "tanh" in self.dynamics.activations else None

    @property
    def area_rates(self) -> Tensor:
        """The contraction rate that each area is sure to have, its speed included, ``(p,)``, per tau."""
        pairs = zip(self.recipes, self.dynamics.area_speeds, strict=True)
        rates = [speed * guaranteed_rate(recipe, self.config.area_norm) for recipe, speed in pairs]
        return torch.tensor(rates, dtype=torch.float64, device=self.area_weights.device)

    def areas(self) -> AreaWeights:
        """W and V as they are; differentiable in the numbers of trained areas."""
        fixed = AreaWeights(self.area_weights, self.area_gauge)
        return fixed if self.trained_areas is None else self.trained_areas.put_into(fixed)

    def couplings(self) -> Couplings:
        """Blocks between areas as they act: nonlinear and symmetric ones scaled to what the areas bear."""
        config, layout = self.config, self.layout
        linear = self.area_weights.new_zeros(layout.n_coupling) if config.coupling == "nonlinear" else self.coupling
        back = self.coupling_back if config.stability == "unconstrained" else None
        symmetric = up = down = None
        if config.imperfect_margin is not None:
            symmetric = symmetric_feedback(layout, self.symmetric, self.area_rates, margin=config.imperfect_margin)
        if config.coupling != "feedback":
            speeds = torch.tensor(self.dynamics.area_speeds, dtype=torch.float64, device=linear.device)
            up, down = project_small_gain(
                layout,
                self.nonlinear_forward,
                self.nonlinear_backward,
                self.area_rates,
                margin=config.gain_margin,
                speeds=speeds,
                # Areas may be scaled against each other only where no skew coupling ties their metrics.
                bounds=("scaled",) if config.coupling == "nonlinear" else ("norm",),
            )
        return Couplings(linear, back, symmetric, up, down)

    def dense_input_weights(self) -> Tensor:
        """Input weights, ``(N, C)``, zero where a unit does not see a channel."""
        shape = self.layout.n_units, self.channels
        if self._input_index is None:
            return self.input_weights.view(shape)
        dense = self.input_weights.new_zeros(shape[0] * shape[1])
        return dense.index_copy(0, self._input_index.to(dense.device), self.input_weights).view(shape)

    def dense_coupling(self) -> Tensor:
        """The linear coupling L, ``(N, N)``: ``B - B^T + S``; for ``unconstrained`` two directions trained apart."""
        parts, dense = self.couplings(), self.layout.dense_coupling
        lower = dense(parts.forward)
        if parts.backward is not None:
            return lower + dense(parts.backward).t()
        skew = lower - lower.t()
        if parts.symmetric is None:
            return skew
        symmetric = dense(parts.symmetric)
        return skew + (symmetric + symmetric.t())

    @torch.no_grad()
    def step_matrix(self) -> Tensor | None:
        """The matrix that a step applies, as the reference engine executes it; ``None`` for Euler.

        Q, ``(N, N)``, for ``cayley``; for ``edge_cayley`` the packed steps of all edges (see
        :class:`topo_search.engine.AreaLayout`); ``(I - c K)^-1`` for ``imex`` and ``resolvent``.

        Made in float64 and rounded, so that its defect is that of rounding at any coupling strength. Kept until the
        coupling changes.
        """
        rule, h = self.dynamics.integrator, self.config.h
        if rule == "euler":
            return None
        coupling = self.couplings().forward.detach()
        # By value: a tensor's version number does not count what a fused optimiser writes.
        if self._step is None or not _same(self._step[0], coupling):
            lower = self.layout.dense_coupling(coupling.double())
            if rule == "edge_cayley":
                step = edge_cayley_blocks(self.layout, coupling.double(), h)
            elif rule == "cayley":
                step = cayley_transform(lower - lower.t(), h)
            else:
                step = resolvent(lower - lower.t(), self.dynamics.implicit)
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
        kept = not torch.is_grad_enabled() and serving_engine(self.area_weights) == "reference"
        weights, gauge = self.areas()
        parts = self.couplings()
        return Call(
            dynamics=self.dynamics,
            inputs=inputs,
            input_weights=self.dense_input_weights(),
            bias=self.input_bias,
            area_weights=weights,
            gauge=gauge,
            **parts._asdict(),
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
        """Bring the coupling back under its cap; does something only for certified Euler and IMEX steps."""
        if self.config.capped:
            cap = euler_cap if self.dynamics.integrator == "euler" else imex_cap
            project_to_cap(self.layout, self.coupling.data, cap(self.config.area_norm, self.config.h))

    @torch.no_grad()
    def matrices(self) -> NetworkMatrices:
        """The network as its certificate sees it: float64 matrices of the weights as they are."""
        layout, parts, areas = self.layout, self.couplings(), self.areas()
        free = parts.backward is not None
        step = self.step_matrix() if self.dynamics.integrator in ("cayley", "edge_cayley") else None
        symmetric = nonlinear = speeds = None
        if parts.symmetric is not None:
            lower = layout.dense_coupling(parts.symmetric)
            symmetric = _float64(lower + lower.t())
        if parts.nonlinear_forward is not None and parts.nonlinear_backward is not None:
            up, down = (layout.dense_coupling(part) for part in (parts.nonlinear_forward, parts.nonlinear_backward))
            nonlinear = _float64(up + down.t())
        if self.dynamics.speeds is not None:
            speeds = np.repeat(self.dynamics.speeds, layout.sizes)
        return NetworkMatrices(
            sizes=self.graph.sizes,
            edges=self.graph.edges,
            area_weights=_float64(layout.dense_area_weights(areas.weights)),
            coupling=_float64(self.dense_coupling() if free else layout.dense_coupling(parts.forward)),
            steps=None if step is None else _float64(step),
            integrator=self.dynamics.integrator,
            dt=self.config.dt,
            tau=self.config.tau,
            stability=self.config.stability,
            series=self._series(),
            gauge=None if areas.gauge is None else _float64(layout.dense_area_weights(areas.gauge)),
            nonlinear=nonlinear,
            symmetric=symmetric,
            speeds=speeds,
        )

    def _series(self) -> Series | None:
        if self.dynamics.integrator in ("euler", "edge_cayley") or not self._plain:
            return None
        return series_for(self.layout, self.couplings().forward.detach().cpu().float(), self.dynamics.implicit)

    @property
    def _plain(self) -> bool:
        """Whether the native engine could serve, which alone uses a series."""
        return self.area_gauge is None and self.config.coupling == "feedback" and self.config.imperfect_margin is None

    def certificate(self) -> Certificate:
        """The certificate of the weights as they are."""
        return certify_matrices(self.matrices())


def _same(a: Tensor, b: Tensor) -> bool:
    return a.device == b.device and a.dtype == b.dtype and torch.equal(a, b)


def _float64(tensor: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return tensor.detach().to("cpu", torch.float64).numpy()
