"""The runs of ``benchmarks/euler_limit.py``: arms, sizes, their order, and the network of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from topo_search.errors import InputError
from topo_search.graph import Area, GraphConstraints, make_family
from topo_search.model import ComboNet, NetworkConfig, build_network
from topo_search.seeds import generator
from topo_search.tasks import TaskConfig

__all__ = ["ARMS", "SIZES", "Run", "Settings", "default_order", "network_of", "parse_runs", "reason_of"]

DT = 0.03
AREA_NORM = 0.9
CERTIFIED = {"stability": "certified", "area_norm": AREA_NORM}
ARMS: Mapping[str, Mapping[str, Any]] = {
    "as_released": {"stability": "as_released"},
    "as_released_0.3": {"stability": "as_released"},
    "cayley": {**CERTIFIED, "integrator": "cayley"},
    "cayley_0.99": {**CERTIFIED, "integrator": "cayley", "area_norm": 0.99},
    "cayley_slow": {**CERTIFIED, "integrator": "cayley"},
    "euler": {"stability": "continuous", "area_norm": AREA_NORM},
    "euler_slow": {"stability": "continuous", "area_norm": AREA_NORM},
    "imex": {**CERTIFIED, "integrator": "imex"},
    "resolvent": {**CERTIFIED, "integrator": "resolvent"},
    "euler_capped": {**CERTIFIED, "integrator": "euler"},
}
"""Settings of the network by arm; all else is the same."""
AREA_FACTORS: Mapping[str, float] = {"as_released_0.3": 0.3}
"""Factor on the area weights after they were accepted, 1 for the other arms; that of the published runs is unknown."""
SLOWEST: Mapping[str, float] = {"cayley_slow": 30.0, "euler_slow": 30.0}
"""Time constant of the last area, from 1 of the first in equal ratios; 1 of all areas for the other arms."""
SIZES = (8, 16, 20, 24)
"""Numbers of areas. All-to-all coupling drawn N(0, 1/n) has norm ``2 sqrt(p - 1)``: 8.10 is crossed at 17.4 areas."""


@dataclass(frozen=True)
class Settings:
    """What all runs of a folder share.

    Attributes:
        task: name of the task, presented as by default (pixel by pixel for ``seq_mnist``).
        units: of each area.
        batch: sequences of a training step.
        learning_rate: of Adam.
        clip_norm: largest norm of the gradient.
        validation: images held back from the training part; all of them judge the end of a run.
        glance: of these, how many judge it on the way.
        evaluate_every: training steps between two such judgements.
        record_every: training steps between two records, and two states kept.
        snapshot_every: training steps between two kept couplings.
        divergence_loss: above it a run has diverged.
    """

    task: str = "seq_mnist"
    units: int = 32
    batch: int = 64
    learning_rate: float = 0.002
    clip_norm: float = 1.0
    validation: int = 2000
    glance: int = 512
    evaluate_every: int = 100
    record_every: int = 50
    snapshot_every: int = 100
    divergence_loss: float = 1e4

    def task_config(self) -> TaskConfig:
        """The task; validation images are of the training part, the test part is never read."""
        return TaskConfig(name=self.task, validation_size=self.validation)


@dataclass(frozen=True)
class Run:
    """One training: the number of areas, the arm and the seed of weights and batches."""

    areas: int
    arm: str
    seed: int = 0

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.areas:02d}-{self.arm}-seed{self.seed}"

    def identity(self, settings: Settings) -> dict[str, Any]:
        """What its state belongs to."""
        network = {**ARMS[self.arm], "dt": DT, "area_factor": AREA_FACTORS.get(self.arm, 1.0)}
        if self.arm in SLOWEST:
            network["slowest"] = SLOWEST[self.arm]
        return {**asdict(self), "network": network, "settings": asdict(settings)}


def network_of(run: Run, settings: Settings, *, channels: int, classes: int) -> ComboNet:
    """The network at initialisation: areas joined all to all, every area input and output.

    Runs of one seed share every draw of area weights (before rescaling), coupling, input layer and readout.

    Raises:
        ValueError: if this version has no such arm.
    """
    taus = np.geomspace(1.0, SLOWEST.get(run.arm, 1.0), run.areas).tolist()
    own = {area: {"tau": tau} for area, tau in enumerate(taus) if tau != 1.0}
    settings_of_arm = {"dt": DT, "tau": 1.0, "coupling_scale": 1.0, "areas": own, **ARMS[run.arm]}
    config = NetworkConfig.model_validate(settings_of_arm)
    areas = (Area(settings.units, is_input=True, is_output=True),) * run.areas
    graph = make_family("all_to_all", GraphConstraints(areas), generator(run.seed, "graph"), ignore_budget=True)
    network = build_network(graph, config, channels=channels, classes=classes, seed=run.seed)
    network.area_weights *= AREA_FACTORS.get(run.arm, 1.0)
    return network


def reason_of(error: ValueError) -> str:
    """One line on why a network could not be built."""
    return str(error.errors()[0]["msg"]) if isinstance(error, ValidationError) else str(error)


def default_order(sizes: Sequence[int] = SIZES) -> Iterator[tuple[int, str]]:
    """All arms at the smallest size, then arm by arm the others, the largest first: an early stop leaves contrasts."""
    smallest, *rest = sorted(sizes)
    yield from ((smallest, arm) for arm in ARMS)
    by_interest = [*rest[-1:], *rest[:-1]]
    yield from ((size, arm) for arm in ARMS for size in by_interest)


def _pairs(text: str) -> list[tuple[int, str]]:
    size, _, arm = text.strip().partition(":")
    known = arm == "*" or arm in ARMS
    if not known or not (size == "*" or (size.isascii() and size.isdigit() and int(size) > 1)):
        raise InputError(f"run {text!r}: expected AREAS:ARM such as 24:cayley, * for all; arms: {', '.join(ARMS)}")
    sizes = SIZES if size == "*" else (int(size),)
    return [(s, a) for s in sizes for a in (ARMS if arm == "*" else (arm,))]


def parse_runs(order: str | None, only: Sequence[str], seeds: int) -> list[Run]:
    """The runs in their order, all of one seed before the next.

    Args:
        order: comma-separated ``AREAS:ARM``, ``*`` for all on either side; :func:`default_order` where not given.
        only: of these, the runs that are wanted; sizes that the order lacks are appended. All where empty.
        seeds: how many.

    Raises:
        InputError: if there is no such arm.
    """
    chosen = list(default_order()) if order is None else [pair for text in order.split(",") for pair in _pairs(text)]
    wanted = [pair for text in only for pair in _pairs(text)]
    if wanted:
        chosen = [pair for pair in chosen if pair in wanted] + [pair for pair in wanted if pair not in chosen]
    return [Run(size, arm, seed) for seed in range(seeds) for size, arm in dict.fromkeys(chosen)]
