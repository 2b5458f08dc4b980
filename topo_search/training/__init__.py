"""Training: one loop, schedules, checkpoints.

- :func:`train`, :class:`TrainingRun`: the loop and how it went.
- :class:`TrainingConfig`, :data:`PRESETS`: settings; ``published`` is the protocol of the paper.
- :class:`Trainer`, :class:`EpochRecord`, :func:`accuracy`: epoch by epoch.
- :func:`save_checkpoint`, :func:`restore_checkpoint`: the state of a training.
"""

from topo_search.training.checkpoint import restore_checkpoint, save_checkpoint
from topo_search.training.config import PRESETS, TrainingConfig
from topo_search.training.loop import TrainingRun, train
from topo_search.training.trainer import DivergedError, EpochRecord, Trainer, accuracy

__all__ = [
    "PRESETS",
    "DivergedError",
    "EpochRecord",
    "Trainer",
    "TrainingConfig",
    "TrainingRun",
    "accuracy",
    "restore_checkpoint",
    "save_checkpoint",
    "train",
]
