"""A network with data and labels, ready to be trained one step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from bench.cases import SEED, Case
from topo_search.engine import INTEGRATORS, Dynamics, Integrator
from topo_search.errors import InputError
from topo_search.model import ComboNet, NetworkConfig, build_network
from topo_search.seeds import seed_for

__all__ = ["CLASSES", "Problem", "make_problem"]

CLASSES = 10
DT = 0.03
# With the default scale of 1 the largest networks here grow under Euler, to numbers that no training would see.
COUPLING_SCALE = 0.5


@dataclass(frozen=True)
class Problem:
    """What all contenders train.

    Attributes:
        network: its weights are copied by every contender.
        dynamics: of the integrator that is timed; the network's own but for that.
        inputs: ``(T, B, C)``, standard normal.
        labels: ``(B,)``, uniform over the classes.
    """

    network: ComboNet
    dynamics: Dynamics
    inputs: Tensor
    labels: Tensor


def make_problem(case: Case, integrator: str) -> Problem:
    """The network of a case with random data; the weights are the same for every integrator.

    The network has the settings that let Euler run as published, without a projection of its coupling after each step.

    Raises:
        InputError: if there is no such integrator.
    """
    if integrator not in INTEGRATORS:
        raise InputError(f"integrator {integrator!r}: expected one of {', '.join(INTEGRATORS)}")
    config = NetworkConfig(stability="continuous", integrator="euler", dt=DT, tau=1.0, coupling_scale=COUPLING_SCALE)
    network = build_network(case.graph(), config, channels=case.channels, classes=CLASSES, seed=SEED)
    rng = torch.Generator().manual_seed(seed_for(SEED, "benchmark data", case.name))
    return Problem(
        network,
        replace(network.dynamics, integrator=cast(Integrator, integrator)),
        torch.randn(case.steps, case.batch, case.channels, generator=rng),
        torch.randint(CLASSES, (case.batch,), generator=rng),
    )
