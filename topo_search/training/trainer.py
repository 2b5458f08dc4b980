"""Adam and a network, advanced epoch by epoch; its whole state can be saved and taken up again bit for bit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from topo_search.model import ComboNet
from topo_search.seeds import generator
from topo_search.tasks import Split, Task
from topo_search.training.config import TrainingConfig
from topo_search.training.schedule import learning_rate

__all__ = ["DivergedError", "EpochRecord", "Trainer", "accuracy"]

# A split of at most this many floats (128 MB) is expanded once instead of batch by batch.
EXPAND_LIMIT = 1 << 25
EVALUATION_BATCH = 512


class DivergedError(ArithmeticError):
    """The loss or a state was not finite, or the loss was too large; the message says where."""


@dataclass(frozen=True)
class EpochRecord:
    """What an epoch left behind.

    Attributes:
        epoch: counted from 1.
        loss: mean cross-entropy over the epoch's training batches.
        validation_accuracy: after the epoch, in [0, 1].
    """

    epoch: int
    loss: float
    validation_accuracy: float


class _Batches:
    """Batches of a split, expanded once where that is small."""

    def __init__(self, task: Task, split: Split, device: torch.device, dtype: torch.dtype) -> None:
        self.task, self.split, self.device, self.dtype = task, split, device, dtype
        small = len(split) * task.steps * task.channels <= EXPAND_LIMIT
        self.whole = task.batch(split, device=device, dtype=dtype) if small else None

    def take(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        if self.whole is None:
            return self.task.batch(self.split, indices, device=self.device, dtype=self.dtype)
        indices = indices.to(self.device)
        return self.whole[0].index_select(1, indices), self.whole[1].index_select(0, indices)


def _accuracy(network: ComboNet, batches: _Batches) -> float:
    correct = 0
    count = len(batches.split)
    with torch.no_grad():
        for start in range(0, count, EVALUATION_BATCH):
            inputs, labels = batches.take(torch.arange(start, min(start + EVALUATION_BATCH, count)))
            logits = network(inputs)
            if not bool(torch.isfinite(logits).all()):
                raise DivergedError("a state was not finite on validation data")
            correct += int((logits.argmax(1) == labels).sum())
    return correct / count


def accuracy(network: ComboNet, task: Task, split: Split) -> float:
    """Share of sequences of a split that the network classifies rightly, in [0, 1].

    Raises:
        DivergedError: if a logit is not finite.
    """
    parameter = network.input_bias
    return _accuracy(network, _Batches(task, split, parameter.device, parameter.dtype))


class Trainer:
    """Trains a network on a task.

    The order of batches depends on the seed and the epoch alone, so a training that was stopped after any epoch and
    taken up again ends with the same bits as one that was not.

    Args:
        network: trained in place.
        task: data.
        config: settings.
        seed: of the order of batches.
    """

    def __init__(self, network: ComboNet, task: Task, config: TrainingConfig, *, seed: int) -> None:
        self.network, self.config, self.seed = network, config, seed
        parameter = network.input_bias
        self._train = _Batches(task, task.train, parameter.device, parameter.dtype)
        self._validation = _Batches(task, task.validation, parameter.device, parameter.dtype)
        # Fused: on small networks a step of Adam, tensor by tensor, would cost a quarter of the training.
        self.optimiser = torch.optim.Adam(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.records: list[EpochRecord] = []
        self.best_epoch = 0
        self.best_parameters: dict[str, Tensor] = {}

    @property
    def epochs_done(self) -> int:
        """Epochs trained so far."""
        return len(self.records)

    def train_epoch(self) -> EpochRecord:
        """One pass over the training split, then the validation accuracy.

        Raises:
            DivergedError: if the loss is not finite or above ``config.divergence_loss``, or a state is not finite.
        """
        epoch = self.epochs_done
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.config, epoch)
        count = len(self._train.split)
        order = torch.from_numpy(generator(self.seed, "batches", epoch).permutation(count))
        total = 0.0
        for step, start in enumerate(range(0, count, self.config.batch_size)):
            indices = order[start : start + self.config.batch_size]
            total += self._train_batch(indices, f"epoch {epoch + 1}, batch {step + 1}") * len(indices)
        record = EpochRecord(epoch + 1, total / count, _accuracy(self.network, self._validation))
        self.records.append(record)
        if self.best_epoch == 0 or record.validation_accuracy > self.best_accuracy:
            self.best_epoch = record.epoch
            self.best_parameters = {n: p.detach().clone() for n, p in self.network.named_parameters()}
        return record

    @property
    def best_accuracy(self) -> float:
        """Validation accuracy of the best epoch (the first of equals)."""
        return self.records[self.best_epoch - 1].validation_accuracy

    def use_best(self) -> None:
        """Put the parameters of the best epoch into the network; training cannot go on after that."""
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                parameter.copy_(self.best_parameters[name])

    def _train_batch(self, indices: Tensor, where: str) -> float:
        inputs, labels = self._train.take(indices)
        loss = nn.functional.cross_entropy(self.network(inputs), labels)
        value = float(loss.detach())
        if not math.isfinite(value) or value > self.config.divergence_loss:
            raise DivergedError(f"loss {value:.4g} at {where}")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.config.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        self.optimiser.step()
        self.network.project()
        return value
