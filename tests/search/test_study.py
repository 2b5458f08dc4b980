from dataclasses import replace

import numpy as np
import optuna
import pytest
from support.tiny import tiny_space

from topo_search.errors import InputError
from topo_search.graph import make_family
from topo_search.search import Evaluation, Pretraining, Proposal, SearchStudy, Trial, open_storage

SPACE = tiny_space()


def trial(number, *scores, reason=""):
    graph = make_family("random_density", SPACE.constraints, np.random.default_rng(number))
    results = tuple(Evaluation(s, (s,) * 2, (1.0,) * 2, best_epoch=1, seconds=0.5) for s in scores)
    if reason:
        results += (Evaluation.failure(reason, "loss 1e9"),)
    return Trial(number, Proposal(graph, "evolution", "rewire_edge", (3, 4)), results, final=True, attempts=2)


def open_study(path, name="run"):
    return SearchStudy(open_storage(path), name, space=SPACE)


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_trials_come_back_as_they_went_in(tmp_path, kind):
    location = tmp_path / "study.journal" if kind == "journal" else f"sqlite:///{tmp_path}/study.db"
    study = open_study(location)
    trials = [trial(0, 0.5), trial(1, 0.1, 0.2, 1 / 3), trial(2, reason="diverged"), trial(3, 0.5, reason="diverged")]
    for entry in trials:
        study.add(entry)
    study.add_budget(4)
    again = open_study(location)
    assert again.trials() == {entry.number: entry for entry in trials}
    assert again.budgets == [4]


def test_optuna_sees_scores_rungs_and_params(tmp_path):
    study = open_study(tmp_path / "study.journal")
    study.add(trial(0, 0.5, 0.75))
    study.add(trial(1, reason="diverged"))
    stored = optuna.load_study(study_name="run", storage=open_storage(tmp_path / "study.journal")).trials
    assert stored[0].value == 0.75
    assert stored[0].intermediate_values == {1: 0.5, 2: 0.75}
    assert {"strategy", "operator", "edges", "density", "modularity", "hub_share"} == set(stored[0].params)
    assert stored[1].state == optuna.trial.TrialState.FAIL
    assert stored[1].user_attrs["reason"] == "diverged"


def test_a_journal_cut_anywhere_in_its_last_line_loses_that_line_only(tmp_path):
    path = tmp_path / "study.journal"
    study = open_study(path)
    study.add(trial(0, 0.5))
    before = len(path.read_bytes())
    study.add(trial(1, 0.5))
    content = path.read_bytes()
    for cut in range(before, len(content), 97):
        path.write_bytes(content[:cut])
        cut_study = open_study(path)
        assert set(cut_study.trials()) == {0}
        cut_study.add(trial(1, 0.5))
        assert set(open_study(path).trials()) == {0, 1}


@pytest.mark.parametrize("content", [b"garbage\n", b'{"op_code": 99}\n', b"[1]\n", b"\x00\xff\n"])
def test_a_corrupt_journal_is_refused(tmp_path, content):
    path = tmp_path / "study.journal"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be (read|opened)"):
        open_study(path)


def test_a_study_of_somebody_else_is_refused(tmp_path):
    path = tmp_path / "study.journal"
    foreign = optuna.create_study(study_name="run", storage=open_storage(path))
    foreign.add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(InputError, match="not one that `evolve` made"):
        open_study(path)


def test_a_bad_url_is_refused_without_its_password():
    with pytest.raises(InputError, match="cannot be opened") as caught:
        open_storage("nosuchdb://user:secret@host/name")
    assert "secret" not in str(caught.value)


COSTED = tiny_space(search={"objectives": ["accuracy", "parameters"]})


def test_a_cost_makes_the_study_one_of_two_directions(tmp_path):
    study = SearchStudy(open_storage(tmp_path / "study.journal"), "run", space=COSTED)
    trials = []
    for number, (score, parameters) in enumerate([(0.5, 100), (0.7, 300), (0.4, 200)]):
        whole = trial(number, score)
        results = tuple(replace(result, parameters=parameters) for result in whole.results)
        trials.append(replace(whole, results=results))
    trials.append(trial(3, 0.5, reason="diverged"))
    for entry in trials:
        study.add(entry)
    stored = optuna.load_study(study_name="run", storage=open_storage(tmp_path / "study.journal"))
    assert [direction.name for direction in stored.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert [t.values for t in stored.trials] == [[0.5, 100.0], [0.7, 300.0], [0.4, 200.0], None]
    assert stored.trials[0].intermediate_values == {1: 0.5}
    assert {t.number for t in stored.best_trials} == {0, 1}
    again = SearchStudy(open_storage(tmp_path / "study.journal"), "run", space=COSTED)
    assert again.trials() == {entry.number: entry for entry in trials}


def test_a_pretraining_comes_back_and_is_never_optunas_best(tmp_path):
    study = open_study(tmp_path / "study.journal")
    candidate, learner = trial(0, 0.5), trial(1, 0.9)
    learner = replace(learner, proposal=replace(learner.proposal, pretraining=Pretraining(3, "rigl")))
    for entry in (candidate, learner):
        study.add(entry)
    again = open_study(tmp_path / "study.journal")
    assert again.trials() == {0: candidate, 1: learner}
    assert again.study.best_trial.number == 0


def test_the_agreement_of_rungs_is_written_once(tmp_path):
    study = open_study(tmp_path / "study.journal")
    entry = {"epochs": 1, "against": 3, "tau": 0.5, "low": 0.1, "high": 0.9, "n": 12}
    study.record_agreement([entry])
    again = open_study(tmp_path / "study.journal")
    size = (tmp_path / "study.journal").stat().st_size
    again.record_agreement([entry])
    assert again.study.user_attrs["rank_agreement"] == [entry]
    assert (tmp_path / "study.journal").stat().st_size == size
