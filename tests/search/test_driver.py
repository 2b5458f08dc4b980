import csv

import pytest
from support.saving import leave_network
from support.searching import ScrambledExecutor, formula_evaluation
from support.tiny import tiny_space

from topo_search.search import (
    Evaluation,
    EvaluationLog,
    Pool,
    Request,
    RunFolder,
    SearchDriver,
    SearchStudy,
    open_storage,
)

SPACE = tiny_space()


def drive(path, executor, budgets=(30,), space=SPACE):
    folder = RunFolder(path)
    folder.create()
    log = EvaluationLog(folder.log)
    study = SearchStudy(open_storage(folder.journal), "run", space=space)
    driver = SearchDriver(space, seed=0, study=study, log=log, executor=executor, folder=folder)
    try:
        driver.run(list(budgets))
    finally:
        log.close()
    return driver, study


def outcome(driver):
    return [
        (n, t.graph.key, t.proposal, [r.score for r in t.results], t.state)
        for n, t in sorted(driver.decisions.trials.items())
    ]


def rows(path):
    with (path / "trials.csv").open() as file:
        return [{k: v for k, v in row.items() if k not in ("seconds", "attempts")} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    driver, study = drive(path, ScrambledExecutor(slots=1))
    return outcome(driver), rows(path), [t.number for t in study.trials().values()]


@pytest.mark.parametrize("slots", [2, 3, 8, 20])
def test_any_number_of_slots_gives_the_same_search(tmp_path, whole, slots):
    driver, study = drive(tmp_path, ScrambledExecutor(slots=slots, seed=slots))
    assert (outcome(driver), rows(tmp_path), [t.number for t in study.trials().values()]) == whole


@pytest.mark.parametrize("die_after", [0, 1, 2, 7, 13, 29, 38])
def test_a_driver_that_dies_is_taken_up_without_loss_or_repetition(tmp_path, whole, die_after):
    first = ScrambledExecutor(seed=die_after, die_after=die_after)
    with pytest.raises(KeyboardInterrupt):
        drive(tmp_path, first)
    second = ScrambledExecutor(seed=99)
    driver, _ = drive(tmp_path, second)
    assert (outcome(driver), rows(tmp_path)) == whole[:2]
    done = [request.key for request in first.evaluated + second.evaluated]
    assert len(done) == len(set(done)), "an evaluation that was finished ran again"


def test_dying_again_and_again_ends_at_the_budget(tmp_path, whole):
    for attempt in range(100):
        try:
            driver, study = drive(tmp_path, ScrambledExecutor(seed=attempt, die_after=3))
        except KeyboardInterrupt:
            continue
        break
    assert outcome(driver) == whole[0]
    assert len(study.trials()) == 30
    assert any(trial.attempts > 1 for trial in study.trials().values())


def test_without_the_log_the_end_is_the_same_only_later(tmp_path, whole):
    with pytest.raises(KeyboardInterrupt):
        drive(tmp_path, ScrambledExecutor(die_after=20))
    (tmp_path / "evaluations.jsonl").unlink()
    driver, _ = drive(tmp_path, ScrambledExecutor())
    assert outcome(driver) == whole[0]


def test_a_finished_study_runs_nothing_again(tmp_path, whole):
    drive(tmp_path, ScrambledExecutor())
    (tmp_path / "evaluations.jsonl").unlink()
    idle = ScrambledExecutor()
    driver, _ = drive(tmp_path, idle)
    assert idle.evaluated == []
    assert outcome(driver) == whole[0]


def test_an_extension_does_not_depend_on_where_the_first_part_was_interrupted(tmp_path):
    drive(tmp_path / "a", ScrambledExecutor(), budgets=(20,))
    straight, _ = drive(tmp_path / "a", ScrambledExecutor(), budgets=(20, 32))
    with pytest.raises(KeyboardInterrupt):
        drive(tmp_path / "b", ScrambledExecutor(die_after=11), budgets=(20,))
    broken, _ = drive(tmp_path / "b", ScrambledExecutor(), budgets=(20, 32))
    assert outcome(straight) == outcome(broken)
    assert len(outcome(broken)) == 32


def test_lost_workers_cost_an_attempt_not_the_trial(tmp_path, whole):
    driver, study = drive(tmp_path, ScrambledExecutor(lose={0, 5, 6}))
    assert outcome(driver) == whole[0]
    assert sum(trial.attempts - 1 for trial in study.trials().values()) == 3


def test_a_trial_whose_workers_are_always_lost_fails_and_the_search_goes_on(tmp_path):
    class Cursed(ScrambledExecutor):
        def wait(self, timeout=None):
            (finished,) = super().wait(timeout)
            lost = finished.evaluation is not None and self.evaluated[-1].graph == self.cursed
            return [type(finished)(finished.ticket, None, "worker lost", "killed")] if lost else [finished]

        def submit(self, ticket, request, *, memory_factor=1.0):
            self.cursed = getattr(self, "cursed", request.graph)
            super().submit(ticket, request)

    driver, study = drive(tmp_path, Cursed(), budgets=(10,))
    assert driver.decisions.trials[0].state == "FAIL"
    assert driver.decisions.trials[0].results[0].reason == "worker lost"
    assert [trial.state for n, trial in sorted(study.trials().items()) if n] == ["COMPLETE"] * 9


def test_failed_trials_are_stored_with_their_reason(tmp_path):
    def evaluate(request):
        if request.epochs == 2:
            return Evaluation.failure("diverged", "loss 1e9 at epoch 2, batch 1")
        return formula_evaluation(request)

    drive(tmp_path, ScrambledExecutor(evaluate=evaluate), budgets=(12,))
    states = {row["state"] for row in rows(tmp_path)}
    reasons = {row["reason"] for row in rows(tmp_path) if row["state"] == "FAIL"}
    assert states == {"COMPLETE", "FAIL"}
    assert reasons == {"diverged"}


def test_scores_in_the_table_are_exact(tmp_path):
    driver, _ = drive(tmp_path, ScrambledExecutor(), budgets=(8,))
    for row in rows(tmp_path):
        trial = driver.decisions.trials[int(row["number"])]
        assert float(row["score"]) == trial.score
        assert row["graph_key"] == trial.graph.key


def test_what_a_killed_driver_had_begun_to_write_is_gone_at_the_end(tmp_path):
    (tmp_path / ".trials.csv.abc123.tmp").write_text("number,sta")
    drive(tmp_path, ScrambledExecutor(), budgets=(3,))
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(("seconds", "writes"), [(0.01, 20), (10.0, 2)])
def test_a_table_that_takes_long_is_written_less_often(tmp_path, monkeypatch, seconds, writes):
    now, written = [100.0], []

    class Slow(ScrambledExecutor):
        def wait(self, timeout=None):
            now[0] += 3.0
            return super().wait(timeout)

    def write(self, trials, rungs):
        written.append(len(list(trials)))
        now[0] += seconds

    monkeypatch.setattr("topo_search.search.driver.time.monotonic", lambda: now[0])
    monkeypatch.setattr(RunFolder, "write_trials", write)
    drive(tmp_path, Slow(slots=1), budgets=(25,))
    # More than 25 results, each 3 s after the one before: a table is due at each, or after 50 times what it takes.
    assert written[-1] == 25
    assert (len(written) >= writes) if seconds < 1 else (len(written) == writes)


def test_only_one_driver_at_a_time(tmp_path):
    from topo_search.errors import InputError

    first, second = RunFolder(tmp_path), RunFolder(tmp_path)
    first.lock()
    with pytest.raises(InputError, match="in use by process"):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()


def test_a_result_whose_network_is_gone_is_computed_again(tmp_path):
    executor = ScrambledExecutor()
    with_network = Request(SPACE_GRAPH, 1, 0, save_to=str(tmp_path / "gone"))
    for expected in (1, 2):
        log = EvaluationLog(tmp_path / "log")
        Pool(executor, log).run_all([(with_network, "x")], lambda done: None)
        log.close()
        assert len(executor.evaluated) == expected
    leave_network(tmp_path / "gone")
    log = EvaluationLog(tmp_path / "log")
    Pool(executor, log).run_all([(with_network, "x")], lambda done: None)
    assert len(executor.evaluated) == 2


SPACE_GRAPH = (
    '{"format": "topo_search.graph/1", "areas": [{"size": 1, "role": "input"}, {"size": 1, "role": "output"}], '
    '"edges": [[0, 1]]}'
)
