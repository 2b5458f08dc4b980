import dataclasses
import threading

import pytest
from sqlalchemy import text
from support.saving import leave_network
from support.searching import ScrambledExecutor, formula_evaluation
from support.tiny import tiny_graph

from topo_search.errors import InputError, RunFailedError
from topo_search.search import Evaluation, Pool, Request
from topo_search.search.locks import database_lock, owner
from topo_search.search.locks.database_lock import DatabaseLock
from topo_search.search.shared_evaluations import SharedEvaluationLog

RESULT = Evaluation(0.5, (0.25, 0.5), (1.5, 1.0), best_epoch=2, parameters=7, seconds=0.25)
GRAPH = tiny_graph().to_json()


def request(seed=0, **options):
    return Request(GRAPH, 2, seed, **options)


class Drivers:
    """Drivers that have joined one study; SQLite is taken for a server, so they must take turns."""

    def __init__(self, path):
        self.url = f"sqlite:///{path}/study.db"
        self._locks = []

    def join(self, study="a1"):
        self._locks.append(DatabaseLock(self.url, "run", joins=True, interval=60))
        return SharedEvaluationLog(self._locks[-1], study)

    def leave(self, log):
        log._lock.release()

    def close(self):
        for lock in self._locks:
            lock.release()


@pytest.fixture
def drivers(tmp_path, monkeypatch):
    monkeypatch.setattr(database_lock, "is_shareable", lambda location: True)
    found = Drivers(tmp_path)
    yield found
    found.close()


def test_one_of_two_drivers_claims_an_evaluation_and_both_have_its_result(drivers):
    first, second = drivers.join(), drivers.join()
    assert first.claim(request(), label="")
    assert not second.claim(request(), label="")
    assert second.claim(request(1), label="")
    assert second.find(request()) is None
    assert first.finish(request(), RESULT) == RESULT
    assert second.find(request()) == RESULT
    assert not second.claim(request(), label="")
    assert drivers.join().find(request()) == RESULT
    assert first.attempts(request()) == second.attempts(request()) == 1


@pytest.mark.parametrize("reason", ["timed out", "out of memory", "worker lost", "diverged"])
def test_failures_are_shared_too(drivers, reason):
    first, second = drivers.join(), drivers.join()
    first.claim(request(), label="")
    first.finish(request(), Evaluation.failure(reason, "detail\x00\n\ud800 'x'"))
    assert second.find(request()) == first.find(request())
    assert second.find(request()).reason == reason


def test_the_claim_of_a_driver_that_left_or_died_is_taken_over_and_counted(drivers, monkeypatch):
    first, second = drivers.join(), drivers.join()
    first.claim(request(0), label="")
    first.claim(request(1), label="")
    drivers.leave(first)
    assert second.claim(request(0), label="")
    assert second.attempts(request(0)) == 2
    monkeypatch.setattr(owner.Owner, "is_running", False)
    third = drivers.join()
    assert third.claim(request(0), label="")
    assert third.attempts(request(0)) == 3
    # The second one was found dead: it must not write any more.
    with pytest.raises(RunFailedError, match="was taken over"):
        second.finish(request(0), RESULT)
    assert third.find(request(0)) is None


def test_the_first_result_counts(drivers):
    first, second = drivers.join(), drivers.join()
    first.claim(request(), label="")
    assert second.start(request(), label="") == 1
    assert second.finish(request(), RESULT) == RESULT
    assert first.finish(request(), Evaluation.failure("timed out")) == RESULT
    assert first.find(request()) == RESULT


def test_an_evaluation_that_is_begun_again_is_counted(drivers):
    log = drivers.join()
    log.claim(request(), label="")
    assert log.start(request(), label="") == 2
    assert log.attempts(request()) == 2
    assert log.attempts(request(5)) == 0


def test_a_table_that_holds_something_else_is_refused(drivers):
    log = drivers.join()
    log.claim(request(), label="")
    with log._lock.engine.begin() as connection:
        connection.execute(text("UPDATE topo_search_evaluations SET result = '[1]'"))
    with pytest.raises(InputError, match="is corrupt: expected an evaluation"):
        log.find(request())


