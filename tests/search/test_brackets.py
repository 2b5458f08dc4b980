"""Searches with brackets: trials begin on different rungs, and all else stays as it was."""

import pytest
from support.searching import ScrambledExecutor, formula_evaluation
from support.tiny import tiny_space

from topo_search.search import Evaluation, EvaluationLog, RunFolder, SearchDriver, SearchStudy, open_storage
from topo_search.search.ladder import Ladder

SPACE = tiny_space(ladder={"rungs": [1, 2, 3], "keep": 3, "window": 20, "brackets": 3})
FIRST = [Ladder(SPACE.ladder).first_rung(number) for number in range(40)]


def diverging(request):
    whole = formula_evaluation(request)
    return Evaluation.failure("diverged") if int(whole.score * 1e6) % 5 == 0 else whole


def drive(path, executor, budget=40, on_progress=None):
    folder = RunFolder(path)
    folder.create()
    log = EvaluationLog(folder.log)
    study = SearchStudy(open_storage(folder.journal), "run", space=SPACE)
    driver = SearchDriver(
        SPACE, seed=0, study=study, log=log, executor=executor, folder=folder, on_progress=on_progress
    )
    try:
        driver.run([budget])
    finally:
        log.close()
    return driver


def outcome(driver):
    return [
        (number, trial.graph.key, [(r.score, r.curve, r.reason) for r in trial.results])
        for number, trial in sorted(driver.decisions.trials.items())
    ]


def test_trials_begin_on_their_brackets_rung_and_have_the_scores_below(tmp_path):
    executor = ScrambledExecutor()
    driver = drive(tmp_path, executor)
    assert set(FIRST) == {0, 1, 2}
    begun = {}
    for request in executor.evaluated:
        begun[request.graph] = min(request.epochs, begun.get(request.graph, 9))
    for number, trial in driver.decisions.trials.items():
        assert begun[trial.graph.to_json()] == FIRST[number] + 1
        assert trial.rung >= FIRST[number]
        assert [result.score for result in trial.results] == [
            trial.results[-1].curve[rung] for rung in range(len(trial.results))
        ]


def test_any_number_of_slots_gives_the_same_search(tmp_path):
    one = drive(tmp_path / "one", ScrambledExecutor(slots=1, evaluate=diverging))
    many = drive(tmp_path / "many", ScrambledExecutor(slots=7, seed=7, evaluate=diverging))
    assert outcome(one) == outcome(many)


@pytest.mark.parametrize("die_after", [9, 41])
def test_a_search_with_failures_on_higher_rungs_is_taken_up(tmp_path, die_after):
    whole = drive(tmp_path / "whole", ScrambledExecutor(evaluate=diverging))
    failed_above = [n for n, trial in whole.decisions.trials.items() if trial.failed and FIRST[n] > 0]
    assert failed_above
    with pytest.raises(KeyboardInterrupt):
        drive(tmp_path / "run", ScrambledExecutor(evaluate=diverging, die_after=die_after))
    assert outcome(drive(tmp_path / "run", ScrambledExecutor(evaluate=diverging))) == outcome(whole)


def test_what_is_reported_is_what_a_count_of_all_trials_gives(tmp_path):
    seen = []
    driver = None

    def report(progress):
        if driver is not None:
            trials = driver.decisions.trials.values()
            assert progress.done == sum(trial.final for trial in trials)
            assert progress.failed == sum(trial.failed for trial in trials)
            assert progress.rungs == tuple(sum(trial.rung >= rung for trial in trials) for rung in range(3))
            seen.append(progress.done)

    folder = RunFolder(tmp_path)
    folder.create()
    driver = SearchDriver(
        SPACE,
        seed=0,
        study=SearchStudy(open_storage(folder.journal), "run", space=SPACE),
        log=EvaluationLog(folder.log),
        executor=ScrambledExecutor(evaluate=diverging),
        folder=folder,
        on_progress=report,
    )
    driver.run([40])
    assert seen[-1] == 40
    assert len(set(seen)) > 10
