"""The step as the papers write it, dense and differentiated by autograd: what the engines are compared with."""

import torch


def _cayley(coupling, h):
    identity = torch.eye(len(coupling), dtype=coupling.dtype)
    return torch.linalg.solve(identity - h / 2 * coupling, identity + h / 2 * coupling)


def _edge_steps(coupling, h, layout):
    """A dense step matrix an edge, from the coupling with all but the edge's two areas put to zero."""
    steps = []
    for edge in layout.edges:
        inside = torch.zeros(len(coupling), dtype=coupling.dtype)
        inside[layout.units_of(edge)] = 1
        steps.append(_cayley(coupling * inside * inside[:, None], h))
    return steps


def plain_loop(
    inputs,
    input_weights,
    bias,
    area,
    coupling,
    *,
    integrator,
    h,
    activation,
    saturation=None,
    initial=None,
    lengths=None,
    layout=None,
):
    """All states ``(T, B, N)``; ``area`` and ``coupling`` are dense ``(N, N)`` matrices.

    ``layout`` says where areas and edges are; only ``edge_cayley`` needs it.
    """
    n = area.shape[0]
    level = torch.ones(n, dtype=area.dtype) if saturation is None else saturation

    def phi(y):
        return torch.relu(y) if activation == "relu" else level * torch.tanh(y / level)

    x = torch.zeros(inputs.shape[1], n, dtype=area.dtype) if initial is None else initial
    if integrator == "cayley":
        rotations = [_cayley(coupling, h)]
    elif integrator == "edge_cayley":
        rotations = _edge_steps(coupling, h, layout)
    states = []
    for t, u in enumerate(inputs):
        drive = u @ input_weights.t() + bias
        if integrator == "euler":
            following = x + h * (-x + phi(x) @ area.t() + x @ coupling.t() + drive)
        elif integrator in ("imex", "resolvent"):
            inside = h * (-x + phi(x) @ area.t() + drive)
            if integrator == "imex":
                right, implicit = x + h / 2 * x @ coupling.t() + inside, h / 2
            else:
                right, implicit = x + inside, h
            following = torch.linalg.solve(torch.eye(n, dtype=area.dtype) - implicit * coupling, right.t()).t()
        else:
            y = x
            for rotation in rotations if t % 2 == 0 else reversed(rotations):
                y = y @ rotation.t()
            following = y + h * (-y + phi(y) @ area.t() + drive)
        x = following if lengths is None else torch.where((t < lengths)[:, None], following, x)
        states.append(x)
    return torch.stack(states)
