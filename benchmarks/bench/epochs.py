"""Whole epochs of a task by the training loop of the search, on a 16x32 global workspace."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.cases import CASES, SEED
from topo_search.model import NetworkConfig, build_network
from topo_search.tasks import TaskConfig, load_task
from topo_search.training import Trainer, TrainingConfig

__all__ = ["EPOCH_TASKS", "epoch_rows"]

# Areas and step as in the published work; batch 128, Adam at 0.002, and our clipping of gradients.
EPOCH_TASKS = ("seq_cifar10", "seq_mnist", "ps_mnist", "seq_fashion_mnist", "digits")
VALIDATION_SHARE = 0.1

Row = dict[str, Any]


def epoch_rows(
    name: str,
    integrator: str,
    *,
    epochs: int,
    data_dir: Path | None,
    sequences: int | None,
    on_row: Callable[[Row], None] | None = None,
) -> list[Row]:
    """Train a few epochs and time each.

    A tenth of the training part is held back for validation (5,000 of 50,000 images for CIFAR-10), and an epoch is one
    pass over the rest and the validation after it. ``full_part_s`` is that time scaled to training on all of it: an
    upper bound, because validation is scaled with it. It is ``None`` where ``sequences`` are fewer.

    Args:
        name: of the task.
        integrator: ``euler`` (continuous certificate only) or one that certified networks take.
        epochs: how many.
        data_dir: as for the commands of ``topo_search``.
        sequences: train on so many only; all where not given.
        on_row: called after each epoch.

    Raises:
        InputError: if the data are missing, or there are fewer sequences.
        DivergedError: if the training diverged.
    """
    stability = "continuous" if integrator == "euler" else "certified"
    config = NetworkConfig.model_validate({"stability": stability, "integrator": integrator, "dt": 0.03})
    task = load_task(TaskConfig(name=name, validation_size=VALIDATION_SHARE, train_size=sequences), data_dir=data_dir)
    network = build_network(CASES["gw16"].graph(), config, channels=task.channels, classes=task.classes, seed=SEED)
    training = TrainingConfig(epochs=epochs, batch_size=128, learning_rate=0.002)
    trainer = Trainer(network, task, training, seed=SEED)
    trained, validated = len(task.train), len(task.validation)
    whole = trained + validated if sequences is None else None
    rows: list[Row] = []
    for _ in range(epochs):
        begin = time.perf_counter()
        record = trainer.train_epoch()
        seconds = time.perf_counter() - begin
        rows.append(
            {
                "task": task.label,
                "integrator": integrator,
                "epoch": record.epoch,
                "seconds": seconds,
                "full_part_s": None if whole is None else seconds * whole / trained,
                "full_part": whole,
                "trained": trained,
                "validated": validated,
                "loss": record.loss,
                "validation_accuracy": record.validation_accuracy,
            }
        )
        if on_row is not None:
            on_row(rows[-1])
    return rows
