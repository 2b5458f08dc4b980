"""Learning rate by epoch."""

from __future__ import annotations

import math

from topo_search.training.config import TrainingConfig

__all__ = ["learning_rate"]


def learning_rate(config: TrainingConfig, epoch: int) -> float:
    """The learning rate of an epoch, counted from 0.

    It depends on ``config.epochs`` and never on where a rung stops: the first epochs of a short training are the first
    epochs of the full one.
    """
    if config.schedule == "step":
        return config.learning_rate * config.cut_factor ** sum(epoch >= cut for cut in config.cuts)
    if config.schedule == "cosine":
        progress = min(1.0, epoch / config.epochs)
        share = config.final_factor + (1 - config.final_factor) * 0.5 * (1 + math.cos(math.pi * progress))
        return config.learning_rate * share
    return config.learning_rate