def test_studies_of_one_database_do_not_mix(drivers):
    log = drivers.join()
    log.claim(request(), label="")
    log.finish(request(), RESULT)
    other = DatabaseLock(drivers.url, "other")
    assert SharedEvaluationLog(other, "a1").find(request()) is None
    assert SharedEvaluationLog(other, "a1").claim(request(), label="")
    other.release()


def test_evaluations_of_a_study_that_was_deleted_are_not_those_of_the_next_of_its_name(drivers):
    log = drivers.join("a1")
    log.claim(request(), label="")
    log.finish(request(), RESULT)
    next_one = drivers.join("b2")
    assert next_one.find(request()) is None
    assert next_one.attempts(request()) == 0
    assert next_one.claim(request(), label="")
    other = dataclasses.replace(RESULT, score=0.125)
    assert next_one.finish(request(), other) == other
    assert drivers.join("a1").find(request()) == RESULT


# ---- the pool


def results(pool, requests):
    return pool.run_all([(entry, f"seed {entry.seed}") for entry in requests], lambda done: None)


def test_a_pool_waits_for_another_driver_without_a_slot(drivers):
    other, log = drivers.join(), drivers.join()
    log.poll_seconds = 0.01
    other.claim(request(0), label="")
    executor = ScrambledExecutor(slots=1)
    pool = Pool(executor, log)
    got = {}
    pool.submit(request(0), "", lambda evaluation: got.update(other=evaluation))
    assert pool.running == 1
    assert not pool.full
    pool.submit(request(1), "", lambda evaluation: got.update(own=evaluation))
    assert pool.full
    pool.wait()
    assert set(got) == {"own"}
    other.finish(request(0), RESULT)
    pool.wait()
    assert got["other"] == RESULT
    assert pool.running == 0
    assert [entry.seed for entry in executor.evaluated] == [1]
    assert pool.evaluated == 1


def test_a_pool_takes_over_what_a_driver_left(drivers):
    other, log = drivers.join(), drivers.join()
    log.poll_seconds = 0.01
    other.claim(request(0), label="")
    leaving = threading.Timer(0.2, drivers.leave, [other])
    leaving.start()
    executor = ScrambledExecutor()
    assert results(Pool(executor, log), [request(0)]) == [formula_evaluation(request(0))]
    assert [entry.seed for entry in executor.evaluated] == [0]
    leaving.join()


def test_a_network_is_trained_in_every_folder_and_scored_once(drivers, tmp_path):
    first, second = drivers.join(), drivers.join()
    one, two = ScrambledExecutor(), ScrambledExecutor(evaluate=lambda entry: RESULT)
    for name, log, executor in (("a", first, one), ("b", second, two)):
        path = tmp_path / name
        entry = request(0, save_to=str(path))
        assert results(Pool(executor, log), [entry]) == [formula_evaluation(entry)]
        assert len(executor.evaluated) == 1
        leave_network(path)
        assert results(Pool(executor, log), [entry]) == [formula_evaluation(entry)]
        assert len(executor.evaluated) == 1


def test_a_winner_that_could_be_trained_elsewhere_only_ends_the_run(drivers, tmp_path):
    first, second = drivers.join(), drivers.join()
    failing = ScrambledExecutor(evaluate=lambda entry: Evaluation.failure("timed out"))
    pool = Pool(failing, second)
    pool.submit(request(0, save_to=str(tmp_path / "b")), "winner", lambda evaluation: None)
    first.start(request(0), label="")
    first.finish(request(0), RESULT)
    with pytest.raises(RunFailedError, match=r"winner: the network could not be trained here \(timed out\)"):
        pool.wait()


def test_a_log_of_its_own_is_never_polled(tmp_path):
    from topo_search.search import EvaluationLog

    asked = []

    class Noting(ScrambledExecutor):
        def wait(self, timeout=None):
            asked.append(timeout)
            return super().wait(timeout)

    log = EvaluationLog(tmp_path / "log")
    assert len(results(Pool(Noting(), log), [request(seed) for seed in range(5)])) == 5
    assert asked == [None] * 5
    log.close()
