"""Commands that can be killed, with every process that they start."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

__all__ = ["Process", "Session", "kill"]

POLL_SECONDS = 0.05
_MARK = "TOPO_SEARCH_KILLS"


@dataclass(frozen=True)
class Process:
    """A process; its start tells it from a later one of the same number."""

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        """Whether it is there and no zombie."""
        found = _stat(self.pid)
        return found is not None and found[3] == self.started and found[0] != "Z"

    @property
    def command(self) -> str:
        """Its command line; empty once it is gone."""
        with contextlib.suppress(OSError):
            return Path(f"/proc/{self.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return ""


def _stat(pid: int) -> tuple[str, int, int, int] | None:
    """State, parent, session and start of a process, or ``None``."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name before it may hold anything, also parentheses.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[1]), int(fields[3]), int(fields[19])


def _marked(pid: int, mark: bytes) -> bool:
    with contextlib.suppress(OSError):
        return mark in Path(f"/proc/{pid}/environ").read_bytes()
    return False


class Session:
    """One command, in a session and a process group of its own.

    What it starts is found by a mark in the environment, by its session, and as a child of either: a daemon may leave
    the group, a worker may write a title over its environment, and an orphan has another parent.

    Args:
        command: program and arguments.
        errors: file for its standard error.
        temporary: folder for its temporary files: what is killed cannot remove them.
    """

    def __init__(self, command: Sequence[object], *, errors: IO[str], temporary: Path) -> None:
        mark = uuid.uuid4().hex
        self._mark = f"{_MARK}={mark}".encode()
        self._known: set[Process] = set()
        self._popen = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(temporary), _MARK: mark},
        )
        self.pid = self._popen.pid

    @property
    def status(self) -> int | None:
        """Exit status; ``None`` while it runs."""
        return self._popen.poll()

    def family(self) -> list[Process]:
        """Every living process that the command started, itself among them; those seen earlier too."""
        stats = {int(path.name): _stat(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdigit()}
        found = {known.pid for known in self._known if known.alive}
        found |= {pid for pid, stat in stats.items() if stat and (stat[2] == self.pid or _marked(pid, self._mark))}
        size = -1
        while size < len(found):
            size = len(found)
            found |= {pid for pid, stat in stats.items() if stat and stat[1] in found}
        processes = {Process(pid, stat[3]) for pid in found if (stat := stats[pid])}
        self._known |= processes
        return sorted((process for process in processes if process.alive), key=lambda process: process.pid)

    def children(self, is_one: Callable[[str], bool]) -> list[Process]:
        """Living processes, less the command itself, whose command line is such a one."""
        return [process for process in self.family() if process.pid != self.pid and is_one(process.command)]

    def wait(self, until: Callable[[], bool], seconds: float) -> bool:
        """Wait until something is so, or the command has ended; whether either came in time."""
        deadline = time.monotonic() + seconds
        while self.status is None and not until():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def interrupt(self) -> None:
        """Ctrl-C for the whole group."""
        os.killpg(self.pid, signal.SIGINT)

    def kill_driver(self) -> bool:
        """SIGKILL for the command alone; whether it was that which ended it."""
        if self.status is not None:
            return False
        self.family()
        self._popen.kill()
        return self._popen.wait() == -signal.SIGKILL

    def kill_all(self) -> bool:
        """SIGKILL for the command and all that it started; whether it was that which ended the command."""
        running = self.status is None
        self.family()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        status = self._popen.wait()
        # Also those that left the group, and what they start while they are killed.
        for _ in range(100):
            left = self.family()
            if not left:
                break
            for process in left:
                kill(process)
            time.sleep(POLL_SECONDS)
        return running and status == -signal.SIGKILL

    def left_over(self, seconds: float) -> list[str]:
        """Command lines of processes that outlive the command by so long; they are killed then."""
        deadline = time.monotonic() + seconds
        while (left := self.family()) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        commands = [process.command or f"process {process.pid}" for process in left]
        if left:
            self.kill_all()
        return commands


def kill(process: Process) -> bool:
    """SIGKILL; whether the process was still there."""
    if not process.alive:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
        return True
    return False
