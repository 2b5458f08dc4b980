"""The step as the papers write it, dense and differentiated by autograd: what the engines are compared with."""

import torch


def plain_loop(
    inputs, input_weights, bias, area, coupling, *, integrator, h, activation, saturation=None, initial=None
):
    """All states ``(T, B, N)``; ``area`` and ``coupling`` are dense ``(N, N)`` matrices."""
    n = area.shape[0]
    identity = torch.eye(n, dtype=area.dtype)
    level = torch.ones(n, dtype=area.dtype) if saturation is None else saturation

    def phi(y):
        return torch.relu(y) if activation == "relu" else level * torch.tanh(y / level)

    x = torch.zeros(inputs.shape[1], n, dtype=area.dtype) if initial is None else initial
    if integrator == "cayley":
        step = torch.linalg.solve(identity - h / 2 * coupling, identity + h / 2 * coupling)
    states = []
    for u in inputs:
        drive = u @ input_weights.t() + bias
        if integrator == "cayley":
            y = x @ step.t()
            x = y + h * (-y + phi(y) @ area.t() + drive)
        else:
            x = x + h * (-x + phi(x) @ area.t() + x @ coupling.t() + drive)
        states.append(x)
    return torch.stack(states)
