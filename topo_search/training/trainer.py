"""Adam and a network, advanced epoch by epoch; its whole state can be saved and taken up again bit for bit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from topo_search.graph import Edge
from topo_search.model import ComboNet
from topo_search.seeds import generator
from topo_search.tasks import Split, Task
from topo_search.training.config import TrainingConfig
from topo_search.training.edge_blocks import EDGE_PARAMETERS, repacked, with_edges
from topo_search.training.edge_moves import EdgeMoves
from topo_search.training.schedule import learning_rate
from topo_search.training.unit_pruning import check_unit_pruning, kept_pairs

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
        network: trained in place, but where edges move: :attr:`network` is then another.
        task: data.
        config: settings.
        seed: of the order of batches, and of edges that grow at random.
        moves: how edges move, if they do.

    Raises:
        InputError: if pairs of units are to be pruned from a network that is not joined by linear negative feedback.
    """

    def __init__(
        self, network: ComboNet, task: Task, config: TrainingConfig, *, seed: int, moves: EdgeMoves | None = None
    ) -> None:
        self.network, self.config, self.seed, self.moves = network, config, seed, moves
        if config.unit_pruning is not None:
            check_unit_pruning(network)
        self.kept: Tensor | None = None
        """Pairs of units that pruning left, packed as the coupling; ``None`` before the first pruning."""
        parameter = network.input_bias
        self._train = _Batches(task, task.train, parameter.device, parameter.dtype)
        self._validation = _Batches(task, task.validation, parameter.device, parameter.dtype)
        self.optimiser = self._adam(network)
        self.records: list[EpochRecord] = []
        self.best_epoch = 0
        self.best_parameters: dict[str, Tensor] = {}

    def _adam(self, network: ComboNet) -> torch.optim.Adam:
        # Fused: on small networks a step of Adam, tensor by tensor, would cost a quarter of the training.
        config = self.config
        return torch.optim.Adam(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )

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
        if self.config.unit_pruning is not None and epoch in self.config.unit_pruning.epochs:
            self._prune_pairs(epoch)
        if self.moves is not None and self.moves.due(epoch):
            self._move_edges(self.moves, epoch)
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

    def _prune_pairs(self, epoch: int) -> None:
        assert self.config.unit_pruning is not None
        self.kept = kept_pairs(self.network, self.config.unit_pruning, epoch, self.kept)
        coupling = self.network.coupling
        state = self.optimiser.state[coupling]
        with torch.no_grad():
            for tensor in (coupling, state["exp_avg"], state["exp_avg_sq"]):
                tensor.mul_(self.kept)
        # Without some pairs the norm of the coupling may be larger than with them.
        self.network.project()
        self.best_epoch = 0

    def _move_edges(self, moves: EdgeMoves, epoch: int) -> None:
        rng = generator(self.seed, "edge moves", epoch)
        indices = torch.from_numpy(rng.permutation(len(self._train.split))[: self.config.batch_size])
        edges = moves.moved(self.network, epoch, self._train.take(indices), rng)
        if edges != self.network.graph.edges:
            self.rewire(edges)
            self.best_epoch = 0

    def rewire(self, edges: tuple[Edge, ...]) -> None:
        """Go on with the same network on other edges: :attr:`network` is another from here on.

        Blocks that stay keep their numbers and their moments; new ones begin at zero with none.
        """
        before, optimiser = self.network, self.optimiser
        self.network = with_edges(before, edges)
        self.optimiser = self._adam(self.network)
        for name, parameter in self.network.named_parameters():
            state = optimiser.state.get(before.get_parameter(name))
            if not state:
                continue
            moments = {moment: state[moment] for moment in ("exp_avg", "exp_avg_sq")}
            if name in EDGE_PARAMETERS:
                moments = {key: repacked(m, before.layout, self.network.layout) for key, m in moments.items()}
            self.optimiser.state[parameter] = {"step": state["step"], **moments}

    @property
    def best_accuracy(self) -> float:
        """Validation accuracy of the best epoch (the first of equals) since edges moved or pairs were pruned."""
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
        if self.kept is not None and self.network.coupling.grad is not None:
            self.network.coupling.grad.mul_(self.kept)
        if self.config.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        self.optimiser.step()
        self.network.project()
        return value
