"""What a run leaves behind, as ``resume`` reads it."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from support.tiny import tiny_space

from fuzzing.damage import damage
from fuzzing.harness import Case, Files, Target
from fuzzing.text_targets import RUN
from topo_search.config import space_to_yaml
from topo_search.graph import make_family
from topo_search.search import Evaluation, EvaluationLog, Proposal, Request, SearchStudy, Trial, open_storage

_SPACE = tiny_space()
_RESULT = Evaluation(
    0.5, (0.25, 0.5), (1.5, 1.0), best_epoch=2, parameters=7, seconds=0.25, test_accuracy=0.5, certified=True, rho=0.9,
    edge_scores={"magnitude": (0.5, 0.25)}, final_edges=((0, 1), (1, 2)),
)  # fmt: skip
_FAILED = Evaluation.failure("diverged", "loss 1e9", seconds=1.0)


def check_evaluation(result: Evaluation) -> None:
    """Numbers are numbers, and scores are shares."""
    assert isinstance(result.reason, str)
    assert isinstance(result.score, float | int)
    assert 0 <= result.score <= 1
    assert all(isinstance(share, float | int) and 0 <= share <= 1 for share in result.curve)
    assert all(isinstance(loss, float | int) for loss in result.losses)
    assert 0 <= result.best_epoch <= max(len(result.curve), result.best_epoch if result.failed else 0)
    assert result.certified in (None, True, False)
    assert result.seconds >= 0
    json.dumps(vars(result), allow_nan=False)


def _log() -> list[Files]:
    with tempfile.TemporaryDirectory() as folder:
        log = EvaluationLog(Path(folder) / "evaluations.jsonl")
        for seed, result in enumerate((_RESULT, _FAILED)):
            request = Request("{}", 2, seed)
            log.start(request, label=f"trial {seed}")
            log.finish(request, result)
        log.close()
        return [{"evaluations.jsonl": log.path.read_bytes()}]


def _read_log(folder: Path) -> EvaluationLog:
    log = EvaluationLog(folder / "evaluations.jsonl")
    log.close()
    return log


def _check_log(log: EvaluationLog, case: Case) -> None:
    del case
    for result in log._results.values():
        check_evaluation(result)
    assert all(isinstance(key, str) for key in (*log._results, *log._starts))


EVALUATIONS = Target(_log, damage(), _read_log, _check_log)


@cache
def _journal() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.journal"
        study = SearchStudy(open_storage(path), "tiny", space=_SPACE)
        study.add_budget(4)
        for number, result in enumerate((_RESULT, _FAILED)):
            graph = make_family("random_density", _SPACE.constraints, np.random.default_rng(number))
            study.add(Trial(number, Proposal(graph, "evolution", "rewire_edge", (0,)), (result,), final=True))
        return path.read_bytes()


def _read_journal(folder: Path) -> tuple[list[int], dict[int, Trial]]:
    study = SearchStudy(open_storage(folder / "study.journal"), "tiny", space=_SPACE)
    return study.budgets, study.trials()


def _check_journal(value: tuple[list[int], dict[int, Trial]], case: Case) -> None:
    del case
    budgets, trials = value
    assert all(isinstance(budget, int) and budget >= 1 for budget in budgets)
    for number, trial in trials.items():
        assert number == trial.number >= 0
        assert trial.attempts >= 1
        assert all(isinstance(parent, int) for parent in trial.proposal.parents)
        for result in trial.results:
            check_evaluation(result)


JOURNAL = Target(lambda: [{"study.journal": _journal()}], damage(), _read_journal, _check_journal)


def _summary() -> list[Files]:
    summary: dict[str, Any] = {"folder": "outputs/tiny", "budget": 20, "trials": 20, "winners": [{"rank": 1}]}
    return [{"space.yaml": space_to_yaml(_SPACE, RUN).encode(), "summary.json": json.dumps(summary, indent=2).encode()}]


def _read_summary(folder: Path) -> bool:
    from topo_search.api import is_finished

    return is_finished(folder)


def _check_summary(finished: bool, case: Case) -> None:
    del case
    assert isinstance(finished, bool)


SUMMARY = Target(_summary, damage(), _read_summary, _check_summary)
