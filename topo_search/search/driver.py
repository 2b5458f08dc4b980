"""Runs a search: hands the decisions' jobs to an executor, keeps what comes back, and loses nothing when it dies."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from topo_search.search.decisions import Decisions, Job
from topo_search.search.evaluate import Request
from topo_search.search.evaluation_log import Evaluations
from topo_search.search.executor import Executor
from topo_search.search.history import History, Trial
from topo_search.search.pool import Pool
from topo_search.search.progress import Progress, ProgressCallback
from topo_search.search.run_folder import RunFolder
from topo_search.search.space import SearchSpace
from topo_search.search.study import SearchStudy

__all__ = ["SearchDriver"]

# The table is written again after so long, and later where it is long: writing it may take this share of the time.
TABLE_SECONDS = 2.0
TABLE_SHARE = 0.02


class SearchDriver:
    """One search.

    What is finished is in the study; what is not lies in the evaluation log. A new driver on the same folder makes the
    same decisions again from these results and goes on where the last one stopped.

    Args:
        space: the search space.
        seed: of the search.
        study: finished trials.
        log: evaluations that are not part of a finished trial yet.
        executor: where evaluations run.
        folder: of the run.
        on_progress: told what happens.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int,
        study: SearchStudy,
        log: Evaluations,
        executor: Executor,
        folder: RunFolder,
        on_progress: ProgressCallback | None = None,
    ) -> None:
        self.space, self.seed, self.folder = space, seed, folder
        self.pool = Pool(executor, log)
        self._study, self._log, self._on_progress = study, log, on_progress
        self._stored = study.trials()
        self._request_keys: dict[tuple[int, int], str] = {}
        self.decisions = Decisions(
            space,
            seed=seed,
            recorded={number: trial.proposal for number, trial in self._stored.items()},
            on_final=self._finalise,
        )
        self._table_due = 0.0
        self._budget = 0
        # Counts of final trials, and the few that are not final: a report must not go through all trials.
        self._ended = self._failed = self._noticed = 0
        self._reached = [0] * len(space.ladder.rungs)
        self._open: set[int] = set()

    @property
    def history(self) -> History:
        """Trials in view; all of them once the search has run."""
        return self.decisions.history

    def run(self, budgets: Sequence[int]) -> None:
        """Run through the budgets, one after the other; each is drained before the next begins."""
        self.folder.remove_unfinished()
        for budget in budgets:
            self._budget = budget
            self.decisions.extend(budget)
            self._run_budget()
        self.write_tables()

    def _run_budget(self) -> None:
        while not self.decisions.finished:
            while not self.pool.full and not self.decisions.finished and self.decisions.ready():
                job = self.decisions.next_job()
                if job is not None:
                    self._begin(job)
            self._report()
            if self.pool.running:
                self.pool.wait()
        self._report()

    def request(self, job: Job) -> Request:
        """What a job asks of a worker."""
        trial = self.decisions.trials[job.trial]
        plan = trial.proposal.pretraining
        epochs = self.space.ladder.rungs[job.rung]
        request = Request(
            graph=trial.graph.to_json(),
            epochs=epochs if plan is None or plan.epochs is None else plan.epochs,
            seed=self.seed,
            checkpoint=str(self.folder.checkpoint(job.trial)),
            edge_scores=plan is not None,
            moves="none" if plan is None else plan.moves,
        )
        if not self.space.search.inherit_weights:
            return request
        if job.inherits is not None:
            parent, rung = job.inherits
            source = self._source_key(parent, rung)
            request = replace(request, inherit=str(self.folder.coupling(parent, rung)), inherit_key=f"{source}@{rung}")
        return replace(request, keep_coupling=str(self.folder.coupling(job.trial, job.rung)))

    def _source_key(self, trial: int, rung: int) -> str:
        """Key of a trial's request at a rung; from the oldest ancestor on, since a lineage may outgrow the stack."""
        lineage: list[tuple[int, int]] = []
        at: tuple[int, int] | None = (trial, rung)
        while at is not None and at not in self._request_keys:
            lineage.append(at)
            at = self.decisions.inherits(at[0])
        for number, reached in reversed(lineage):
            request = self.request(Job(0, number, reached, self.decisions.inherits(number)))
            self._request_keys[number, reached] = request.key
        return self._request_keys[trial, rung]

    def _begin(self, job: Job) -> None:
        stored = self._stored.get(job.trial)
        if stored is not None:
            # A trial that began on a higher rung and failed there has that one result alone.
            self.decisions.result(job, stored.results[min(job.rung, len(stored.results) - 1)])
            return
        label = f"trial {job.trial}, rung {job.rung}"
        self.pool.submit(self.request(job), label, lambda evaluation: self.decisions.result(job, evaluation))

    def _finalise(self, trial: Trial) -> None:
        stored = self._stored.get(trial.number)
        if stored is not None:
            self._put(stored)
            return
        trial = replace(trial, attempts=self._attempts(trial))
        self._put(trial)
        self._study.add(trial)
        # At once, while its descriptors are at hand.
        self.folder.take(trial, self.space.ladder.rungs)
        self.folder.checkpoint(trial.number).unlink(missing_ok=True)
        if time.monotonic() > self._table_due:
            self.write_tables()

    def _attempts(self, trial: Trial) -> int:
        """How often an evaluation of a trial was begun, at the rung where that was most often."""
        request = self.request(Job(0, trial.number, 0, self.decisions.inherits(trial.number)))
        requests = [request]
        if trial.is_candidate:
            # The rungs of a trial differ in nothing else that names what is computed.
            requests += [replace(request, epochs=epochs) for epochs in self.space.ladder.rungs[1:]]
        return max(1, *(self._log.attempts(each) for each in requests))

    def _put(self, trial: Trial) -> None:
        self.decisions.trials[trial.number] = trial
        self.history.put(trial)
        self._ended += 1
        self._failed += trial.failed
        for rung in range(trial.rung + 1):
            self._reached[rung] += 1
        self._open.discard(trial.number)

    def write_tables(self) -> None:
        """Write ``trials.csv`` as things stand."""
        begin = time.monotonic()
        trials = [trial for _, trial in sorted(self.decisions.trials.items())]
        self.folder.write_trials(trials, self.space.ladder.rungs)
        now = time.monotonic()
        self._table_due = now + max(TABLE_SECONDS, (now - begin) / TABLE_SHARE)

    def _report(self) -> None:
        if self._on_progress is None:
            return
        trials = self.decisions.trials
        self._open.update(number for number in range(self._noticed, len(trials)) if not trials[number].final)
        self._noticed = len(trials)
        best = self.history.leader
        reached = [
            count + sum(trials[number].rung >= rung for number in self._open)
            for rung, count in enumerate(self._reached)
        ]
        self._on_progress(
            Progress(
                phase="search",
                done=self._ended,
                total=self._budget,
                running=self.pool.running,
                best=None if best is None else best.score,
                best_trial=None if best is None else best.number,
                best_epochs=None if best is None else self.space.ladder.rungs[best.rung],
                rungs=tuple(reached),
                evaluated=self.pool.evaluated,
                failed=self._failed,
                known=self.decisions.cache_hits,
            )
        )
