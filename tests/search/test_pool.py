"""The pool's memory and its policy, with executors that end evaluations as they are told."""

import dataclasses
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.saving import leave_network

from topo_search.errors import RunFailedError
from topo_search.search import Evaluation, EvaluationLog, Finished, Pool, Request

GOOD = Evaluation(0.5, (0.5,), (1.0,), best_epoch=1)
LOSSES = ["worker lost", "node lost", "out of memory", "timed out"]


class ScriptedExecutor:
    """Ends the first evaluation it holds by the next entry of a script, then all by results."""

    slots = 3

    def __init__(self, script=()):
        self._script, self._held = list(script), []
        self.submitted = []

    def submit(self, ticket, request, *, memory_factor=1.0):
        self._held.append(ticket)
        self.submitted.append((request, memory_factor))

    def wait(self, timeout=None):
        return [self.end(self._held.pop(0), self._script.pop(0) if self._script else GOOD)]

    @staticmethod
    def end(ticket, how):
        return Finished(ticket, None, how, "told so") if isinstance(how, str) else Finished(ticket, how)

    def close(self):
        self._held.clear()


class AnyOrderExecutor(ScriptedExecutor):
    """Ends any number of the evaluations it holds, in any order and any way, as hypothesis draws it."""

    def __init__(self, draw):
        super().__init__()
        self._draw = draw

    def wait(self, timeout=None):
        order = self._draw(st.permutations(self._held))
        count = self._draw(st.integers(1, len(order)))
        self._held = [ticket for ticket in self._held if ticket not in order[:count]]
        return [self.end(ticket, self._draw(st.sampled_from([GOOD, *LOSSES]))) for ticket in order[:count]]


@pytest.fixture
def log(tmp_path):
    log = EvaluationLog(tmp_path / "log")
    yield log
    log.close()


def request(number):
    return Request(f"graph {number}", 1, 0)


def run(executor, log, count=1):
    return Pool(executor, log).run_all([(request(n), "") for n in range(count)], lambda done: None)


def test_memory_doubles_for_the_second_try(log):
    executor = ScriptedExecutor(["out of memory", "worker lost"])
    assert run(executor, log) == [GOOD]
    assert [factor for _, factor in executor.submitted] == [1.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("script", "reason", "begun"),
    [
        (["worker lost"] * 3, "worker lost", 3),
        (["worker lost"] * 2, "", 3),
        (["out of memory"] * 2, "out of memory", 2),
        (["timed out"], "timed out", 1),
        (["node lost"] * 20, "node lost", 20),
        (["node lost"] * 19 + ["worker lost"] * 2, "", 22),
        (["worker lost", "node lost", "out of memory", "worker lost", "node lost"], "", 6),
        ([Evaluation.failure("diverged")], "diverged", 1),
        ([Evaluation.failure("error", "Traceback")], "error", 1),
        ([Evaluation.failure("bad input")], "bad input", 1),
    ],
)
def test_what_follows_from_each_end(log, script, reason, begun):
    (evaluation,) = run(ScriptedExecutor(script), log)
    assert evaluation.reason == reason
    assert log.attempts(request(0)) == begun
    assert log.find(request(0)) == evaluation


def test_each_evaluation_has_its_own_tries(log):
    script = ["worker lost"] * 6  # The first three evaluations in turn, twice.
    assert run(ScriptedExecutor(script), log, count=3) == [GOOD] * 3
    assert [log.attempts(request(n)) for n in range(3)] == [3, 3, 3]


def test_the_way_it_was_lost_is_kept(log):
    (evaluation,) = run(ScriptedExecutor(["timed out"]), log)
    assert evaluation.detail == "told so"


BUG = Evaluation.failure("error", "Traceback\n  line\nKeyError: 'x'")


def test_eight_bugs_without_a_result_end_the_run(log):
    with pytest.raises(RunFailedError, match="first 8 evaluations all failed by an error, the last one: KeyError: 'x'"):
        run(ScriptedExecutor([BUG] * 8), log, count=9)
    assert sum(log.find(request(n)) is not None for n in range(9)) == 8


