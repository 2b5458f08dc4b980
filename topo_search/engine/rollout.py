"""The entry to the time loop: picks the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from topo_search.engine.call import Call, Dynamics
from topo_search.engine.lengths import segment_lengths
from topo_search.engine.native import eliminable, native_rollouts, native_status
from topo_search.engine.reference import reference_rollout, step_matrices

__all__ = ["Engine", "rollout", "rollouts", "serving_engine"]

Engine = Literal["auto", "native", "reference"]

# Steps that the reference keeps at a time where no gradient will be asked for: evaluating long sequences then needs
# little memory. Even, so that every segment begins with an even step: edge-wise steps alternate.
SEGMENT = 64


def rollout(
    dynamics: Dynamics,
    inputs: Tensor,
    *,
    input_weights: Tensor,
    bias: Tensor,
    area_weights: Tensor,
    forward: Tensor,
    backward: Tensor | None = None,
    gauge: Tensor | None = None,
    symmetric: Tensor | None = None,
    nonlinear_forward: Tensor | None = None,
    nonlinear_backward: Tensor | None = None,
    step: Tensor | None = None,
    saturation: Tensor | None = None,
    initial: Tensor | None = None,
    lengths: Tensor | None = None,
    all_states: bool = False,
    engine: Engine = "auto",
    state_budget: int | None = None,
) -> Tensor:
    """Run a network over a batch of sequences; differentiable in every tensor of weights.

    Args:
        dynamics: integrator, step, activation and layout.
        inputs: ``(T, B, C)``, T and B at least 1.
        input_weights: ``(N, C)``.
        bias: ``(N,)``.
        area_weights: packed W.
        forward: packed B, the blocks ``L_ji`` of the edges ``i < j``.
        backward: packed ``L_ij^T``; negative feedback, ``-forward``, where not given.
        gauge: packed V, for areas whose metric is not diagonal: activations are ``phi(V y)``; the identity where not
            given.
        symmetric: packed blocks ``S_ji`` of a symmetric coupling (imperfect feedback), which is always explicit.
        nonlinear_forward: packed blocks ``C_ji`` of a coupling ``C phi(V y)``.
        nonlinear_backward: packed ``C_ij^T``.
        step: the matrix that a step applies, when it is at hand already (evaluation over many batches): Q for
            ``cayley`` and ``(I - c K)^-1`` for ``imex`` and ``resolvent``, ``(N, N)``; for ``edge_cayley`` the packed
            edge steps (see :class:`AreaLayout`). Made from ``forward`` where not given. The native engine has no use
            for it: it applies the same map in factored form.
        saturation: for tanh, each unit's level, ``(N,)``.
        initial: ``(B, N)``; zero where not given.
        lengths: steps of each sequence, ``(B,)``, int64, 0 to T; all T where not given. A sequence is held in its state
            from its end on: the last state is that of each sequence's own end, ``initial`` for length 0.
        all_states: return ``(T, B, N)`` instead of the last state ``(B, N)``.
        engine: ``auto`` takes the native engine where it serves: on the CPU, in float32, where it was built (and for
            edge-wise steps up to a strength of the coupling, see :func:`topo_search.engine.native.eliminable`), for
            networks without ``gauge``, ``nonlinear`` blocks and, but for Euler, ``symmetric`` ones.
        state_budget: bytes of states that the native engine keeps for the backward pass; what does not fit is computed
            again, segment by segment, with the same result. A quarter of the free memory where not given, 0 for no
            limit.

    Raises:
        ValueError: if a tensor does not fit (see :class:`Call`), or ``native`` was asked for and does not serve.
    """
    call = Call(
        dynamics=dynamics,
        inputs=inputs,
        input_weights=input_weights,
        bias=bias,
        area_weights=area_weights,
        forward=forward,
        backward=backward,
        gauge=gauge,
        symmetric=symmetric,
        nonlinear_forward=nonlinear_forward,
        nonlinear_backward=nonlinear_backward,
        step=step,
        saturation=saturation,
        initial=initial,
        lengths=lengths,
        all_states=all_states,
    )
    return rollouts([call], engine=engine, state_budget=state_budget)[0]


def rollouts(calls: Sequence[Call], *, engine: Engine = "auto", state_budget: int | None = None) -> list[Tensor]:
    """Run several networks, each over its own batch: a population whose graphs, sizes and batches may all differ.

    The native engine advances them side by side in one call, so that the threads of a machine share the slices of all
    batches; results equal those of single calls bit for bit.

    Args:
        calls: at least one.
        engine: as for :func:`rollout`.
        state_budget: for all of them together; as for :func:`rollout`.

    Raises:
        ValueError: as :func:`rollout`, and if there is no call.
    """
    if not calls:
        raise ValueError("there is no call to run: expected at least one")
    engines = {_engine_of(call, engine) for call in calls}
    if engines == {"native"}:
        return list(native_rollouts(calls, state_budget=state_budget))
    return [_reference(call) for call in calls]


def serving_engine(tensor: Tensor) -> Literal["native", "reference"]:
    """The engine that ``auto`` takes for weights like this tensor."""
    suits = tensor.device.type == "cpu" and tensor.dtype == torch.float32
    return "native" if suits and native_status().module is not None else "reference"


def _engine_of(call: Call, wanted: Engine) -> Literal["native", "reference"]:
    if wanted == "reference":
        return "reference"
    tensors = [tensor for tensor in (*call.weights, call.saturation) if tensor is not None]
    serves = all(serving_engine(tensor) == "native" for tensor in tensors)
    why = native_status().reason or "it runs on the CPU in float32"
    explicit = call.symmetric is None or call.dynamics.integrator == "euler"
    if serves and not (call.gauge is None and call.nonlinear_forward is None and explicit):
        serves, why = False, "it has no areas of non-diagonal metric, nonlinear or, but for Euler, imperfect feedback"
    if serves and call.dynamics.integrator == "edge_cayley" and not eliminable(call.forward, call.dynamics.implicit):
        serves, why = False, "in float32 its edge-wise steps are not accurate at so strong a coupling"
    if wanted == "native" and not serves:
        raise ValueError(f"the native engine was asked for, but {why}")
    return "native" if serves else "reference"


def _reference(call: Call) -> Tensor:
    if torch.is_grad_enabled() or call.all_states:
        return reference_rollout(call)
    matrices = step_matrices(call)
    ends = segment_lengths(call.lengths, len(call.inputs), SEGMENT)
    state = call.initial
    for part, end in zip(torch.split(call.inputs, SEGMENT), ends, strict=True):
        state = reference_rollout(replace(call, inputs=part, initial=state, lengths=end), matrices=matrices)
    assert state is not None
    return state
