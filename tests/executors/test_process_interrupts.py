"""An interrupt at any moment leaves no worker process behind."""

import multiprocessing

import pytest
from support import faulty
from support.tiny import tiny_space

from topo_search.executors import ProcessExecutor
from topo_search.executors.worker import Worker


def interrupted(call, *, after):
    """The first call is interrupted: when it has done its work, or before."""
    calls = []

    def once(*given, **options):
        calls.append(1)
        if len(calls) > 1:
            return call(*given, **options)
        if after:
            call(*given, **options)
        raise KeyboardInterrupt

    return once


def run(executor):
    """Two evaluations that end their workers, again and again."""
    for ticket in range(2):
        executor.submit(ticket, faulty.request("exits"))
    while True:
        executor.wait(timeout=60)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("owner", "name"),
    [("worker", "kill"), ("selector", "unregister"), ("selector", "register"), ("selector", "modify")],
)
def test_an_interrupt_while_a_worker_is_started_or_ended(monkeypatch, owner, name, after):
    executor = ProcessExecutor(tiny_space(), workers=2, start=faulty.start)
    of = Worker if owner == "worker" else executor._selector
    monkeypatch.setattr(of, name, interrupted(getattr(of, name), after=after))
    with pytest.raises(KeyboardInterrupt):
        run(executor)
    executor.close()
    left = [process.name for process in multiprocessing.active_children() if process.name.startswith("topo_search")]
    assert left == []
