"""Calls of random networks."""

from __future__ import annotations

from dataclasses import fields, replace

import torch
from hypothesis import strategies as st

from topo_search.engine import INTEGRATORS, AreaLayout, Call, Dynamics
from topo_search.engine.native.forms import coupling_norm

LEAVES = ("inputs", "input_weights", "bias", "area_weights", "forward", "backward", "initial")


def graph_of(kind, areas, *, hub=0, chosen=()):
    """Edges of a graph of a kind."""
    pairs = [(i, j) for i in range(areas) for j in range(i + 1, areas)]
    return {"none": [], "star": [pair for pair in pairs if hub in pair], "complete": pairs, "random": chosen}[kind]


@st.composite
def layouts(draw):
    """1 to 7 areas of 1 to 40 units, mixed or of one size, and any graph."""
    areas = draw(st.sampled_from(range(1, 8)))
    mixed = st.lists(st.integers(1, 40), min_size=areas, max_size=areas)
    one_size = st.sampled_from([16, 32]) | st.integers(1, 40)
    sizes = draw(mixed | one_size.map(lambda size: [size] * areas))
    pairs = graph_of("complete", areas)
    kind = draw(st.sampled_from(["none", "star", "complete", "random", "random"]))
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs and kind == "random" else []
    return AreaLayout.of(sizes, graph_of(kind, areas, hub=draw(st.integers(0, areas - 1)), chosen=chosen))


def make_call(
    layout,
    integrator="euler",
    activation="relu",
    *,
    h=0.3,
    norm=1.0,
    steps=6,
    batch=5,
    channels=3,
    density=0.3,
    free=False,
    saturation=False,
    initial=False,
    lengths=False,
    input_areas=None,
    speeds=None,
    all_states=False,
    seed=0,
):
    """A call with random weights, all of them leaves in float32; the skew coupling has the norm."""
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=rng)

    units = layout.n_units
    input_weights = draw(units, channels)
    if input_areas is not None:
        unseeing = [area for area in range(len(layout.sizes)) if area not in input_areas]
        for area in unseeing:
            input_weights[layout.units(area)] = 0
    kept = torch.rand(layout.n_area_weights, generator=rng) < density
    width = torch.cat([torch.full((size * size,), float(size)) for size in layout.sizes])
    forward, backward = draw(layout.n_coupling), draw(layout.n_coupling)
    found = coupling_norm(layout, forward) if layout.edges else 0.0
    forward, backward = (block * (norm / max(found, 1e-3)) for block in (forward, backward))
    call = Call(
        dynamics=Dynamics(layout, integrator, h, activation, input_areas, speeds),
        inputs=draw(steps, batch, channels),
        input_weights=input_weights,
        bias=0.3 * draw(units),
        area_weights=draw(layout.n_area_weights) * kept / (width * max(density, 0.01)).sqrt(),
        forward=forward,
        backward=backward if free else None,
        saturation=10 ** (3 * torch.rand(units, generator=rng) - 1.5) if saturation else None,
        initial=draw(batch, units) if initial else None,
        lengths=torch.randint(0, steps + 1, (batch,), generator=rng) if lengths else None,
        all_states=all_states,
    )
    for tensor in leaves(call).values():
        tensor.requires_grad_()
    return call


@st.composite
def calls(draw):
    """Networks and batches of any shape, small enough to try many."""
    layout = draw(layouts())
    integrator = draw(st.sampled_from([*INTEGRATORS, "free"]))
    free = integrator == "free"
    euler = free or integrator == "euler"
    mixture = st.lists(st.sampled_from(["relu", "tanh"]), min_size=len(layout.sizes), max_size=len(layout.sizes))
    activation = draw(st.sampled_from(["relu", "tanh"]) | mixture.map(tuple))
    # Without a leak a gradient passes through tanh alone: where it saturates, 1 - tanh^2 is lost to float32 anywhere.
    steps_h = st.floats(0.05, 0.9) if "tanh" in activation else st.floats(0.05, 0.9) | st.just(1.0)
    slower = st.lists(st.floats(0.1, 1.0), min_size=len(layout.sizes), max_size=len(layout.sizes)).map(tuple)
    areas = st.sets(st.integers(0, len(layout.sizes) - 1)).map(lambda chosen: tuple(sorted(chosen)))
    return make_call(
        layout,
        "euler" if free else integrator,
        activation,
        h=draw(steps_h),
        norm=10 ** draw(st.floats(-2, 0.5 if euler else 1.5)),
        steps=draw(st.sampled_from(range(1, 13))),
        batch=draw(st.sampled_from([1, 3, 16, 17, 31, 33, 64, 67, 130])),
        channels=draw(st.sampled_from(range(6))),
        density=draw(st.sampled_from([0.0, 0.05, 1.0])),
        free=free,
        saturation=draw(st.booleans()),
        initial=draw(st.booleans()),
        lengths=draw(st.booleans()),
        input_areas=draw(st.none() | areas),
        speeds=draw(st.none() | slower),
        all_states=draw(st.booleans()),
        seed=draw(st.integers(0, 9999)),
    )


def leaves(call):
    """What a call can be differentiated in, by name."""
    return {name: getattr(call, name) for name in LEAVES if getattr(call, name) is not None}


def converted(call, dtype):
    """The call in another precision, with leaves of its own."""
    floating = [field.name for field in fields(call) if field.name not in ("dynamics", "lengths", "all_states")]
    tensors = {name: getattr(call, name) for name in floating if getattr(call, name) is not None}
    changed = {name: tensor.detach().to(dtype, copy=True) for name, tensor in tensors.items()}
    return replace(call, **{name: t.requires_grad_(name in LEAVES) for name, t in changed.items()})
