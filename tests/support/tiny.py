"""A task, a graph and a search space small enough that a whole training takes milliseconds."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from topo_search.graph import Area, ModuleGraph
from topo_search.model import ComboNet, NetworkConfig, SparseRecipe, build_network
from topo_search.search import SearchSpace
from topo_search.tasks import Split, Task, TaskConfig

# At four units the paper's density leaves most areas without a weight.
TINY_RECIPE = {"density": 0.25, "magnitude": 2.0}


def tiny_split(count: int, *, classes: int = 2, side: int = 6, seed: int = 0) -> Split:
    """Square images, bright left of the middle for class 0 and right of it for class 1 (and so on), with noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = rng.integers(0, 120, (count, side, side, 1))
    for index, label in enumerate(labels):
        columns = np.array_split(np.arange(side), classes)[label]
        images[index][:, columns] += 100
    return Split(torch.from_numpy(images.astype(np.uint8)), torch.from_numpy(labels.astype(np.int64)))


def tiny_task(*, train_size: int = 60, classes: int = 2, side: int = 6, **options: Any) -> Task:
    """A task that a tiny network learns in a few epochs: ``side`` steps of ``side`` channels."""
    return Task(
        config=TaskConfig(name="tiny", **{"presentation": "rows", **options}),
        label="tiny",
        classes=classes,
        train=tiny_split(train_size, classes=classes, side=side, seed=1),
        validation=tiny_split(20, classes=classes, side=side, seed=2),
        offset=(110.0,),
        scale=(60.0,),
        read_test=partial(tiny_split, 20, classes=classes, side=side, seed=3),
    )


def tiny_graph() -> ModuleGraph:
    """Input, two hidden, output, of mixed sizes; 4 edges."""
    areas = [Area(4, is_input=True), Area(3), Area(4), Area(5, is_output=True)]
    return ModuleGraph(areas, [(0, 1), (1, 3), (0, 2), (2, 3)])


def tiny_network(
    *, graph: ModuleGraph | None = None, channels: int = 6, classes: int = 2, seed: int = 0, **options: Any
) -> ComboNet:
    """A network of :func:`tiny_graph` for :func:`tiny_task`; ``options`` are those of ``NetworkConfig``."""
    config = NetworkConfig(**{"dt": 0.2, "recipe": SparseRecipe(**TINY_RECIPE), **options})
    return build_network(graph or tiny_graph(), config, channels=channels, classes=classes, seed=seed)


def tiny_space(**overrides: Any) -> SearchSpace:
    """A space on the embedded digits whose trainings take tens of milliseconds; ``overrides`` replace whole entries."""
    entries: dict[str, Any] = {
        "name": "tiny",
        "task": {"name": "digits", "train_size": 100, "validation_size": 60, "test_size": 60},
        "areas": [
            {"role": "input", "size": 4, "channels": [0, 1, 2, 3]},
            {"role": "input", "size": 4, "channels": [4, 5, 6, 7]},
            {"role": "hidden", "size": 4, "count": 3},
            {"role": "output", "size": 4},
        ],
        "edges": {"max_edges": 7, "forbidden_roles": [["input", "output"]]},
        "network": {"dt": 0.5, "input_scale": 3.0, "coupling_scale": 2.0, "recipe": TINY_RECIPE},
        "training": {"epochs": 3, "batch_size": 20, "learning_rate": 0.05},
        "ladder": {"rungs": [1, 2, 3], "keep": 3, "window": 20},
        "search": {"evolution": {"population": 8, "tournament": 3}},
        "after": {
            "rescored": 3,
            "rescore_seeds": 2,
            "winners": 2,
            "seeds": 2,
            "random_controls": 2,
            "rewired_controls": 1,
        },
        "probe": {"graphs": 4, "seeds": 2},
    }
    return SearchSpace.model_validate({**entries, **overrides})