@pytest.mark.parametrize("worked", [GOOD, Evaluation.failure("diverged"), "timed out"])
@pytest.mark.parametrize("after", [0, 3, 7])
def test_bugs_of_some_evaluations_do_not(log, worked, after):
    script = [BUG] * after + [worked] + [BUG] * 30
    evaluations = run(ScriptedExecutor(script), log, count=31)
    assert [evaluation.reason for evaluation in evaluations].count("error") == 30


def test_what_is_known_is_not_evaluated(log):
    executor = ScriptedExecutor()
    run(executor, log, count=2)
    assert run(executor, log, count=4) == [GOOD] * 4
    assert [r for r, _ in executor.submitted] == [request(n) for n in range(4)]


@pytest.mark.parametrize("state", ["whole", "empty", "graph alone", "no certificate", "other weights", "torn"])
def test_a_known_result_counts_only_with_a_whole_network(log, tmp_path, state):
    saved = tmp_path / "net"
    wanted = Request("graph", 1, 0, save_to=str(saved))
    log.start(wanted, label="")
    log.finish(wanted, GOOD)
    leave_network(saved, "weights")
    if state in ("empty", "graph alone"):
        for path in saved.iterdir():
            if state == "empty" or path.name != "graph.json":
                path.unlink()
    elif state == "no certificate":
        (saved / "certificate.json").unlink()
    elif state == "other weights":
        (saved / "model.safetensors").write_text("those of a save that was interrupted")
    elif state == "torn":
        (saved / "certificate.json").write_text('{"model_sha')
    executor = ScriptedExecutor()
    assert Pool(executor, log).run_all([(wanted, "")], lambda done: None) == [GOOD]
    assert len(executor.submitted) == (0 if state == "whole" else 1)


@settings(max_examples=40, deadline=None)  # Each writes and syncs a file.
@given(st.data(), st.integers(0, 8))
def test_any_interleaving_of_losses_and_results_ends_each_evaluation_once(data, count):
    ended = []
    with tempfile.TemporaryDirectory() as folder:
        log = EvaluationLog(Path(folder) / "log")
        executor = AnyOrderExecutor(data.draw)
        pool = Pool(executor, log)
        for number in range(count):
            while pool.full:
                pool.wait()
            pool.submit(request(number), "", lambda evaluation, number=number: ended.append((number, evaluation)))
        while pool.running:
            pool.wait()
        log.close()
        lines = (Path(folder) / "log").read_text().splitlines()
    assert sorted(number for number, _ in ended) == list(range(count))
    assert pool.evaluated == count
    assert {evaluation.reason for _, evaluation in ended} <= {"", *LOSSES}
    assert sum('"event":"result"' in line for line in lines) == count
    assert sum('"event":"start"' in line for line in lines) == len(executor.submitted)


@pytest.mark.parametrize("script", [[], ["worker lost"]])
def test_requests_of_one_key_are_evaluated_once_though_both_are_in_flight(log, script):
    executor = ScriptedExecutor(script)
    pool = Pool(executor, log)
    results = pool.run_all([(request(0), "winner"), (request(1), ""), (request(0), "control")], lambda done: None)
    assert results[0] == results[2]
    assert pool.evaluated == 2
    assert len(executor.submitted) == 2 + len(script)
    log.close()
    ended = [json.loads(line)["key"] for line in log.path.read_text().splitlines() if '"result"' in line]
    assert sorted(ended) == sorted([request(0).key, request(1).key])


def test_a_network_that_is_to_be_kept_is_trained_though_the_same_evaluation_ran_without(log, tmp_path):
    executor = ScriptedExecutor()
    kept = dataclasses.replace(request(0), save_to=str(tmp_path / "network"))
    assert kept.key == request(0).key
    done = []
    pool = Pool(executor, log)
    for number, one in enumerate((request(0), kept, request(0))):
        pool.submit(one, "", lambda _, number=number: done.append(number))
    while pool.running:
        pool.wait()
    assert [one.save_to for one, _ in executor.submitted] == [None, kept.save_to]
    assert sorted(done) == [0, 1, 2]
