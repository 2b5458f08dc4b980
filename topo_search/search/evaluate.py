"""From a candidate to a score: a pure function of graph, epochs and seed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from topo_search.graph import ModuleGraph
from topo_search.model import ComboNet, build_network, save_network
from topo_search.search.history import Evaluation
from topo_search.search.space import SearchSpace
from topo_search.tasks import Task
from topo_search.training import (
    EdgeMoves,
    EpochRecord,
    TrainingConfig,
    accuracy,
    edge_scores,
    edge_start,
    inherit_coupling,
    keep_coupling,
    train,
)

__all__ = ["Evaluator", "Request", "candidate_network"]

# A training that is killed loses no more than this, and an epoch. Writing a checkpoint takes milliseconds.
CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True)
class Request:
    """One evaluation that is asked for; plain values, so that it can travel to any worker.

    Attributes:
        graph: the candidate, as JSON.
        epochs: fidelity.
        seed: of network and batches.
        use_best: judge the parameters of the best epoch on validation data instead of the last.
        read_test: also read the test part, once, with those parameters.
        checkpoint: file to take up and leave a checkpoint at, or ``None``.
        save_to: folder for the trained network and its certificate, or ``None``.
        edge_scores: also say how much each edge matters.
        moves: how edges move while the network trains, see :class:`topo_search.search.Pretraining`.
        inherit: file with a coupling to begin with, or ``None``.
        inherit_key: names what is in that file.
        keep_coupling: file to leave the trained coupling in, or ``None``.
    """

    graph: str
    epochs: int
    seed: int
    use_best: bool = False
    read_test: bool = False
    checkpoint: str | None = None
    save_to: str | None = None
    edge_scores: bool = False
    moves: str = "none"
    inherit: str | None = None
    inherit_key: str = ""
    keep_coupling: str | None = None

    @property
    def key(self) -> str:
        """Names what is computed: requests of one key have one result, wherever its files are."""
        content = f"{self.graph}|{self.epochs}|{self.seed}|{self.use_best}|{self.read_test}"
        if self.edge_scores or self.moves != "none" or self.inherit_key:
            content += f"|{self.edge_scores}|{self.moves}|{self.inherit_key}"
        return hashlib.blake2b(content.encode(), digest_size=12).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def candidate_network(space: SearchSpace, task: Task, graph: ModuleGraph, *, seed: int) -> ComboNet:
    """The network of a candidate: the one way from a graph to a network for search, training and ablation."""
    return build_network(
        graph,
        space.network,
        channels=task.channels,
        classes=task.classes,
        seed=seed,
        routing=space.routing,
    )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Evaluator:
    """Evaluates candidates of one space on one task.

    Results do not depend on where or when an evaluation runs, nor on how many others run beside it: every draw is named
    by the seed, each evaluation runs on one thread, and the native engine's sums depend on no thread at all.

    Args:
        space: the search space.
        task: its task, loaded.
        device: where to train.
        threads: of one evaluation on a CPU; the reference engine's sums depend on it, so searches leave it at 1.
    """

    def __init__(self, space: SearchSpace, task: Task, *, device: str = "cpu", threads: int = 1) -> None:
        self.space, self.task, self.device, self.threads = space, task, torch.device(device), threads
        settings = space.model_dump_json(include={"task", "areas", "network", "training"})
        self.fingerprint = hashlib.blake2b(settings.encode(), digest_size=12).hexdigest()

    def evaluate(self, request: Request, *, on_epoch: Callable[[EpochRecord], None] | None = None) -> Evaluation:
        """Train a candidate and score it.

        A training that diverges gives an evaluation with a reason, never an exception.

        Raises:
            InputError: if the graph does not fit the space or no stable area can be drawn.
        """
        evaluation = self._evaluate(request, None, on_epoch)
        assert evaluation is not None, "only a training of limited time stays unfinished"
        return evaluation

    def evaluate_part(self, request: Request, *, seconds: float) -> Evaluation | None:
        """Train for about so long, at least one epoch; call it again until there is an evaluation.

        The parts of a training give the bits of one without interruption, wherever each of them runs: all that passes
        between them is the request's checkpoint.

        Returns:
            The evaluation, or ``None`` if the training is unfinished: its checkpoint holds how far it came.

        Raises:
            InputError: as :meth:`evaluate`.
            ValueError: if the request has no checkpoint.
        """
        return self._evaluate(request, seconds, None)

    def _evaluate(
        self, request: Request, at_most_seconds: float | None, on_epoch: Callable[[EpochRecord], None] | None
    ) -> Evaluation | None:
        graph = ModuleGraph.from_json(request.graph)
        with _threads(self.threads):
            network = candidate_network(self.space, self.task, graph, seed=request.seed).to(self.device)
            if request.inherit is not None:
                inherit_coupling(Path(request.inherit), network)
            start = edge_start(network, self.task, seed=request.seed) if request.edge_scores else None
            run = train(
                network,
                self.task,
                self._training(request),
                epochs=request.epochs,
                seed=request.seed,
                use_best=request.use_best,
                checkpoint=None if request.checkpoint is None else Path(request.checkpoint),
                identity=self._identity(request, graph),
                checkpoint_seconds=CHECKPOINT_SECONDS,
                at_most_seconds=at_most_seconds,
                moves=self._moves(request),
                on_epoch=on_epoch,
            )
            if run.unfinished:
                return None
            if run.reason:
                return Evaluation.failure(run.reason, run.detail, seconds=run.seconds)
            network = run.network
            scores = None if start is None else edge_scores(network, start, self.task, seed=request.seed)
            if scores is not None and not all(math.isfinite(score) for row in scores.values() for score in row):
                return Evaluation.failure("diverged", "an edge score was not finite", seconds=run.seconds)
            if request.keep_coupling is not None:
                keep_coupling(Path(request.keep_coupling), network)
            test = accuracy(network, self.task, self.task.test()) if request.read_test else None
            certificate = save_network(Path(request.save_to), network) if request.save_to is not None else None
        return Evaluation(
            score=run.last_accuracy,
            curve=tuple(record.validation_accuracy for record in run.records),
            losses=tuple(record.loss for record in run.records),
            best_epoch=run.best_epoch,
            parameters=network.n_parameters - run.n_pruned,
            seconds=run.seconds,
            test_accuracy=test,
            certified=None if certificate is None else certificate.certified,
            rho=None if certificate is None else certificate.rho,
            edge_scores=scores,
            final_edges=None if request.moves == "none" else network.graph.edges,
        )

    def _training(self, request: Request) -> TrainingConfig:
        """Settings of a training: where edges move, pairs of units stay."""
        training = self.space.training
        return training if request.moves == "none" else training.model_copy(update={"unit_pruning": None})

    def _moves(self, request: Request) -> EdgeMoves | None:
        if request.moves == "none":
            return None
        settings = self.space.search.sparse_training
        return EdgeMoves(
            constraints=self.space.constraints,
            grow="rigl" if request.moves == "rigl" else "set",
            drop_fraction=settings.drop_fraction,
            every=settings.every,
            epochs=request.epochs,
        )

    def _identity(self, request: Request, graph: ModuleGraph) -> str:
        """Names a training in its checkpoint: all that its course depends on."""
        identity = f"{self.fingerprint}:{graph.key}:{request.seed}"
        if request.inherit is not None:
            identity += f":{request.inherit_key}"
        if request.moves != "none":
            settings = self.space.search.sparse_training
            identity += f":{request.moves}:{request.epochs}:{settings.drop_fraction}:{settings.every}"
        return identity
