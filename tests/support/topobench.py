"""A table of TopoBench-6 without training: scores come from a formula."""

from __future__ import annotations

from functools import cache

import numpy as np

from topo_search.graph import describe
from topo_search.search import Evaluation, SearchSpace
from topo_search.seeds import generator
from topo_search.topobench import SEEDS, Table, graph_classes, representative

VALIDATION_SIZE = 1000


def tiny_benchmark_space(**overrides):
    """A space of TopoBench-6 on the embedded digits whose trainings take tens of milliseconds."""
    entries = {
        "name": "tiny",
        "task": {"name": "digits", "train_size": 60, "validation_size": 50, "test_size": 50},
        "areas": [
            {"role": "input", "size": 4, "channels": [0, 1, 2, 3]},
            {"role": "input", "size": 4, "channels": [4, 5, 6, 7]},
            {"role": "hidden", "size": 4, "count": 3},
            {"role": "output", "size": 4},
        ],
        "edges": {"forbidden_roles": [["input", "output"]], "connected": True},
        "network": {"dt": 0.5, "recipe": {"density": 0.25, "magnitude": 2.0}},
        "training": {"epochs": 4, "batch_size": 20, "learning_rate": 0.05},
        "ladder": {"rungs": [1, 2, 4], "keep": 3, "window": 20},
    }
    return SearchSpace.model_validate({**entries, **overrides})


@cache
def _without_noise():
    """Accuracy after full training of every class, by mask, and its number of edges."""
    space, found = tiny_benchmark_space(), {}
    for mask in graph_classes().masks.tolist():
        described = describe(representative(space, mask))
        edges = int(described["edges"])
        found[mask] = 0.9 - 0.05 * described["input_output_path"] + 0.004 * edges, edges
    return found


@cache
def formula_table(noise=0.004, seed=0):
    """Short paths and many edges are good; each seed has noise of its own; later epochs are better."""
    space = tiny_benchmark_space()
    rng = generator("formula table", seed)
    evaluations = {}
    for mask, (base, edges) in _without_noise().items():
        for training_seed in SEEDS:
            accuracy = base * (1 - 0.5 / np.arange(1, 5)) + rng.normal(0, noise, 4)
            curve = tuple((np.rint(accuracy * VALIDATION_SIZE) / VALIDATION_SIZE).tolist())
            evaluations[mask, training_seed] = Evaluation(
                curve[-1],
                curve,
                tuple(1 - value for value in curve),
                best_epoch=int(np.argmax(curve)) + 1,
                parameters=100 + 16 * edges,
                seconds=0.25,
                certified=True,
                rho=0.97,
            )
    return Table.from_evaluations(space, SEEDS, evaluations, validation_size=VALIDATION_SIZE)
