"""Certificates against what networks do: no trajectory and no slopes may violate one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from support.falsify import exact_rate, largest_step_norm
from support.matrices import random_matrices
from support.tiny import tiny_network, tiny_task

from topo_search.engine import INTEGRATORS
from topo_search.model import certify_matrices, euler_cap
from topo_search.training import TrainingConfig, train


def distances(network, *, steps=150, pairs=8, seed=0):
    """Distances of pairs of trajectories under one random input, ``(steps + 1, pairs)``, and the largest state."""
    rng = torch.Generator().manual_seed(seed)
    n = network.graph.n_units

    def draw(*shape):
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    scale = torch.logspace(-2, 2, pairs, dtype=torch.float64)[:, None]
    # A few pairs start in opposite orthants, where the slopes differ most.
    one = scale * draw(pairs, n)
    other = torch.where(torch.arange(pairs)[:, None] % 2 == 0, -one, scale * draw(pairs, n))
    inputs = 2 * draw(steps, pairs, network.channels)
    with torch.no_grad():
        runs = [network.states(inputs, initial=x, all_states=True) for x in (one, other)]
    apart = torch.cat([(one - other)[None], runs[0] - runs[1]]).norm(dim=2)
    return apart, float(runs[0].abs().max())


def assert_contracts(network, *, seed=0):
    certificate = network.certificate()
    assert certificate.certified, certificate.reason
    apart, largest = distances(network, seed=seed)
    # Rounding of states of this size is no part of the certificate.
    assert bool((apart[1:] <= certificate.rho * apart[:-1] + 1e-13 * largest).all())
    assert float(apart[-1].max()) < float(apart[0].min())
    return certificate, apart


def scaled(network, factor):
    with torch.no_grad():
        network.coupling.mul_(factor)
    return network


@pytest.mark.parametrize("factor", [0.0, 1.0, 1e3])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("integrator", ["cayley", "edge_cayley"])
def test_cayley_trajectories_approach_at_every_step(integrator, seed, activation, factor):
    network = scaled(tiny_network(seed=seed, activation=activation, integrator=integrator).double(), factor)
    certificate, _ = assert_contracts(network, seed=seed)
    # The triangle inequality's bound, at any coupling strength.
    assert certificate.rho <= 1 - 0.2 * (1 - certificate.area_norm) + 1e-6


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("scale", [0.2, 1.0, 100.0])
def test_certified_euler_trajectories_approach_at_every_step(scale, activation):
    network = tiny_network(activation=activation, integrator="euler", coupling_scale=scale).double()
    assert_contracts(network)


def test_without_areas_the_euler_factor_is_met():
    # W = 0: the step is linear and normal, so the largest observed factor is the certified one.
    network = tiny_network(stability="continuous").double()
    with torch.no_grad():
        network.area_weights.zero_()
        network.coupling.mul_(0.5)
    certificate = network.certificate()
    apart, _ = distances(network, steps=30)
    observed = float((apart[1:] / apart[:-1]).max())
    assert certificate.rho * 0.95 < observed <= certificate.rho * (1 + 1e-8)


def test_what_cayley_bears_makes_euler_diverge():
    network = scaled(tiny_network(stability="continuous").double(), 4.0)
    assert not network.certificate().certified
    apart, _ = distances(network)
    assert float(apart[-1].min()) > 1e3 * float(apart[0].max())
    for integrator in ("cayley", "edge_cayley"):
        assert_contracts(scaled(tiny_network(integrator=integrator).double(), 4.0))


@pytest.mark.parametrize("stability", ["certified", "continuous"])
@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_the_differential_equation_contracts_at_the_certified_rate(stability, factor):
    network = scaled(tiny_network(stability=stability, dt=0.4, tau=2.0).double(), factor)
    certificate = network.certificate()
    assert certificate.rate > 0.05
    weights = network.layout.dense_area_weights(network.area_weights).numpy()
    with torch.no_grad():
        coupling = network.dense_coupling().numpy()
    n, rng = len(weights), np.random.default_rng(0)
    phases, amplitudes = rng.uniform(0, 6, n), rng.normal(size=n)

    def both(time, states):
        x = states.reshape(2, n)
        drive = amplitudes * np.sin(3 * time + phases)
        return ((-x + np.maximum(x, 0) @ weights.T + x @ coupling.T + drive) / network.config.tau).reshape(-1)

    times = np.linspace(0, 12, 61)
    for start in (rng.normal(size=(2, n)), np.stack([np.ones(n), -np.ones(n)])):
        run = solve_ivp(both, (0, 12), start.reshape(-1), t_eval=times, rtol=1e-9, atol=1e-12, method="DOP853")
        apart = np.linalg.norm(run.y[:n] - run.y[n:], axis=0)
        assert (apart <= np.exp(-certificate.rate * times / 2.0) * apart[0] + 1e-7).all()
        assert apart[-1] > 1e-5, "the bound was compared with nothing"


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_no_slopes_violate_a_certificate(data):
    sizes = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3), label="sizes"))
    pairs = [(i, j) for i in range(len(sizes)) for j in range(i + 1, len(sizes))]
    edges = tuple(sorted(data.draw(st.sets(st.sampled_from(pairs)), label="edges"))) if pairs else ()
    network = random_matrices(
        np.random.default_rng(data.draw(st.integers(0, 2**20), label="seed")),
        sizes,
        edges,
        area_norm=data.draw(st.floats(0.01, 1.5), label="s"),
        coupling_norm=10 ** data.draw(st.floats(-2, 2), label="log coupling"),
        h=data.draw(st.floats(0.01, 1.0), label="h"),
        integrator=data.draw(st.sampled_from(INTEGRATORS), label="integrator"),
    )
    certificate = certify_matrices(network)
    found = largest_step_norm(network)
    assert certificate.rho >= found - 1e-12
    assert certificate.certified == (certificate.rho < 1)
    if sum(sizes) <= 9:
        assert certificate.rho_lower <= found + 1e-9
    if sum(sizes) <= 9:
        assert certificate.rho_lower <= found + 1e-9
    if certificate.certified:
        assert found < 1
    if sum(sizes) <= 7:
        coupling = network.coupling - network.coupling.T
        assert certificate.rate <= exact_rate(network.area_weights, coupling) + 1e-10


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**20), scale=st.floats(0.01, 3.0), tilt=st.floats(0.0, 1.0))
def test_the_rate_of_free_feedback_is_never_above_the_worst_vertex(seed, scale, tilt):
    rng = np.random.default_rng(seed)
    lower = np.zeros((6, 6))
    lower[3:, :3] = scale * rng.normal(size=(3, 3))
    other = np.zeros((6, 6))
    other[3:, :3] = scale * rng.normal(size=(3, 3))
    coupling = lower - ((1 - tilt) * lower + tilt * other).T
    network = random_matrices(
        rng, (3, 3), ((0, 1),), area_norm=0.5, coupling_norm=1, h=0.1, integrator="euler", stability="unconstrained"
    )
    network.coupling[...] = coupling
    certificate = certify_matrices(network)
    assert certificate.rate <= exact_rate(network.area_weights, coupling) + 1e-10
    assert certificate.rho >= largest_step_norm(network) - 1e-12


def test_larger_networks_are_not_falsified_either():
    for seed in range(6):
        for options in ({}, {"integrator": "edge_cayley"}, {"integrator": "euler", "coupling_scale": 50.0}):
            network = tiny_network(seed=seed, **options).double()
            found = largest_step_norm(network.matrices(), seed=seed)
            certificate = network.certificate()
            assert 0.5 < found <= certificate.rho


def test_the_falsifier_finds_what_is_there():
    # A cap that forgets the areas (that of W = 0) would be seen through.
    cap = euler_cap(0.0, 0.2)
    network = random_matrices(
        np.random.default_rng(0),
        (6, 6, 6),
        ((0, 1), (1, 2)),
        area_norm=0.95,
        coupling_norm=0.99 * cap,
        h=0.2,
        integrator="euler",
    )
    assert largest_step_norm(network) > 1
    assert not certify_matrices(network).certified


TASK = tiny_task()
CONFIG = TrainingConfig(epochs=4, batch_size=16, learning_rate=0.1)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("integrator", ["cayley", "edge_cayley"])
def test_cayley_networks_are_certified_before_and_after_training(integrator, activation):
    network = tiny_network(activation=activation, integrator=integrator)
    before = network.certificate()
    start = network.coupling.detach().clone()
    train(network, TASK, CONFIG, epochs=4, seed=0)
    after = network.certificate()
    assert float((network.coupling.detach() - start).norm()) > 0.5
    assert before.certified
    assert after.certified
    # Only the coupling was trained, and the factor does not depend on it.
    assert after.rho == pytest.approx(before.rho, abs=1e-6)
    assert after.rate == pytest.approx(before.rate, abs=1e-9)
    assert after.coupling_norm != before.coupling_norm
    assert_contracts(network.double())


def test_certified_euler_stays_under_its_cap_in_training():
    network = tiny_network(integrator="euler", coupling_scale=0.3)
    start = network.certificate()
    assert start.certified
    norms = []
    for epochs in range(1, 5):
        network = tiny_network(integrator="euler", coupling_scale=0.3)
        train(network, TASK, CONFIG, epochs=epochs, seed=0)
        certificate = network.certificate()
        assert certificate.certified
        norms.append(certificate.coupling_norm)
    cap = euler_cap(0.9, 0.2)
    assert max(norms) <= cap
    assert max(norms) == pytest.approx(cap, rel=1e-3), "training did not reach the cap: this shows nothing"
    assert_contracts(network.double())


def test_continuous_networks_leave_the_cap_and_keep_their_rate():
    network = tiny_network(stability="continuous")
    before = network.certificate()
    train(network, TASK, CONFIG, epochs=2, seed=0)
    after = network.certificate()
    assert not after.certified
    assert after.coupling_norm > euler_cap(0.9, 0.2)
    assert after.rate == pytest.approx(before.rate, abs=1e-9)
    assert after.rate > 0
