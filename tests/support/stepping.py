"""Random small networks of every part that a certificate knows, and their steps and rates by the definitions."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product

import numpy as np

from support.matrices import steps_of
from topo_search.model import NetworkMatrices

INTEGRATORS = ("euler", "cayley", "edge_cayley", "imex", "resolvent")


def part(network: NetworkMatrices, name: str) -> np.ndarray:
    """A part that may be absent: V, C, S or r."""
    n = len(network.area_weights)
    absent = {"gauge": np.eye(n), "speeds": np.ones(n)}
    value = getattr(network, name)
    return absent.get(name, np.zeros((n, n))) if value is None else value


def skew_of(network: NetworkMatrices) -> np.ndarray:
    return network.coupling - network.coupling.T


def slices(sizes: tuple[int, ...]) -> list[slice]:
    ends = np.cumsum([0, *sizes])
    return [slice(a, b) for a, b in pairwise(ends.tolist())]


def random_network(rng: np.random.Generator, integrator: str, *, units: int = 7) -> NetworkMatrices:
    """One to three areas, weak or strong, with or without V, C, S, speeds and feedback."""
    sizes = [int(size) for size in rng.integers(1, 4, size=rng.integers(1, 4))]
    while sum(sizes) > units:
        sizes.pop()
    areas, n = slices(tuple(sizes)), sum(sizes)
    pairs = [(i, j) for i in range(len(sizes)) for j in range(i + 1, len(sizes))]
    edges = tuple(pair for pair in pairs if rng.random() < 0.7)
    weights, gauge, speeds = np.zeros((n, n)), np.zeros((n, n)), np.ones(n)
    lower, nonlinear, symmetric = np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n))
    norm, feedback, free = rng.uniform(0.1, 1.3), 10 ** rng.uniform(-1, 1), 10 ** rng.uniform(-1.5, 0.5)
    for area, size in zip(areas, sizes, strict=True):
        block = rng.normal(size=(size, size))
        weights[area, area] = block * norm / np.linalg.norm(block, 2)
        gauge[area, area] = np.eye(size) + 0.5 * rng.normal(size=(size, size))
        speeds[area] = rng.uniform(0.1, 1)
    for i, j in edges:
        shape = (sizes[j], sizes[i])
        lower[areas[j], areas[i]] = feedback * rng.normal(size=shape)
        nonlinear[areas[j], areas[i]] = free * rng.normal(size=shape)
        nonlinear[areas[i], areas[j]] = free * rng.normal(size=shape).T * 10 ** rng.uniform(-1, 1)
        symmetric[areas[j], areas[i]] = 0.2 * rng.normal(size=shape)
    has = rng.random(4) < 0.4
    if rng.random() < 0.3:
        # Then areas may be scaled against each other.
        lower[:], has[1:3] = 0, (True, False)
    network = NetworkMatrices(
        sizes=tuple(sizes),
        edges=edges,
        area_weights=weights,
        coupling=lower,
        steps=None,
        integrator=integrator,
        dt=10 ** rng.uniform(-2, 0),
        tau=1.0,
        stability="certified",
        gauge=gauge if has[0] else None,
        nonlinear=nonlinear if has[1] else None,
        symmetric=symmetric + symmetric.T if has[2] else None,
        speeds=speeds if has[3] else None,
    )
    return replace(network, steps=steps_of(network))


def local_change(network: NetworkMatrices, slopes: np.ndarray) -> np.ndarray:
    """``h (R (-I + (W + C) D V) + S)``."""
    h, speeds = network.dt / network.tau, part(network, "speeds")
    total = network.area_weights + part(network, "nonlinear")
    inner = total * slopes @ part(network, "gauge") - np.eye(len(total))
    return h * (speeds[:, None] * inner + part(network, "symmetric"))


def rotations(network: NetworkMatrices) -> list[np.ndarray]:
    """What Cayley steps multiply the state by in turn."""
    if network.integrator == "cayley":
        return [network.steps]
    forward = backward = np.eye(len(network.area_weights))
    first, areas = 0, slices(network.sizes)
    for i, j in network.edges:
        units = np.r_[areas[i], areas[j]]
        step = np.eye(len(forward))
        step[np.ix_(units, units)] = network.steps[first : first + len(units) ** 2].reshape(len(units), -1)
        first += len(units) ** 2
        forward, backward = step @ forward, backward @ step
    return [forward, backward]


def step_jacobians(network: NetworkMatrices, slopes: np.ndarray) -> list[np.ndarray]:
    """Jacobians of the steps that a network takes in turn, in the coordinates that its certificate speaks of."""
    identity, turn = np.eye(len(network.area_weights)), network.dt / network.tau * skew_of(network)
    change = local_change(network, slopes)
    if network.integrator == "euler":
        return [identity + change + turn]
    if network.integrator == "resolvent":
        return [np.linalg.solve(identity - turn, identity + change)]
    if network.integrator == "imex":
        # y+ = P (2 y + f(y)) - y, seen in (I - h K / 2) y.
        half = identity - turn / 2
        return [half @ (np.linalg.solve(half, 2 * identity + change) - identity) @ np.linalg.inv(half)]
    return [(identity + change) @ rotation for rotation in rotations(network)]


def scaling(network: NetworkMatrices, scales: tuple[float, ...]) -> np.ndarray:
    """Entries by which a Jacobian is multiplied to be seen in the metric ``blockdiag(c_i I)``."""
    root = np.sqrt(np.repeat(scales, network.sizes)) if scales else np.ones(len(network.area_weights))
    return root[:, None] / root


def worst_vertex(network: NetworkMatrices, scales: tuple[float, ...] = ()) -> tuple[float, float]:
    """The largest factor of a step and the smallest rate over slopes in {0, 1}^n; both are met at such a vertex."""
    change, h = scaling(network, scales), network.dt / network.tau
    factor, rate = 0.0, np.inf
    for vertex in product((0.0, 1.0), repeat=len(change)):
        slopes = np.array(vertex)
        for jacobian in step_jacobians(network, slopes):
            factor = max(factor, float(np.linalg.norm(change * jacobian, 2)))
        flow = change * (local_change(network, slopes) / h + skew_of(network))
        rate = min(rate, -float(np.linalg.eigvalsh(flow + flow.T)[-1]) / 2)
    return factor, rate


def advance(network: NetworkMatrices, state: np.ndarray, drive: np.ndarray, time: int) -> np.ndarray:
    """One step of ``(N, pairs)`` states with ReLU, as the integrators are defined."""
    h, turn = network.dt / network.tau, network.dt / network.tau * skew_of(network)
    total, identity = network.area_weights + part(network, "nonlinear"), np.eye(len(state))
    speeds = part(network, "speeds")[:, None]

    def change(y: np.ndarray) -> np.ndarray:
        inner = total @ np.maximum(part(network, "gauge") @ y, 0) - y + drive
        return h * (speeds * inner + part(network, "symmetric") @ y)

    if network.integrator == "euler":
        return state + change(state) + turn @ state
    if network.integrator == "resolvent":
        return np.linalg.solve(identity - turn, state + change(state))
    if network.integrator == "imex":
        return np.linalg.solve(identity - turn / 2, 2 * state + change(state)) - state
    turned = rotations(network)
    rotated = turned[time % len(turned)] @ state
    return rotated + change(rotated)
