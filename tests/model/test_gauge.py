"""Metric coordinates are a choice of units for ReLU, and for tanh one that each unit's level must follow."""

import numpy as np
import pytest
import torch
from support.plain_loop import plain_loop
from support.tiny import tiny_network

from topo_search.graph import Area, ModuleGraph
from topo_search.model import SparseRecipe, export_arrays

GRAPH = ModuleGraph(
    [Area(8, is_input=True), Area(5), Area(8), Area(6, is_output=True)], [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]
)


def make(activation, stability="certified", integrator="auto"):
    return tiny_network(
        graph=GRAPH,
        seed=3,
        activation=activation,
        stability=stability,
        integrator=integrator,
        recipe=SparseRecipe(density=0.15, magnitude=3.0),
    ).double()


def original(network):
    """Weights in original coordinates, as the documentation of ``export_arrays`` says they are made."""
    arrays = {name: torch.from_numpy(np.asarray(value)) for name, value in export_arrays(network).items()}
    root = arrays["metric"].sqrt()
    assert root.max() / root.min() > 3, "a metric near the identity would show nothing"
    return {
        "input_weights": arrays["input_weights"] / root[:, None],
        "bias": arrays["input_bias"] / root,
        "area": arrays["W"] * root / root[:, None],
        "coupling": arrays["L"] * root / root[:, None],
    }, root


def states_in_both(network, *, saturation=None, tanh_level=None):
    inputs = torch.randn(40, 3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights, root = original(network)
    plain = plain_loop(
        inputs,
        weights["input_weights"],
        weights["bias"],
        weights["area"],
        weights["coupling"],
        integrator=network.config.step_rule,
        h=network.config.h,
        activation=network.config.activation,
        layout=network.layout,
    )
    with torch.no_grad():
        inner = network.states(inputs, all_states=True)
    return inner, plain * root, plain


@pytest.mark.parametrize(
    ("stability", "integrator"), [("certified", "cayley"), ("certified", "edge_cayley"), ("continuous", "euler")]
)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_original_and_metric_coordinates_give_one_network(activation, stability, integrator):
    network = make(activation, stability, integrator)
    inner, outer, _ = states_in_both(network)
    assert float(inner.abs().max()) > 0.1
    assert torch.allclose(inner, outer, rtol=0, atol=1e-10 * float(inner.abs().max()))


def test_tanh_without_its_levels_is_another_network(monkeypatch):
    network = make("tanh")
    monkeypatch.setattr(type(network), "saturation", property(lambda self: None))
    inner, outer, _ = states_in_both(network)
    assert float((inner - outer).abs().max()) > 1e-3 * float(inner.abs().max())


def test_logits_are_those_of_original_coordinates():
    network = make("relu")
    inputs = torch.randn(40, 3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    _, _, plain = states_in_both(network)
    read = network.layout.units_of(GRAPH.output_areas)
    readout = network.readout_weights * network.metric.sqrt()[read]
    with torch.no_grad():
        assert torch.allclose(network(inputs), plain[-1][:, read] @ readout.t() + network.readout_bias, atol=1e-10)


def test_the_coupling_is_negative_feedback_in_the_metric():
    network = make("relu")
    weights, root = original(network)
    coupling, metric = weights["coupling"], root**2
    product = metric[:, None] * coupling
    assert float((product + product.t()).abs().max()) < 1e-12 * float(product.abs().max())
    inner = network.dense_coupling()
    assert torch.equal(inner, -inner.t())
