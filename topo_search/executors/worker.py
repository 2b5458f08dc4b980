"""A worker process, as the driver sees it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Any

from topo_search.executors.messages import Messages
from topo_search.executors.worker_process import READY, Start, work
from topo_search.search.evaluate import Request

__all__ = ["Assignment", "Worker"]

# A process that was killed is gone in milliseconds, unless it waits for a disk that does not answer.
KILL_SECONDS = 2.0


@dataclass(frozen=True)
class Assignment:
    """An evaluation on its way to a worker.

    Attributes:
        ticket: of the evaluation.
        request: what to evaluate.
        memory: bytes that it may take; ``None``: no limit.
    """

    ticket: int
    request: Request
    memory: int | None


class Worker:
    """Starts a process that loads its data and then says that it is ready.

    Args:
        number: of the worker.
        start: what it does first.

    Attributes:
        ready: whether it has loaded its data.
        assignment: what it evaluates, if anything.
        began: when it began that, by the monotonic clock.

    Raises:
        OSError: if no process can be started.
    """

    def __init__(self, number: int, start: Start) -> None:
        self.number = number
        self.ready = False
        self.assignment: Assignment | None = None
        self.began = 0.0
        mine, its = socket.socketpair()
        with its:
            self.messages = Messages(mine)
            self._process = multiprocessing.get_context("spawn").Process(
                target=work, args=(its, os.getpid(), number, start), name=f"topo_search-worker-{number}", daemon=True
            )
            try:
                with _interrupts_blocked():
                    self._process.start()
            except BaseException:
                mine.close()
                raise

    @property
    def sentinel(self) -> int:
        """Readable when the process has ended."""
        return self._process.sentinel

    @property
    def pid(self) -> int | None:
        """Its process id."""
        return self._process.pid

    @property
    def idle(self) -> bool:
        """Whether it waits for an evaluation."""
        return self.ready and self.assignment is None

    def give(self, assignment: Assignment) -> None:
        """Have it evaluate; its time begins."""
        self.assignment, self.began = assignment, time.monotonic()
        self.messages.send(
            {"ticket": assignment.ticket, "request": assignment.request.as_dict(), "memory": assignment.memory}
        )

    def receive(self) -> dict[str, Any] | None:
        """The answer to its assignment, if it is there; whether it is ready is taken note of.

        Raises:
            ValueError: if it sent anything else.
        """
        answer = None
        for message in self.messages.receive():
            if not self.ready and message.get(READY) is True:
                self.ready = True
            elif answer is None and self.assignment is not None and message.get("ticket") == self.assignment.ticket:
                answer = message
            else:
                raise ValueError("an answer to no request")
        return answer

    @property
    def ended(self) -> bool:
        """Whether the process is gone, or does not listen any more; all that it sent before was received."""
        return self.messages.ended or not self._process.is_alive()

    def terminate(self) -> None:
        """Ask the process to end."""
        self._process.terminate()

    def kill(self, *, after: float = 0.0) -> str:
        """End the process, if it does not end in so many seconds by itself; how it ended, for people."""
        self._process.join(after)
        status = self._process.exitcode
        if status is None:
            self._process.kill()
            self._process.join(KILL_SECONDS)
        self.messages.close()
        return "it closed its connection" if status is None else _how_it_ended(status)


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    if status == -signal.SIGKILL:
        return "SIGKILL, as the kernel sends it where memory is short"
    with contextlib.suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    # The process inherits it: a Ctrl-C that comes before it can ignore them must not end it with a traceback.
    # The first process of all starts this one too, which unblocks interrupts when it is done.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
