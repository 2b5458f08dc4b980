"""One network over one batch of sequences: what the time loop is called with, checked once for every engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from topo_search.engine.integrators import Integrator
from topo_search.engine.layout import AreaLayout
from topo_search.engine.lengths import check_lengths

__all__ = ["Activation", "Call", "Dynamics"]

Activation = Literal["relu", "tanh"]


@dataclass(frozen=True)
class Dynamics:
    """How a state advances: everything of the time loop that is not a weight.

    Args:
        layout: sizes and edges of the areas.
        integrator: see :mod:`topo_search.engine.integrators`.
        h: step, ``dt / tau``, in ``(0, 1]``.
        activation: ``relu`` or ``tanh``, for all areas or one an area.
        input_areas: areas that see the input; the others' rows of the input weights must be zero, and an engine may
            leave their gradient at zero. All areas where ``None``.
        speeds: ``tau / tau_i`` of each area, positive, ``h`` times each at most 1; 1 for all areas where ``None``.

    Raises:
        ValueError: if ``activation`` or ``speeds`` are not one an area, or a speed is out of range.
    """

    layout: AreaLayout
    integrator: Integrator
    h: float
    activation: Activation | tuple[Activation, ...]
    input_areas: tuple[int, ...] | None = None
    speeds: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        areas = len(self.layout.sizes)
        if not isinstance(self.activation, str) and len(self.activation) != areas:
            raise ValueError(f"activations must be one for each of {areas} areas, got {len(self.activation)}")
        if self.speeds is None:
            return
        if len(self.speeds) != areas:
            raise ValueError(f"speeds must be one for each of {areas} areas, got {len(self.speeds)}")
        # Within rounding of dt / tau_i = 1.
        if not all(0 < self.h * speed <= 1 + 1e-12 for speed in self.speeds):
            raise ValueError(f"h times a speed must lie in (0, 1], got h {self.h} and speeds {self.speeds}")

    @property
    def activations(self) -> tuple[Activation, ...]:
        """One an area."""
        if isinstance(self.activation, str):
            return (self.activation,) * len(self.layout.sizes)
        return self.activation

    @property
    def area_speeds(self) -> tuple[float, ...]:
        """One an area."""
        return (1.0,) * len(self.layout.sizes) if self.speeds is None else self.speeds

    @property
    def implicit(self) -> float:
        """The c of ``(I - c K)^-1``, which a step applies: h for ``resolvent``, h / 2 otherwise."""
        return self.h if self.integrator == "resolvent" else 0.5 * self.h


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """Arguments of :func:`topo_search.engine.rollout`, which explains them.

    Raises:
        ValueError: if ``inputs`` are not three-dimensional or empty, another tensor does not fit, ``backward`` is given
            for an integrator whose coupling is skew by construction (all but ``euler``), or only one of
            ``nonlinear_forward`` and ``nonlinear_backward``.
    """

    dynamics: Dynamics
    inputs: Tensor
    input_weights: Tensor
    bias: Tensor
    area_weights: Tensor
    forward: Tensor
    backward: Tensor | None = None
    gauge: Tensor | None = None
    symmetric: Tensor | None = None
    nonlinear_forward: Tensor | None = None
    nonlinear_backward: Tensor | None = None
    step: Tensor | None = None
    saturation: Tensor | None = None
    initial: Tensor | None = None
    lengths: Tensor | None = None
    all_states: bool = False

    def __post_init__(self) -> None:
        shape = tuple(self.inputs.shape)
        if len(shape) != 3 or shape[0] < 1 or shape[1] < 1:
            raise ValueError(f"inputs must have shape (T, B, C) with T and B at least 1, got {shape}")
        if self.lengths is not None:
            check_lengths(self.lengths, shape[0], shape[1])
        integrator, layout = self.dynamics.integrator, self.dynamics.layout
        if integrator != "euler" and self.backward is not None:
            raise ValueError(f"backward blocks were given, but a step of {integrator} takes a skew coupling")
        if (self.nonlinear_forward is None) != (self.nonlinear_backward is None):
            raise ValueError("a nonlinear coupling has two directions: expected both nonlinear blocks or none")
        units = layout.n_units
        expected: dict[str, tuple[int, ...]] = {
            "input_weights": (units, shape[2]),
            "bias": (units,),
            "area_weights": (layout.n_area_weights,),
            "forward": (layout.n_coupling,),
            "backward": (layout.n_coupling,),
            "gauge": (layout.n_area_weights,),
            "symmetric": (layout.n_coupling,),
            "nonlinear_forward": (layout.n_coupling,),
            "nonlinear_backward": (layout.n_coupling,),
            "step": (layout.n_edge_steps,) if integrator == "edge_cayley" else (units, units),
            "saturation": (units,),
            "initial": (shape[1], units),
        }
        for name, wanted in expected.items():
            tensor: Tensor | None = getattr(self, name)
            if tensor is not None and tuple(tensor.shape) != wanted:
                raise ValueError(f"{name} of {integrator} must have shape {wanted}, got {tuple(tensor.shape)}")

    @property
    def plain(self) -> bool:
        """Whether the areas meet in linear negative feedback (or free linear feedback) alone, in diagonal metrics."""
        return self.gauge is None and self.symmetric is None and self.nonlinear_forward is None

    @property
    def weights(self) -> tuple[Tensor | None, ...]:
        """What the result of a plain network can be differentiated in, in the order of the fields."""
        return (
            self.inputs,
            self.input_weights,
            self.bias,
            self.area_weights,
            self.forward,
            self.backward,
            self.initial,
        )

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Of the states returned."""
        steps, batch, _ = self.inputs.shape
        units = self.dynamics.layout.n_units
        return (steps, batch, units) if self.all_states else (batch, units)
