"""Training one run of ``benchmarks/euler_limit.py``, step by step, from wherever it was left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench.limit_runs import Settings
from bench.limit_state import Progress, Record, RunFiles
from topo_search.model import ComboNet
from topo_search.model.coupling import coupling_norm
from topo_search.seeds import generator
from topo_search.tasks import Split, Task
from topo_search.training import DivergedError, accuracy

__all__ = ["LimitTraining"]


class LimitTraining:
    """A run that can be stopped after any training step and taken up again with the same numbers.

    Args:
        files: where it is kept; a state that is there is taken up.
        network: at initialisation, trained in place.
        task: data; the test part is not touched.
        settings: shared by all runs.
        seed: of the order of batches.

    Raises:
        InputError: if the kept state is corrupt.
    """

    def __init__(self, files: RunFiles, network: ComboNet, task: Task, settings: Settings, *, seed: int) -> None:
        self.files, self.network, self.task, self.settings, self.seed = files, network, task, settings, seed
        self.optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)
        self.progress: Progress = files.restore(network, self.optimiser)
        self._began = time.perf_counter() - self.progress.seconds
        self._order: tuple[int, Tensor] | None = None

    def train(self, steps: int, *, out_of_time: Callable[[], bool], on_record: Callable[[Record], None]) -> str:
        """Go on to ``steps`` training steps.

        Returns:
            ``done``, ``diverged at step K: WHY``, or ``stopped at step K`` when ``out_of_time()`` was true.
        """
        progress = self.progress
        if not progress.records:
            self._record(None, images=0, on_record=on_record)
            self.files.save_snapshot(self.network, 0)
            self._save()
        while progress.step < steps and not progress.diverged:
            if out_of_time():
                self._save()
                return f"stopped at step {progress.step}"
            try:
                self._advance(steps, on_record)
            except DivergedError as error:
                progress.diverged = f"diverged at step {progress.step}: {error}"
                self._record(_mean(progress.window), images=0, on_record=on_record)
                progress.window.clear()
                self._save()
        return progress.diverged or "done"

    def _advance(self, steps: int, on_record: Callable[[Record], None]) -> None:
        progress, settings = self.progress, self.settings
        progress.step += 1
        loss = self._train_batch(progress.step - 1)
        progress.window.append(loss)
        last = progress.step == steps
        if progress.step % settings.snapshot_every == 0 or last:
            self.files.save_snapshot(self.network, progress.step)
        if progress.step % settings.record_every == 0 or last:
            glance = settings.glance if progress.step % settings.evaluate_every == 0 else 0
            images = settings.validation if last else glance
            self._record(_mean(progress.window), images=images, on_record=on_record)
            progress.window.clear()
            self._save()

    def _train_batch(self, index: int) -> float:
        inputs, labels = self.task.batch(self.task.train, self._indices(index), dtype=self.network.input_bias.dtype)
        loss = nn.functional.cross_entropy(self.network(inputs), labels)
        value = float(loss.detach())
        if not math.isfinite(value) or value > self.settings.divergence_loss:
            raise DivergedError(f"loss {value:.4g}")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip_norm)
        self.optimiser.step()
        self.network.project()
        return value

    def _indices(self, index: int) -> Tensor:
        """Images of a batch, by its number from the start; the rest of an epoch that fills no batch is left out."""
        count, batch = len(self.task.train), self.settings.batch
        epoch, place = divmod(index, count // batch)
        if self._order is None or self._order[0] != epoch:
            order = generator(self.seed, "batches", epoch).permutation(count)
            self._order = epoch, torch.from_numpy(order)
        return self._order[1][place * batch : (place + 1) * batch]

    def _record(self, loss: float | None, *, images: int, on_record: Callable[[Record], None]) -> None:
        score = self._accuracy(images) if images else None
        finite = bool(torch.isfinite(self.network.coupling).all())
        norm = float(coupling_norm(self.network.layout, self.network.coupling.detach())) if finite else math.nan
        self.progress.seconds = time.perf_counter() - self._began
        record = Record(
            self.progress.step,
            loss,
            score,
            images,
            norm if math.isfinite(norm) else None,
            round(self.progress.seconds, 3),
        )
        self.progress.records.append(record)
        on_record(record)

    def _accuracy(self, images: int) -> float:
        split = self.task.validation
        return accuracy(self.network, self.task, Split(split.inputs[:images], split.labels[:images]))

    def _save(self) -> None:
        self.progress.seconds = time.perf_counter() - self._began
        self.files.save(self.network, self.optimiser, self.progress)


def _mean(losses: list[float]) -> float | None:
    return sum(losses) / len(losses) if losses else None
