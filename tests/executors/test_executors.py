import dataclasses
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from support.tiny import tiny_space

from topo_search.executors import ProcessExecutor, SerialExecutor
from topo_search.graph import make_family
from topo_search.search import Evaluator, Request
from topo_search.tasks import load_task

SPACE = tiny_space()


def request(seed, epochs=2):
    graph = make_family("random_density", SPACE.constraints, np.random.default_rng(seed))
    return Request(graph.to_json(), epochs, seed)


def collect(executor, count):
    found = {}
    while len(found) < count:
        for finished in executor.wait(timeout=120):
            found[finished.ticket] = finished.evaluation
    return found


def values(evaluation):
    return dataclasses.replace(evaluation, seconds=0.0)


@pytest.fixture(scope="module")
def processes():
    executor = ProcessExecutor(SPACE, workers=2)
    yield executor
    executor.close()


def test_processes_give_the_bits_of_serial(processes):
    serial = SerialExecutor(Evaluator(SPACE, load_task(SPACE.task)))
    for ticket in range(6):
        serial.submit(ticket, request(ticket))
        processes.submit(ticket, request(ticket))
    expected, found = collect(serial, 6), collect(processes, 6)
    assert {t: values(e) for t, e in found.items()} == {t: values(e) for t, e in expected.items()}


def test_an_error_in_an_evaluation_is_a_failure_with_its_traceback(processes):
    processes.submit(1, Request("{}", 2, 0))
    processes.submit(2, Request(request(0).graph, 99, 0))
    found = collect(processes, 2)
    assert found[1].reason == "bad input"
    assert found[2].reason == "error"
    assert "epochs must lie in 1 .. 3" in found[2].detail


def test_a_killed_worker_gives_its_evaluations_back_and_the_pool_recovers(processes):
    processes.submit(0, request(0))
    collect(processes, 1)
    workers = list(processes._pool._processes)
    for worker in workers:  # Stopped workers cannot finish before the kill.
        os.kill(worker, signal.SIGSTOP)
    processes.submit(1, request(1))
    os.kill(workers[0], signal.SIGKILL)
    (lost,) = processes.wait(timeout=120)
    for worker in workers[1:]:  # A stopped process would never take notice of its end.
        os.kill(worker, signal.SIGCONT)
    assert (lost.ticket, lost.evaluation) == (1, None)
    processes.submit(2, request(1))
    assert not collect(processes, 1)[2].failed


def test_close_leaves_no_worker_behind():
    executor = ProcessExecutor(SPACE, workers=1)
    executor.submit(0, request(0))
    executor.wait(timeout=120)
    (worker,) = executor._pool._processes.values()
    executor.submit(1, request(1))
    executor.close()
    # Asked of the system: the pool's own thread may have taken the exit status that is_alive would look for.
    deadline = time.monotonic() + 20
    while Path(f"/proc/{worker.pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
