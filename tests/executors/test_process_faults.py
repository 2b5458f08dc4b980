"""Evaluations that go wrong in real worker processes: each ends in a stated way, and the next one is evaluated."""

import re
import selectors
import sys

import pytest
from support import faulty
from support.tiny import tiny_space

from topo_search.executors import ProcessExecutor
from topo_search.executors.guard import printable
from topo_search.search import Pool, TrialResources
from topo_search.search.evaluation_log import EvaluationLog

SPACE = tiny_space()
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory, or knows /proc/self/fd")


def open_executor(workers=2, **resources):
    return ProcessExecutor(SPACE, workers=workers, resources=TrialResources(**resources), start=faulty.start)


@pytest.fixture(scope="module")
def executor():
    executor = open_executor(memory_gb=0.1)
    yield executor
    executor.close()


@pytest.fixture(scope="module")
def impatient():
    executor = open_executor(seconds=2.0)
    yield executor
    executor.close()


def run(executor, *faults):
    """How evaluations of these faults end, in their order."""
    for ticket, fault in enumerate(faults):
        executor.submit(ticket, faulty.request(fault))
    ended = {}
    while len(ended) < len(faults):
        ended.update({one.ticket: one for one in executor.wait(timeout=120)})
    return [ended[ticket] for ticket in range(len(faults))]


@pytest.mark.parametrize(
    ("fault", "reason", "detail"),
    [
        ("raises", "error", r"Traceback.*in raises.*ZeroDivisionError: a bug \N{REPLACEMENT CHARACTER}"),
        ("raises_without_words", "error", "SilentError"),
        ("bad_input", "bad input", "no such area"),
        ("diverges", "diverged", "loss 1e9 at epoch 1, batch 1"),
        ("nan_score", "diverged", "score is not a finite number"),
        ("infinite_loss", "diverged", "losses is not a finite number"),
        ("nan_edge_score", "diverged", r"edge_scores\.magnitude is not a finite number"),
        ("nothing", "error", "TypeError"),
        ("impossible_score", "error", "ValueError: scores must lie in 0 to 1"),
        ("array", "error", "TypeError.*float32 is not JSON serializable"),
    ],
)
def test_what_is_the_evaluations_own_fault_is_its_result(executor, fault, reason, detail):
    (ended,) = run(executor, fault)
    assert ended.loss is None
    assert ended.evaluation.reason == reason
    assert re.search(detail, ended.evaluation.detail, re.DOTALL)
    assert ended.evaluation.detail == printable(ended.evaluation.detail)


def test_requests_and_results_of_megabytes(executor):
    long_request = "long_result " + "x" * 5_000_000
    for ended in run(executor, long_request, long_request, long_request):
        assert ended.evaluation.curve == faulty.CURVE


def test_a_driver_that_has_sent_a_long_request_sleeps(executor, tmp_path):
    run(executor, "good", "good")
    executor.submit(0, faulty.request("waits_for_marker " + "x" * 5_000_000, marker=tmp_path / "marker"))
    (worker,) = (worker for worker in executor._workers if worker.assignment)
    while worker.messages.unsent:
        assert executor.wait(timeout=0.05) == []
    assert executor._selector.get_key(worker.messages).events == selectors.EVENT_READ
    (tmp_path / "marker").touch()
    (ended,) = executor.wait(timeout=120)
    assert ended.evaluation == faulty.GOOD


def test_what_an_evaluation_prints_reaches_standard_error_alone(capfd):
    executor = open_executor(workers=1)  # A worker of its own: it inherits what is captured here.
    try:
        (ended,) = run(executor, "prints")
    finally:
        executor.close()
    assert ended.evaluation == faulty.GOOD
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "a word of a library" in printed.err
    assert len(printed.err) > 3_000_000


def check_lost(executor, fault, loss, detail):
    """The evaluation is lost, the two beside it and behind it are not."""
    before = {worker.pid for worker in executor._workers}
    ended, *others = run(executor, fault, "good", "good")
    assert ended.evaluation is None
    assert ended.loss == loss
    assert re.search(detail, ended.detail), ended.detail
    assert [one.evaluation for one in others] == [faulty.GOOD] * 2
    assert before - {worker.pid for worker in executor._workers}, "the worker was not replaced"


@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        ("exits", "its worker ended: exit status 7"),
        pytest.param("kills_itself", "its worker ended: SIGKILL, as the kernel sends it", marks=pytest.mark.slow),
        pytest.param("crashes", "its worker ended: SIGSEGV", marks=pytest.mark.slow),
        pytest.param("leaves", "its worker ended: (exit status 1|it closed its connection)", marks=pytest.mark.slow),
        pytest.param("sends_garbage", "something else than a result", marks=LINUX),
        pytest.param("sends_another_answer", "something else than a result", marks=[LINUX, pytest.mark.slow]),
        pytest.param("sends_half_and_exits", "exit status 7", marks=[LINUX, pytest.mark.slow]),
    ],
)
def test_a_worker_that_dies_or_goes_mad_costs_its_own_evaluation(executor, fault, detail):
    run(executor, "good", "good")
    check_lost(executor, fault, "worker lost", detail)


@LINUX
@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        pytest.param("fills_lists", "MemoryError", marks=pytest.mark.slow),
        pytest.param("fills_arrays", "Unable to allocate", marks=pytest.mark.slow),
        ("fills_tensors", "can't allocate memory"),
        pytest.param("asks_too_much", "can't allocate memory", marks=pytest.mark.slow),
    ],
)
def test_allocating_without_bound_is_out_of_memory(executor, fault, detail):
    run(executor, "good", "good")
    check_lost(executor, fault, "out of memory", detail)


@pytest.mark.parametrize(
    "fault",
    [
        "hangs_and_ignores_sigterm",
        pytest.param("hangs", marks=pytest.mark.slow),
        pytest.param("stops", marks=pytest.mark.slow),
        pytest.param("sends_half_and_hangs", marks=[LINUX, pytest.mark.slow]),
    ],
)
def test_an_evaluation_over_its_time_is_ended(impatient, fault):
    run(impatient, "good", "good")
    check_lost(impatient, fault, "timed out", "it had not ended after 2 s")


def end_in_pool(executor, tmp_path, *requests):
    """Results of a real pool, and how often each evaluation was begun."""
    log = EvaluationLog(tmp_path / "log")
    results = Pool(executor, log).run_all([(request, "") for request in requests], lambda done: None)
    attempts = [log.attempts(request) for request in requests]
    log.close()
    return [result.reason for result in results], attempts


@LINUX
def test_what_may_pass_is_tried_again_and_what_will_not_is_not(executor, tmp_path):
    ended = end_in_pool(
        executor,
        tmp_path,
        faulty.request("raises"),
        faulty.request("diverges"),
        faulty.request("needs_150_mb"),  # The first try has 100, the second 200.
        faulty.request("dies_once", marker=tmp_path / "marker"),
    )
    assert ended == (["error", "diverged", "", ""], [1, 1, 2, 2])


@LINUX
@pytest.mark.slow
def test_what_fails_again_and_again_fails_with_its_reason(executor, impatient, tmp_path):
    faults = ["exits", "fills_lists", "kills_itself", "sends_garbage", "nan_score", "good"]
    ended = end_in_pool(executor, tmp_path, *map(faulty.request, faults))
    assert ended == (
        ["worker lost", "out of memory", "worker lost", "worker lost", "diverged", ""],
        [3, 2, 3, 3, 1, 1],
    )
    assert end_in_pool(impatient, tmp_path, faulty.request("hangs")) == (["timed out"], [1])
