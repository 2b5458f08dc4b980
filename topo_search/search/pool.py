"""An executor with a memory: what is known is not computed again, what was lost is tried again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from topo_search.errors import RunFailedError
from topo_search.model.saved import is_saved
from topo_search.search.evaluate import Request
from topo_search.search.evaluation_log import Evaluations
from topo_search.search.executor import Executor, Finished
from topo_search.search.history import Evaluation
from topo_search.search.retries import Retries

__all__ = ["Pool"]

# So many evaluations in a row that fail by a bug, with none that ran through, are no search but a broken program.
ERRORS_WITHOUT_RESULT = 8


@dataclass
class _Running:
    request: Request
    label: str
    done: Callable[[Evaluation], None]
    retries: Retries = field(default_factory=Retries)


class Pool:
    """Evaluations in flight.

    Requests of one key have one result: where one of them runs, the others wait for it (a control may be the graph of a
    winner). Where the log is shared with other drivers, an evaluation that another one is at takes no slot: its result
    is waited for, and the evaluation is taken over should its driver die.

    Args:
        executor: where they run.
        log: leases and results.
    """

    def __init__(self, executor: Executor, log: Evaluations) -> None:
        self._executor, self._log = executor, log
        self._running: dict[int, _Running] = {}
        self._elsewhere: list[_Running] = []
        # By the key of an evaluation that runs here: who waits for its result.
        self._waiting: dict[str, list[_Running]] = {}
        self._ticket = 0
        self._errors, self._worked = 0, False
        self.evaluated = 0

    @property
    def running(self) -> int:
        """Evaluations in flight, here and at other drivers that share the study."""
        return len(self._running) + len(self._elsewhere)

    @property
    def full(self) -> bool:
        """Whether another evaluation would only wait."""
        return len(self._running) >= self._executor.slots

    def submit(self, request: Request, label: str, done: Callable[[Evaluation], None]) -> None:
        """Have a request evaluated; ``done`` is called at once where its result is known."""
        known = self._log.find(request)
        # A result whose network was to be kept counts only while the network is there, whole.
        if known is not None and (request.save_to is None or known.failed or is_saved(Path(request.save_to))):
            done(known)
            return
        entry = _Running(request, label, done)
        if self._waits(entry):
            return
        if request.save_to is not None:
            # Each driver wants the network in its own folder, whoever else trains it.
            self._start_again(entry)
        elif self._log.claim(request, label=label):
            self._start(entry)
        else:
            self._elsewhere.append(entry)

    def _waits(self, entry: _Running) -> bool:
        """Whether an evaluation of the same key runs here, for whose result this one waits then."""
        waiting = self._waiting.get(entry.request.key)
        if waiting is None:
            return False
        waiting.append(entry)
        return True

    def _start(self, entry: _Running) -> None:
        self._waiting.setdefault(entry.request.key, [])
        self._ticket += 1
        self._running[self._ticket] = entry
        self._executor.submit(self._ticket, entry.request, memory_factor=entry.retries.memory_factor)

    def _start_again(self, entry: _Running) -> None:
        self._log.start(entry.request, label=entry.label)
        self._start(entry)

    def wait(self) -> None:
        """Take in every evaluation that ended: at least one, or none where other drivers are only looked after.

        Raises:
            RunFailedError: if every evaluation so far failed by a bug.
        """
        poll = self._log.poll_seconds if self._elsewhere else None
        if self._running:
            for finished in self._executor.wait(poll):
                self._take(self._running.pop(finished.ticket), finished)
        elif poll is not None:
            time.sleep(poll)
        self._look_elsewhere()

    def _look_elsewhere(self) -> None:
        entries, self._elsewhere = self._elsewhere, []
        for entry in entries:
            known = self._log.find(entry.request)
            if known is not None:
                entry.done(known)
                self._watch(known)
            elif self._waits(entry):
                continue
            elif not self.full and self._log.claim(entry.request, label=entry.label):
                self._start(entry)
            else:
                self._elsewhere.append(entry)

    def _take(self, entry: _Running, finished: Finished) -> None:
        evaluation = finished.evaluation
        if evaluation is None:
            assert finished.loss is not None
            if entry.retries.again(finished.loss):
                self._start_again(entry)
                return
            evaluation = Evaluation.failure(finished.loss, finished.detail)
        self.evaluated += 1
        counted = self._log.finish(entry.request, evaluation)
        if evaluation.failed and not counted.failed and entry.request.save_to is not None:
            # Another driver could train it and has its network; this one's folder would lack a winner.
            raise RunFailedError(f"{entry.label}: the network could not be trained here ({evaluation.reason})")
        entry.done(counted)
        self._watch(counted)
        for waiting in self._waiting.pop(entry.request.key):
            # Anew only where its network is to be kept and was not by the one that ran.
            self.submit(waiting.request, waiting.label, waiting.done)

    def _watch(self, evaluation: Evaluation) -> None:
        if evaluation.reason != "error":
            self._worked = True
            return
        self._errors += 1
        if not self._worked and self._errors >= ERRORS_WITHOUT_RESULT:
            last = (evaluation.detail.strip().splitlines() or ["no detail"])[-1]
            raise RunFailedError(f"the first {self._errors} evaluations all failed by an error, the last one: {last}")

    def run_all(self, requests: Sequence[tuple[Request, str]], on_done: Callable[[int], None]) -> list[Evaluation]:
        """Evaluate independent requests; results in their order, their checkpoints removed.

        ``on_done`` is told how many ended.
        """
        results: dict[int, Evaluation] = {}

        def keep(index: int, checkpoint: str | None) -> Callable[[Evaluation], None]:
            def done(evaluation: Evaluation) -> None:
                results[index] = evaluation
                if checkpoint is not None:
                    Path(checkpoint).unlink(missing_ok=True)
                on_done(len(results))

            return done

        for index, (request, label) in enumerate(requests):
            while self.full:
                self.wait()
            self.submit(request, label, keep(index, request.checkpoint))
        while self.running:
            self.wait()
        return [results[index] for index in range(len(requests))]
