"""Networks with everything at once, and their step as it is written down: dense, differentiated by autograd.

``tau y' = r (-y + (W + C) phi(V y) + u) + (K + S) y``, areas of any speed and activation.
"""

from __future__ import annotations

import torch

from topo_search.engine import Call, Dynamics

LEAVES = (
    "inputs",
    "input_weights",
    "bias",
    "area_weights",
    "forward",
    "backward",
    "gauge",
    "symmetric",
    "nonlinear_forward",
    "nonlinear_backward",
    "initial",
)


def full_call(layout, integrator, *, parts, h=0.3, activation="tanh", speeds=None, steps=4, batch=3, seed=0, **others):
    """A call in float64 with the ``parts`` named: gauge, symmetric, nonlinear, saturation, free."""
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape, scale=1.0):
        return scale * torch.randn(*shape, generator=rng, dtype=torch.float64)

    units = layout.n_units
    whole = torch.cat([torch.eye(size, dtype=torch.float64).reshape(-1) for size in layout.sizes])
    tensors = {
        "inputs": draw(steps, batch, 2),
        "input_weights": draw(units, 2),
        "bias": draw(units, scale=0.3),
        "area_weights": draw(layout.n_area_weights, scale=0.4),
        "forward": draw(layout.n_coupling, scale=0.7),
        "backward": draw(layout.n_coupling, scale=0.7),
        "gauge": whole + draw(layout.n_area_weights, scale=0.5),
        "symmetric": draw(layout.n_coupling, scale=0.4),
        "nonlinear_forward": draw(layout.n_coupling, scale=0.5),
        "nonlinear_backward": draw(layout.n_coupling, scale=0.5),
        "initial": draw(batch, units),
    }
    optional = {
        "backward": "free",
        "gauge": "gauge",
        "symmetric": "symmetric",
        "nonlinear_forward": "nonlinear",
        "nonlinear_backward": "nonlinear",
    }
    chosen = {name: t.requires_grad_() for name, t in tensors.items() if optional.get(name, "") in {"", *parts}}
    saturation = torch.rand(units, generator=rng, dtype=torch.float64) + 0.3 if "saturation" in parts else None
    dynamics = Dynamics(layout, integrator, h, activation, None, speeds)
    return Call(dynamics=dynamics, saturation=saturation, **chosen, **others)


def phi(call, v):
    """The activation of every unit, ``(B, N)``."""
    level = torch.ones(v.shape[1], dtype=v.dtype) if call.saturation is None else call.saturation
    columns = []
    for area, name in enumerate(call.dynamics.activations):
        units = call.dynamics.layout.units(area)
        columns.append(
            torch.relu(v[:, units]) if name == "relu" else level[units] * torch.tanh(v[:, units] / level[units])
        )
    return torch.cat(columns, dim=1)


def dense_parts(call):
    """Speeds r ``(N,)``, W + C, V, K and what is linear and explicit beside K, dense."""
    layout = call.dynamics.layout
    sizes = torch.tensor(layout.sizes)
    speeds = torch.tensor(call.dynamics.area_speeds, dtype=torch.float64).repeat_interleave(sizes)
    inner = layout.dense_area_weights(call.area_weights)
    if call.nonlinear_forward is not None:
        back = layout.dense_coupling(call.nonlinear_backward).t()
        inner = inner + layout.dense_coupling(call.nonlinear_forward) + back
    gauge = torch.eye(layout.n_units, dtype=torch.float64)
    if call.gauge is not None:
        gauge = layout.dense_area_weights(call.gauge)
    lower = layout.dense_coupling(call.forward)
    skew, explicit = lower - lower.t(), torch.zeros_like(lower)
    if call.backward is not None:
        skew = lower + layout.dense_coupling(call.backward).t()
    if call.symmetric is not None:
        lower = layout.dense_coupling(call.symmetric)
        explicit = lower + lower.t()
    return speeds, inner, gauge, skew, explicit


def written_states(call):
    """All states ``(T, B, N)``; edge-wise steps excepted."""
    h, integrator = call.dynamics.h, call.dynamics.integrator
    speeds, inner, gauge, skew, explicit = dense_parts(call)
    identity = torch.eye(len(skew), dtype=skew.dtype)
    x = call.initial
    states = []
    for t, channels in enumerate(call.inputs):
        u = channels @ call.input_weights.t() + call.bias

        def f(y, u=u):
            return h * (speeds * (-y + phi(call, y @ gauge.t()) @ inner.t() + u) + y @ explicit.t())

        if integrator == "euler":
            following = x + f(x) + h * x @ skew.t()
        elif integrator == "cayley":
            right = x + h / 2 * x @ skew.t()
            y = torch.linalg.solve(identity - h / 2 * skew, right.t()).t()
            following = y + f(y)
        elif integrator == "resolvent":
            following = torch.linalg.solve(identity - h * skew, (x + f(x)).t()).t()
        else:
            right = x + h / 2 * x @ skew.t() + f(x)
            following = torch.linalg.solve(identity - h / 2 * skew, right.t()).t()
        x = following if call.lengths is None else torch.where((t < call.lengths)[:, None], following, x)
        states.append(x)
    return torch.stack(states)


def leaves(call):
    """What the result is differentiated in, by name."""
    return {name: getattr(call, name) for name in LEAVES if getattr(call, name) is not None}
