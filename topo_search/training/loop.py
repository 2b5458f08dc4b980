"""The one training loop: from a network and a task to a curve, a verdict and the best parameters."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from topo_search.errors import InputError
from topo_search.files import UnreadableError
from topo_search.model import ComboNet
from topo_search.tasks import Task
from topo_search.training.checkpoint import restore_checkpoint, save_checkpoint
from topo_search.training.config import TrainingConfig
from topo_search.training.edge_moves import EdgeMoves
from topo_search.training.trainer import DivergedError, EpochRecord, Trainer

__all__ = ["TrainingRun", "train"]


def _take_up(checkpoint: Path, trainer: Trainer, *, identity: str, at_most: int) -> None:
    """Go on from a checkpoint; one that is of no use is removed: the training is then done again from the start."""
    try:
        restore_checkpoint(checkpoint, trainer, identity=identity, at_most=at_most)
    except UnreadableError:
        # Hours of training may be in it, for the next time that the disk lets it be read.
        raise
    except InputError:
        if checkpoint.is_dir():
            raise
        checkpoint.unlink(missing_ok=True)


@dataclass(frozen=True)
class TrainingRun:
    """How a training went.

    Attributes:
        records: one an epoch, from the first, also where the training was taken up from a checkpoint.
        reason: ``diverged``, or empty.
        detail: where it diverged.
        best_epoch: epoch of the best validation accuracy, the first of equals; 0 if none ended.
        seconds: spent now, without what a checkpoint saved.
        resumed_from: epochs taken from the checkpoint.
        network: as trained: the one that was given, or another where edges moved.
        n_pruned: trainable parameters of it that pruning holds at zero.
        unfinished: whether the training stopped for lack of time; its checkpoint holds how far it came.
    """

    records: tuple[EpochRecord, ...]
    reason: str
    detail: str
    best_epoch: int
    seconds: float
    resumed_from: int
    network: ComboNet
    n_pruned: int = 0
    unfinished: bool = False

    @property
    def last_accuracy(self) -> float:
        """Validation accuracy after the last epoch."""
        return self.records[-1].validation_accuracy

    @property
    def best_accuracy(self) -> float:
        """Validation accuracy after the best epoch."""
        return self.records[self.best_epoch - 1].validation_accuracy


def train(
    network: ComboNet,
    task: Task,
    config: TrainingConfig,
    *,
    epochs: int,
    seed: int,
    use_best: bool = False,
    checkpoint: Path | None = None,
    identity: str = "",
    checkpoint_every: int | None = None,
    checkpoint_seconds: float | None = None,
    at_most_seconds: float | None = None,
    moves: EdgeMoves | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> TrainingRun:
    """Train a network in place; where edges move, ``network`` of what is returned is the one that was trained.

    Args:
        network: to train.
        task: data; the test part is not touched.
        config: settings; schedules run over ``config.epochs``.
        epochs: where to stop, at most ``config.epochs``; a shorter training is the beginning of the full one.
        seed: of the order of batches.
        use_best: leave the parameters of the best epoch on validation data in the network, not the last.
        checkpoint: file that is taken up when it is there and is of this training, and written at the end (a corrupt
            one is removed and made again: the result is the same, only later).
        identity: names the training in the checkpoint.
        checkpoint_every: also write it after every so many epochs.
        checkpoint_seconds: also write it after the first epoch that ends so long after the last writing.
        at_most_seconds: stop after the first epoch that ends so long after the beginning, with a checkpoint: called
            again, training goes on. At least one epoch is trained each time.
        moves: how edges move, if they do; the best epoch is then one since the last move.
        on_epoch: called after each epoch.

    Raises:
        ValueError: if ``epochs`` is outside 1 .. ``config.epochs``, or time is limited without a checkpoint.
        InputError: if ``checkpoint`` is a folder, or pairs of units cannot be pruned from this network.
        UnreadableError: an ``InputError`` too, if ``checkpoint`` is there and the disk does not let it be read.
    """
    if not 1 <= epochs <= config.epochs:
        raise ValueError(f"epochs must lie in 1 .. {config.epochs}, got {epochs}")
    if at_most_seconds is not None and checkpoint is None:
        raise ValueError("at_most_seconds needs a checkpoint to go on from")
    begin = time.perf_counter()
    trainer = Trainer(network, task, config, seed=seed, moves=moves)
    if checkpoint is not None and checkpoint.exists():
        _take_up(checkpoint, trainer, identity=identity, at_most=epochs)
    resumed = trainer.epochs_done
    reason = detail = ""
    unfinished = False
    written = begin
    try:
        while trainer.epochs_done < epochs and not unfinished:
            record = trainer.train_epoch()
            if on_epoch is not None:
                on_epoch(record)
            now = time.perf_counter()
            more = trainer.epochs_done < epochs
            unfinished = more and at_most_seconds is not None and now - begin >= at_most_seconds
            due = bool(checkpoint_every) and trainer.epochs_done % (checkpoint_every or 1) == 0
            due = due or (checkpoint_seconds is not None and now - written >= checkpoint_seconds)
            # What ends now is saved below.
            if checkpoint is not None and due and more and not unfinished:
                save_checkpoint(checkpoint, trainer, identity=identity)
                written = time.perf_counter()
    except DivergedError as error:
        reason, detail = "diverged", str(error)
    if not reason and checkpoint is not None and trainer.epochs_done > resumed:
        save_checkpoint(checkpoint, trainer, identity=identity)
    if use_best and trainer.best_epoch and not unfinished:
        trainer.use_best()
    return TrainingRun(
        records=tuple(trainer.records),
        reason=reason,
        detail=detail,
        best_epoch=trainer.best_epoch,
        seconds=time.perf_counter() - begin,
        resumed_from=resumed,
        network=trainer.network,
        n_pruned=0 if trainer.kept is None else int((~trainer.kept).sum()),
        unfinished=unfinished,
    )
