"""Training: one loop, schedules, checkpoints.

- :func:`train`, :class:`TrainingRun`: the loop and how it went.
- :class:`TrainingConfig`, :class:`UnitPruning`, :data:`PRESETS`: settings; ``published`` is the protocol of the paper.
- :class:`Trainer`, :class:`EpochRecord`, :func:`accuracy`: epoch by epoch.
- :func:`save_checkpoint`, :func:`restore_checkpoint`: the state of a training.
- :data:`EDGE_CRITERIA`, :func:`edge_start`, :func:`edge_scores`: how much each edge matters.
- :class:`EdgeMoves`: edges that move while a network trains.
- :func:`keep_coupling`, :func:`inherit_coupling`: a trained coupling for other graphs to begin with.
"""

from topo_search.training.checkpoint import restore_checkpoint, save_checkpoint
from topo_search.training.config import PRESETS, TrainingConfig, UnitPruning
from topo_search.training.edge_moves import EdgeMoves
from topo_search.training.edge_scores import EDGE_CRITERIA, EdgeStart, edge_scores, edge_start
from topo_search.training.inheritance import inherit_coupling, keep_coupling
from topo_search.training.loop import TrainingRun, train
from topo_search.training.trainer import DivergedError, EpochRecord, Trainer, accuracy

__all__ = [
    "EDGE_CRITERIA",
    "PRESETS",
    "DivergedError",
    "EdgeMoves",
    "EdgeStart",
    "EpochRecord",
    "Trainer",
    "TrainingConfig",
    "TrainingRun",
    "UnitPruning",
    "accuracy",
    "edge_scores",
    "edge_start",
    "inherit_coupling",
    "keep_coupling",
    "restore_checkpoint",
    "save_checkpoint",
    "train",
]
