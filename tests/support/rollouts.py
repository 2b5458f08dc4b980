"""Rollouts of random networks, held against the plain loop."""

import torch

from support.plain_loop import plain_loop
from topo_search.engine import AreaLayout, Dynamics, rollout

NETWORKS = {
    "equal, sparse": AreaLayout.of([5] * 7, [(0, 1), (1, 4), (2, 6), (3, 4)]),
    "equal, dense": AreaLayout.of([4] * 4, [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]),
    "mixed": AreaLayout.of([3, 3, 7, 1, 5, 2, 2], [(0, 2), (2, 3), (4, 5), (1, 6)]),
    "no edge": AreaLayout.of([3, 4], []),
    "one area": AreaLayout.of([6], []),
}


def make(layout, *, channels=3, steps=7, batch=5, dtype=torch.float64, seed=0):
    """Random arguments of a rollout, by name."""
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape, scale=1.0):
        return (torch.randn(*shape, generator=rng, dtype=torch.float64) * scale).to(dtype)

    return {
        "inputs": draw(steps, batch, channels),
        "input_weights": draw(layout.n_units, channels),
        "bias": draw(layout.n_units, scale=0.3),
        "area_weights": draw(layout.n_area_weights, scale=0.3),
        "forward": draw(layout.n_coupling, scale=0.7),
        "initial": draw(batch, layout.n_units),
    }


def compare(
    layout,
    integrator,
    activation,
    *,
    all_states,
    free=False,
    saturation=None,
    lengths=None,
    seed=0,
    tolerance=1e-11,
    **shape,
):
    """Hold a rollout and its gradients against autograd through the plain loop."""
    tensors = {k: v.requires_grad_() for k, v in make(layout, seed=seed, **shape).items()}
    back = None
    if free:
        back = make(layout, seed=seed + 1, **shape)["forward"].requires_grad_()
        tensors["backward"] = back
    h = 0.3
    lower = layout.dense_coupling(tensors["forward"])
    coupling = lower - lower.t() if back is None else lower + layout.dense_coupling(back).t()
    expected = plain_loop(
        tensors["inputs"],
        tensors["input_weights"],
        tensors["bias"],
        layout.dense_area_weights(tensors["area_weights"]),
        coupling,
        integrator=integrator,
        h=h,
        activation=activation,
        saturation=saturation,
        initial=tensors["initial"],
        lengths=lengths,
        layout=layout,
    )
    actual = rollout(
        Dynamics(layout, integrator, h, activation),
        saturation=saturation,
        lengths=lengths,
        all_states=all_states,
        **tensors,
    )
    expected = expected if all_states else expected[-1]
    assert torch.allclose(actual, expected, rtol=0, atol=tolerance)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    names = list(tensors)
    ours = torch.autograd.grad((actual * weights).sum(), [tensors[n] for n in names], allow_unused=True)
    theirs = torch.autograd.grad((expected * weights).sum(), [tensors[n] for n in names], allow_unused=True)
    for name, our, their in zip(names, ours, theirs, strict=True):
        mine, truth = (torch.zeros_like(tensors[name]) if g is None else g for g in (our, their))
        scale = max(1.0, float(truth.abs().max())) if truth.numel() else 1.0
        assert torch.allclose(mine, truth, rtol=0, atol=tolerance * 10 * scale), name
