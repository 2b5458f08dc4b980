"""The Optuna study of a run: one trial a proposal, added once, when nothing more will come of it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from topo_search.errors import InputError, RunFailedError
from topo_search.graph import FAMILIES, OPERATORS, describe
from topo_search.search.history import Trial
from topo_search.search.locks.driver_lock import DriverLock
from topo_search.search.objectives import trial_values
from topo_search.search.space import SearchSpace
from topo_search.search.storage.studies import check_same_run
from topo_search.search.stored_trials import trials_of, unreadable
from topo_search.search.strategies import STARTS, find_strategies, strategy_names

__all__ = ["SearchStudy"]

_STATES = {"COMPLETE": TrialState.COMPLETE, "FAIL": TrialState.FAIL}
# Descriptors that are Optuna params, so that its dashboard can plot them.
_PLOTTED: dict[str, BaseDistribution] = {
    "density": FloatDistribution(0.0, 1.0),
    "modularity": FloatDistribution(-1.0, 1.0),
    "hub_share": FloatDistribution(0.0, 1.0),
}


class SearchStudy:
    """Finished trials in an Optuna study, and the budgets that were given.

    With a cost among the objectives the study has several directions: accuracy is maximised, the cost minimised. A
    pretraining is no candidate: it is stored as pruned and without a value, so that it is never Optuna's best trial.

    Opening makes the study where there is none; a study whose making was interrupted is completed.

    Args:
        storage: of Optuna.
        name: of the study.
        space: the search space.
        lock: of this driver, held around each write. Where it is not exclusive, other drivers add trials too, and one
            that is there is not added again.

    Raises:
        InputError: if the study cannot be read, or is not one of this program.
        RunFailedError: here and from every method that writes: if the database fails or another driver took over.
    """

    def __init__(self, storage: BaseStorage, name: str, *, space: SearchSpace, lock: DriverLock | None = None) -> None:
        self.space, self._lock = space, lock
        self._numbers: set[int] = set()
        self._seen = 0
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            with self._writing():
                self._open(storage, name)
        except (InputError, RunFailedError, OSError):
            raise
        except Exception as error:
            raise unreadable(name, error) from None
        finally:
            # Optuna greets every new study on standard error; a notebook's own setting is put back.
            optuna.logging.set_verbosity(verbosity)

    def _writing(self) -> AbstractContextManager[None]:
        return nullcontext() if self._lock is None else self._lock.writing()

    def _open(self, storage: BaseStorage, name: str) -> None:
        """Make or load the study, and the words that its trials may use."""
        costs = self.space.search.objectives[1:]
        self.study = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=[StudyDirection.MAXIMIZE, *(StudyDirection.MINIMIZE for _ in costs)],
            sampler=optuna.samplers.RandomSampler(),
            load_if_exists=True,
        )
        if not {"labels", "budgets", "identity"} <= set(self.study.user_attrs):
            if self.study.get_trials(deepcopy=False):
                raise InputError(f"study {name!r} in this storage is not one that `evolve` made: give another --out")
            # Optuna wants the same choices in every trial; later versions may know more strategies.
            used = find_strategies(self.space.search.strategies)
            own = [operator for strategy in used.values() for operator in strategy.operators]
            operators = sorted({*OPERATORS, *FAMILIES, "crossover", STARTS, *own})
            strategies = sorted({*strategy_names(), STARTS})
            self.study.set_user_attr("labels", {"strategies": strategies, "operators": operators})
            self.study.set_user_attr("budgets", [])
            self.study.set_user_attr("identity", secrets.token_hex(8))
        labels: dict[str, Any] = self.study.user_attrs["labels"]
        if not all(isinstance(label, str) for kind in ("strategies", "operators") for label in labels[kind]):
            raise TypeError("labels must be text")
        if not all(type(budget) is int and budget > 0 for budget in self.budgets):
            raise TypeError("budgets must be integers from 1")
        if not (isinstance(self.identity, str) and self.identity.isalnum() and len(self.identity) <= 32):
            raise TypeError("identity must be letters and digits")
        # Made here, where whatever they raise means that the study is not ours.
        self._strategies = CategoricalDistribution(labels["strategies"])
        self._operators = CategoricalDistribution(labels["operators"])

    def record_run(self, run: Mapping[str, Any]) -> None:
        """Record what the run is, so that its folder can be made anew where it is lost; see :func:`recorded_run`.

        Args:
            run: the section ``run`` of ``space.yaml``. The storage's URL is left out: the study lies there.

        Raises:
            InputError: if it is a run of another space or seed.
        """
        # Through JSON, as it will be read: its lists are no tuples.
        own = json.loads(json.dumps({k: v for k, v in run.items() if k != "storage"}))
        values = json.loads(self.space.model_dump_json())
        with self._writing():
            known = self.study.user_attrs.get("run")
            if known is None:
                self.study.set_user_attr("run", {"space": values, "run": own})
        if known is not None:
            check_same_run(self.study.study_name, known, self.space, own)

    @property
    def identity(self) -> str:
        """Tells this study from any other, of whatever name."""
        found: str = self.study.user_attrs["identity"]
        return found

    @property
    def budgets(self) -> list[int]:
        """The budgets of the run, in the order given."""
        return list(self.study.user_attrs["budgets"])

    def add_budget(self, budget: int) -> None:
        """Record a budget before it is begun."""
        with self._writing():
            self.study.set_user_attr("budgets", [*self.budgets, budget])

    def join_budget(self, budget: int | None, *, default: int) -> int:
        """The budget of a study that several drivers share: that of the first one.

        Args:
            budget: wanted, or ``None`` for that of the study.
            default: of a new study where none is wanted.

        Raises:
            InputError: if more is wanted than the study's: who extends it must drive it alone.
        """
        with self._writing():
            budgets = self.budgets
            if not budgets:
                self.study.set_user_attr("budgets", [default if budget is None else budget])
                return default if budget is None else budget
        if budget is not None and budget > budgets[-1]:
            raise InputError(
                f"budget {budget} is above the study's {budgets[-1]}: expected at most that of a driver that joins; "
                "extend it with resume, without --join"
            )
        return budgets[-1]

    def record_agreement(self, agreement: list[dict[str, Any]]) -> None:
        """Record how well the rungs ranked the candidates, where that is news."""
        if self.study.user_attrs.get("rank_agreement") != agreement:
            with self._writing():
                self.study.set_user_attr("rank_agreement", agreement)

    def _values(self, trial: Trial) -> list[float] | None:
        """Values as Optuna wants them: accuracy, and costs that are to be small."""
        if trial.failed or not trial.is_candidate:
            return None
        accuracy, *gains = trial_values(trial, self.space.search.objectives)
        return [accuracy, *(-gain for gain in gains)]

    def add(self, trial: Trial) -> None:
        """Store a final trial: one write, whole or not at all.

        Raises:
            OSError: if the journal's disk is full or cannot be written to.
        """
        entry = self._stored_form(trial)
        with self._writing():
            if self._lock is None or self._lock.exclusive or trial.number not in self._stored_numbers():
                self.study.add_trial(entry)

    def _stored_numbers(self) -> set[int]:
        """Proposals whose trials are stored, by whatever driver."""
        stored = self.study.get_trials(deepcopy=False)
        self._numbers.update(int(trial.user_attrs["number"]) for trial in stored[self._seen :])
        self._seen = len(stored)
        return self._numbers

    def _stored_form(self, trial: Trial) -> FrozenTrial:
        described = describe(trial.graph)
        edges = trial.graph.n_edges
        params: dict[str, Any] = {
            "strategy": trial.proposal.strategy,
            "operator": trial.proposal.operator,
            "edges": edges,
            **{name: float(described[name]) for name in _PLOTTED},
        }
        n_areas = trial.graph.n_areas
        distributions: dict[str, BaseDistribution] = {
            "strategy": self._strategies,
            "operator": self._operators,
            "edges": IntDistribution(0, max(1, n_areas * (n_areas - 1) // 2)),
            **_PLOTTED,
        }
        rungs = self.space.ladder.rungs
        plan = trial.proposal.pretraining
        failure = next((result for result in trial.results if result.failed), None)
        return create_trial(
            state=_STATES[trial.state] if trial.is_candidate or trial.failed else TrialState.PRUNED,
            values=self._values(trial),
            params=params,
            distributions=distributions,
            intermediate_values={rungs[i]: r.score for i, r in enumerate(trial.results) if not r.failed},
            user_attrs={
                "number": trial.number,
                "graph": trial.graph.to_json(),
                "graph_key": trial.graph.key,
                "isomorphism_key": trial.graph.isomorphism_key,
                "parents": list(trial.proposal.parents),
                "pretraining": None if plan is None else asdict(plan),
                "attempts": trial.attempts,
                "results": [asdict(result) for result in trial.results],
                "descriptors": described,
                **({} if failure is None else {"reason": failure.reason}),
            },
        )

    def trials(self) -> dict[int, Trial]:
        """All stored trials, by number of the proposal.

        Raises:
            InputError: if a trial is not one that this program wrote.
        """
        return trials_of(self.study)
