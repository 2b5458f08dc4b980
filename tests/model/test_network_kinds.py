"""Networks of every recipe, coupling, integrator, speed and activation: trained, they stay inside their theorem."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from support.tiny import tiny_graph, tiny_network, tiny_task

from topo_search.config import load_space
from topo_search.errors import InputError
from topo_search.model import NetworkConfig
from topo_search.training import TrainingConfig, train

KINDS = ("sparse", "rescaled", "symmetric", "product", "triangular", "svd")
DIAGONAL = ("sparse", "rescaled", "triangular", "svd")


def recipe(kind, *, trainable=False):
    # At three to five units the default densities leave hardly a weight.
    settings = {"density": 0.4} if kind in ("sparse", "rescaled") else {}
    return {"kind": kind, "trainable": trainable, **settings}


def trained(**options):
    network = tiny_network(**options)
    train(network, tiny_task(), TrainingConfig(epochs=2, batch_size=20, learning_rate=0.05), epochs=2, seed=0)
    return network.eval()


def norms(network):
    matrices = network.matrices()
    ends = np.cumsum([0, *matrices.sizes])
    return [np.linalg.norm(matrices.area_weights[a:b, a:b], 2) for a, b in pairwise(ends)]


@pytest.mark.parametrize("kind", KINDS)
def test_fixed_areas_stay_as_drawn_and_trained_ones_move(kind):
    fixed, moving = (tiny_network(recipe=recipe(kind, trainable=t)) for t in (False, True))
    # Trained areas start where fixed ones are, up to what their parametrisation rounds or bounds.
    before = [network.areas().weights.detach().clone() for network in (fixed, moving)]
    for network in (fixed, moving):
        train(network, tiny_task(), TrainingConfig(epochs=1, batch_size=20, learning_rate=0.05), epochs=1, seed=0)
    assert torch.equal(fixed.areas().weights, before[0])
    assert float((moving.areas().weights.detach() - before[1]).abs().max()) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_every_recipe_is_certified_after_training(kind):
    network = trained(recipe=recipe(kind, trainable=True), dt=0.05)
    certificate = network.certificate()
    assert certificate.certified, certificate.reason
    assert certificate.rate >= float(network.area_rates.min()) - 1e-5
    if kind in DIAGONAL:
        assert max(norms(network)) <= network.config.area_norm + 1e-5


@pytest.mark.parametrize("coupling", ["nonlinear", "both"])
@pytest.mark.parametrize("kind", DIAGONAL)
def test_nonlinear_couplings_are_certified_after_training(kind, coupling):
    network = trained(recipe=recipe(kind), coupling=coupling, coupling_scale=5.0, dt=0.05)
    certificate = network.certificate()
    assert certificate.rate > 0
    assert certificate.certified, certificate.reason
    # They do act: at this scale the bound, not the draw, decides how strong they are.
    raw = network.nonlinear_forward.detach()
    assert float(network.couplings().nonlinear_forward.detach().norm()) < 0.5 * float(raw.norm())


def test_imperfect_feedback_costs_at_most_what_its_margin_says():
    network = trained(imperfect_margin=0.4, coupling_scale=3.0, dt=0.05)
    matrices = network.matrices()
    assert np.array_equal(matrices.symmetric, matrices.symmetric.T)
    assert np.linalg.eigvalsh(matrices.symmetric)[-1] <= 0.6 * 0.1 + 1e-6
    certificate = network.certificate()
    assert certificate.certified, certificate.reason
    assert certificate.rate >= 0.4 * 0.1 - 1e-5


@pytest.mark.parametrize("integrator", ["cayley", "edge_cayley", "resolvent"])
def test_areas_of_different_recipe_speed_and_activation_share_a_network(integrator):
    svd = recipe("svd", trainable=True)
    areas = {0: {"tau": 4.0, "activation": "tanh"}, 1: {"recipe": recipe("product")}, 3: {"recipe": svd}}
    network = trained(areas=areas, integrator=integrator, dt=0.05)
    certificate = network.certificate()
    assert certificate.certified, certificate.reason
    assert np.array_equal(network.matrices().speeds, np.repeat([0.25, 1, 1, 1], network.graph.sizes))
    # A slow area forgets slowly, and the certificate says so.
    assert certificate.rho >= 1 - 0.05 * 0.25
    assert certificate.rate <= 0.25


def test_a_slow_area_is_slow():
    # Without weights, input or coupling a state decays by 1 - dt / tau_i a step.
    network = tiny_network(areas={0: {"tau": 4.0}}, dt=0.2, coupling_scale=0.0)
    with torch.no_grad():
        network.area_weights.zero_()
        network.input_bias.zero_()
        start = torch.ones(1, network.layout.n_units)
        end = network.states(torch.zeros(1, 1, 6), initial=start)
    expected = torch.tensor([0.95] * 4 + [0.8] * 12)
    assert torch.allclose(end[0], expected, atol=1e-6)


@pytest.mark.parametrize("integrator", ["imex", "resolvent"])
def test_implicit_steps_train_and_are_certified(integrator):
    network = trained(integrator=integrator, coupling_scale=3.0)
    certificate = network.certificate()
    assert certificate.certified, certificate.reason
    assert certificate.integrator == integrator


def test_imex_is_held_below_its_cap():
    strong = tiny_network(integrator="imex", coupling_scale=300.0)
    free = tiny_network(integrator="imex", coupling_scale=300.0, stability="continuous")
    assert strong.certificate().certified
    assert not free.certificate().certified
    assert strong.certificate().coupling_norm < free.certificate().coupling_norm


def test_counts_of_trainable_numbers():
    plain = tiny_network()
    packed = plain.layout.n_coupling
    assert tiny_network(coupling="nonlinear").n_parameters == plain.n_parameters + packed
    assert tiny_network(coupling="both").n_parameters == plain.n_parameters + 2 * packed
    assert tiny_network(imperfect_margin=0.5).n_parameters == plain.n_parameters + packed
    svd = tiny_network(recipe=recipe("svd", trainable=True))
    assert svd.n_parameters == plain.n_parameters + sum(size * size for size in tiny_graph().sizes)
    sparse = tiny_network(recipe={"density": 0.25, "magnitude": 2.0, "trainable": True})
    entries = int(torch.count_nonzero(plain.area_weights))
    assert sparse.n_parameters == plain.n_parameters + entries


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"coupling": "nonlinear", "recipe": {"kind": "product"}}, "needs areas of diagonal metric"),
        ({"coupling": "both", "imperfect_margin": 0.5}, "imperfect_margin goes with coupling feedback"),
        ({"stability": "as_released", "recipe": {"kind": "svd"}}, "as_released has sparse areas"),
        ({"stability": "as_released", "recipe": {"trainable": True}}, "as_released has sparse areas"),
        ({"stability": "unconstrained", "coupling": "both"}, "unconstrained has linear feedback alone"),
        ({"stability": "unconstrained", "integrator": "imex"}, "unconstrained runs with integrator euler"),
        ({"stability": "continuous", "integrator": "resolvent"}, "runs with integrator euler or imex"),
        ({"integrator": "euler", "coupling": "both"}, "certified euler steps have a cap only"),
        ({"integrator": "imex", "imperfect_margin": 0.5}, "certified imex steps have a cap only"),
        ({"integrator": "imex", "areas": {0: {"tau": 2.0}}}, "certified imex steps have a cap only"),
        ({"integrator": "euler", "recipe": {"kind": "symmetric"}}, "certified euler steps have a cap only"),
        ({"areas": {1: {"tau": 0.01}}}, "dt must not exceed tau"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        NetworkConfig.model_validate(settings)


def test_settings_of_an_area_that_is_not_there_are_refused():
    with pytest.raises(InputError, match=r"network\.areas names area 4: expected one of 0 to 3"):
        tiny_network(areas={4: {"tau": 2.0}})
    with pytest.raises(InputError, match=r"network\.areas names area 12: expected one of 0 to 11"):
        load_space(overrides=["network.areas={12: {tau: 2}}"])


def test_a_coupling_that_is_nonlinear_alone_is_certified_for_euler_at_any_speed():
    areas = {0: {"tau": 4.0}}
    network = tiny_network(integrator="euler", coupling="nonlinear", coupling_scale=9.0, areas=areas, dt=0.05)
    certificate = network.certificate()
    assert certificate.certified, certificate.reason
