"""One network over one batch of sequences: what the time loop is called with, checked once for every engine."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from topo_search.engine.integrators import Integrator
from topo_search.engine.layout import AreaLayout
from topo_search.engine.lengths import check_lengths
from topo_search.engine.reference import Activation

__all__ = ["Call", "Dynamics"]


@dataclass(frozen=True)
class Dynamics:
    """How a state advances: everything of the time loop that is not a weight.

    Args:
        layout: sizes and edges of the areas.
        integrator: ``cayley``, ``edge_cayley`` or ``euler``.
        h: step, ``dt / tau``, in ``(0, 1]``.
        activation: ``relu`` or ``tanh``.
        input_areas: areas that see the input; the others' rows of the input weights must be zero, and an engine may
            leave their gradient at zero. All areas where ``None``.
    """

    layout: AreaLayout
    integrator: Integrator
    h: float
    activation: Activation
    input_areas: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """Arguments of :func:`topo_search.engine.rollout`, which explains them.

    Raises:
        ValueError: if ``inputs`` are not three-dimensional or empty, another tensor does not fit, or ``backward`` is
            given for ``cayley`` or ``edge_cayley``, whose coupling is skew by construction.
    """

    dynamics: Dynamics
    inputs: Tensor
    input_weights: Tensor
    bias: Tensor
    area_weights: Tensor
    forward: Tensor
    backward: Tensor | None = None
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
        units = layout.n_units
        expected: dict[str, tuple[int, ...]] = {
            "input_weights": (units, shape[2]),
            "bias": (units,),
            "area_weights": (layout.n_area_weights,),
            "forward": (layout.n_coupling,),
            "backward": (layout.n_coupling,),
            "step": (units, units) if integrator == "cayley" else (layout.n_edge_steps,),
            "saturation": (units,),
            "initial": (shape[1], units),
        }
        for name, wanted in expected.items():
            tensor: Tensor | None = getattr(self, name)
            if tensor is not None and tuple(tensor.shape) != wanted:
                raise ValueError(f"{name} of {integrator} must have shape {wanted}, got {tuple(tensor.shape)}")

    @property
    def weights(self) -> tuple[Tensor | None, ...]:
        """What the result can be differentiated in, in the order of the fields."""
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
