"""The Optuna study of a run: one trial a proposal, added once, when nothing more will come of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from topo_search.errors import InputError
from topo_search.graph import FAMILIES, OPERATORS, ModuleGraph, describe
from topo_search.search.history import Evaluation, Pretraining, Proposal, Trial
from topo_search.search.objectives import trial_values
from topo_search.search.space import SearchSpace
from topo_search.search.strategies import STARTS, find_strategies, strategy_names

__all__ = ["SearchStudy", "has_study", "open_storage"]

_STATES = {"COMPLETE": TrialState.COMPLETE, "FAIL": TrialState.FAIL}
_STORED = (*_STATES.values(), TrialState.PRUNED)
# Descriptors that are Optuna params, so that its dashboard can plot them.
_PLOTTED: dict[str, BaseDistribution] = {
    "density": FloatDistribution(0.0, 1.0),
    "modularity": FloatDistribution(-1.0, 1.0),
    "hub_share": FloatDistribution(0.0, 1.0),
}


def open_storage(location: str | Path) -> BaseStorage:
    """The storage of a run: a journal file, or any URL that Optuna takes.

    A last line of the journal that a crash cut short is dropped first: Optuna ignores it when reading but would append
    to it.

    Raises:
        InputError: if the storage cannot be opened.
    """
    text = str(location)
    try:
        if "://" in text:
            return optuna.storages.get_storage(text)
        path = Path(location)
        if path.exists():
            content = path.read_bytes()
            complete = content.rfind(b"\n") + 1
            if complete < len(content):
                with path.open("r+b") as file:
                    file.truncate(complete)
        return JournalStorage(JournalFileBackend(text))
    except Exception as error:
        # Optuna and its database drivers raise what they like; all of it means that the location is no storage.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"storage {text.rsplit('@', maxsplit=1)[-1]} cannot be opened: {reason}") from None


def has_study(storage: BaseStorage, name: str) -> bool:
    """Whether a storage holds a study of this name."""
    return name in optuna.study.get_all_study_names(storage)


class SearchStudy:
    """Finished trials in an Optuna study, and the budgets that were given.

    With a cost among the objectives the study has several directions: accuracy is maximised, the cost minimised. A
    pretraining is no candidate: it is stored as pruned and without a value, so that it is never Optuna's best trial.

    Opening makes the study where there is none; a study whose making was interrupted is completed.

    Args:
        storage: of Optuna.
        name: of the study.
        space: the search space.

    Raises:
        InputError: if the study cannot be read, or is not one of this program.
    """

    def __init__(self, storage: BaseStorage, name: str, *, space: SearchSpace) -> None:
        self.space = space
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self.study = optuna.create_study(
                storage=storage,
                study_name=name,
                directions=[StudyDirection.MAXIMIZE, *(StudyDirection.MINIMIZE for _ in space.search.objectives[1:])],
                sampler=optuna.samplers.RandomSampler(),
                load_if_exists=True,
            )
            attributes = self.study.user_attrs
            if not {"labels", "budgets"} <= set(attributes):
                if self.study.get_trials(deepcopy=False):
                    raise InputError(
                        f"study {name!r} in this storage is not one that `evolve` made: give another --out"
                    )
                # Optuna wants the same choices in every trial; later versions may know more strategies.
                used = find_strategies(space.search.strategies)
                own = [operator for strategy in used.values() for operator in strategy.operators]
                operators = sorted({*OPERATORS, *FAMILIES, "crossover", STARTS, *own})
                strategies = sorted({*strategy_names(), STARTS})
                self.study.set_user_attr("labels", {"strategies": strategies, "operators": operators})
                self.study.set_user_attr("budgets", [])
            labels = self.study.user_attrs["labels"]
        except InputError:
            raise
        except Exception as error:
            # The journal and the database drivers raise what they like; all of it means that the study is unreadable.
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"study {name!r} cannot be read: its storage is corrupt or not ours ({reason})") from None
        finally:
            # Optuna greets every new study on standard error; a notebook's own setting is put back.
            optuna.logging.set_verbosity(verbosity)
        self._strategies = CategoricalDistribution(labels["strategies"])
        self._operators = CategoricalDistribution(labels["operators"])

    @property
    def budgets(self) -> list[int]:
        """The budgets of the run, in the order given."""
        return list(self.study.user_attrs["budgets"])

    def add_budget(self, budget: int) -> None:
        """Record a budget before it is begun."""
        self.study.set_user_attr("budgets", [*self.budgets, budget])

    def record_agreement(self, agreement: list[dict[str, Any]]) -> None:
        """Record how well the rungs ranked the candidates, where that is news."""
        if self.study.user_attrs.get("rank_agreement") != agreement:
            self.study.set_user_attr("rank_agreement", agreement)

    def _values(self, trial: Trial) -> list[float] | None:
        """Values as Optuna wants them: accuracy, and costs that are to be small."""
        if trial.failed or not trial.is_candidate:
            return None
        accuracy, *gains = trial_values(trial, self.space.search.objectives)
        return [accuracy, *(-gain for gain in gains)]

    def add(self, trial: Trial) -> None:
        """Store a final trial: one write, whole or not at all."""
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
        self.study.add_trial(
            create_trial(
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
        )

    def trials(self) -> dict[int, Trial]:
        """All stored trials, by number of the proposal.

        Raises:
            InputError: if a trial is not one that this program wrote.
        """
        found: dict[int, Trial] = {}
        for stored in self.study.get_trials(deepcopy=False):
            if stored.state not in _STORED:
                continue
            attributes = stored.user_attrs
            try:
                proposal = Proposal(
                    ModuleGraph.from_json(attributes["graph"]),
                    str(stored.params["strategy"]),
                    str(stored.params["operator"]),
                    tuple(attributes["parents"]),
                    None if attributes["pretraining"] is None else Pretraining(**attributes["pretraining"]),
                )
                results = tuple(Evaluation.from_dict(result) for result in attributes["results"])
                number = int(attributes["number"])
                found[number] = Trial(number, proposal, results, final=True, attempts=int(attributes["attempts"]))
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(
                    f"trial {stored.number} of study {self.study.study_name!r} is corrupt: {error}"
                ) from None
        return found
