import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from support import faulty
from support.tiny import tiny_space

from topo_search.executors import ProcessExecutor, SerialExecutor, WorkersCannotStartError, processes
from topo_search.graph import make_family
from topo_search.search import Evaluator, Request, TrialResources
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


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def pool():
    executor = ProcessExecutor(SPACE, workers=2)
    yield executor
    executor.close()


def test_processes_give_the_bits_of_serial(pool):
    serial = SerialExecutor(Evaluator(SPACE, load_task(SPACE.task)))
    for ticket in range(6):
        serial.submit(ticket, request(ticket))
        pool.submit(ticket, request(ticket))
    expected, found = collect(serial, 6), collect(pool, 6)
    assert {t: values(e) for t, e in found.items()} == {t: values(e) for t, e in expected.items()}


def test_an_error_in_an_evaluation_is_a_failure_with_its_traceback(pool):
    pool.submit(1, Request("{}", 2, 0))
    pool.submit(2, Request(request(0).graph, 99, 0))
    found = collect(pool, 2)
    assert found[1].reason == "bad input"
    assert found[2].reason == "error"
    assert "epochs must lie in 1 .. 3" in found[2].detail


def test_a_killed_worker_loses_what_it_evaluates_and_nothing_that_waits(pool):
    for ticket in range(2):
        pool.submit(ticket, request(ticket))
    collect(pool, 2)
    stopped = [worker.pid for worker in pool._workers]
    for pid in stopped:  # Stopped workers cannot finish before the kill.
        os.kill(pid, signal.SIGSTOP)
    for ticket in range(pool.slots):
        pool.submit(ticket, request(ticket))
    os.kill(stopped[0], signal.SIGKILL)
    (lost,) = pool.wait(timeout=120)
    assert (lost.evaluation, lost.loss) == (None, "worker lost")
    os.kill(stopped[1], signal.SIGCONT)
    rest = collect(pool, pool.slots - 1)
    assert sorted([lost.ticket, *rest]) == list(range(pool.slots))
    assert not any(evaluation.failed for evaluation in rest.values())


def test_waiting_ends_where_nothing_runs_and_when_its_time_is_over(pool):
    assert pool.wait() == []
    pool.submit(0, request(0, epochs=3))
    assert pool.wait(timeout=0.0) == []
    assert set(collect(pool, 1)) == {0}


def test_close_leaves_no_worker_behind_however_it_resists(tmp_path):
    executor = ProcessExecutor(SPACE, workers=1, start=faulty.start)
    marker = tmp_path / "pid"
    executor.submit(0, faulty.request("tells_and_ignores_sigterm", marker=marker))
    executor.submit(1, faulty.request("good"))
    until(lambda: executor.wait(timeout=0.1) == [] and marker.exists() and marker.read_text())
    executor.close()
    assert not Path(f"/proc/{marker.read_text()}").exists()
    assert executor.wait() == []
    executor.close()


@pytest.mark.slow
def test_workers_that_never_start_end_the_run():
    executor = ProcessExecutor(SPACE, workers=1, start=faulty.never_start)
    executor.submit(0, faulty.request("good"))
    with pytest.raises(WorkersCannotStartError, match=r"no worker process could start \(the last one: exit status 3\)"):
        executor.wait(timeout=120)
    executor.close()


def test_a_machine_without_room_for_a_process_ends_the_run(monkeypatch):
    tries = []

    def no_process(number, start):
        tries.append(number)
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(processes, "Worker", no_process)
    executor = ProcessExecutor(SPACE, workers=2)
    executor.submit(0, request(0))
    with pytest.raises(WorkersCannotStartError, match="no more processes"):
        executor.wait(timeout=120)
    assert sorted(tries) == [0, 0, 0, 1, 1, 1]


@pytest.mark.slow
def test_a_worker_that_never_starts_is_given_up_and_the_others_go_on():
    executor = ProcessExecutor(SPACE, workers=2, start=faulty.start_first_worker_only)
    ended = {}
    ticket = 0
    while executor.slots > 2:  # As long as there is more to do than one worker does, the other is tried.
        for _ in range(3):
            executor.submit(ticket, faulty.request("good"))
            ticket += 1
        while len(ended) < ticket:
            ended.update({one.ticket: one.evaluation for one in executor.wait(timeout=120)})
    assert set(ended.values()) == {faulty.GOOD}
    executor.close()


GB = 1_000_000_000


@pytest.mark.parametrize(
    ("machine", "memory_gb", "device", "expected"),
    [
        (10 * GB, None, "cpu", [4 * GB, 8 * GB, 10 * GB]),  # Four fifths, shared by two workers.
        (10 * GB, 3.0, "cpu", [3 * GB, 6 * GB, 10 * GB]),
        (10 * GB, 3.0, "cuda", [3 * GB, 6 * GB, 10 * GB]),
        (10 * GB, None, "cuda", [None] * 3),
        (None, None, "cpu", [None] * 3),
        (None, 3.0, "cpu", [3 * GB, 6 * GB, 12 * GB]),
    ],
)
def test_what_an_evaluation_may_take_of_the_machines_memory(monkeypatch, machine, memory_gb, device, expected):
    monkeypatch.setattr(processes, "machine_memory", lambda: machine)
    resources = TrialResources(memory_gb=memory_gb)
    executor = ProcessExecutor(SPACE, workers=2, device=device, resources=resources)
    assert [executor._memory_for(factor) for factor in (1.0, 2.0, 4.0)] == expected


@pytest.mark.skipif(sys.platform != "linux", reason="reads signal masks in /proc")
def test_no_worker_not_even_the_first_can_be_interrupted_while_it_starts(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from topo_search.executors.worker import Worker\n"
        "if __name__ == '__main__':\n"
        "    for number in range(2):\n"
        "        worker = Worker(number, print)\n"
        "        status = Path(f'/proc/{worker.pid}/status').read_text()\n"
        "        print(status.partition('SigBlk:')[2].split()[0])\n"
        "        worker.kill()\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, timeout=60)
    blocked = [int(mask, 16) & 1 << signal.SIGINT - 1 for mask in done.stdout.split()]
    assert len(blocked) == 2
    assert all(blocked)
