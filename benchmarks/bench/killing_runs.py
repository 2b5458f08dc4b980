"""Runs that are killed at random moments and taken up again, until so many kills were delivered."""

from __future__ import annotations

import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.killing_checks import State, differences, losses, phase, results_logged
from bench.killing_kinds import EXECUTORS
from bench.killing_processes import Session, kill
from topo_search.errors import RunFailedError

__all__ = ["Killing", "References"]

SPACE = Path(__file__).with_name("killing_space.yaml")
BUDGET = 40
# A run of some seconds that shows nothing new for so long hangs.
LIMIT_SECONDS = 240.0
# So often a kill falls into the start of a command, within so many seconds.
EARLY_SHARE, EARLY_SECONDS = 0.15, 4.0
# Else after so many more results, and less than so many seconds on.
MOST_RESULTS, MOST_SECONDS = 14, 0.3
# Results between two kills of workers of one command: an evaluation is begun three times, then its trial fails.
RESULTS_BETWEEN = 6


def _reference_run(folder: Path, *, seed: int, temporary: Path) -> Path:
    """A run without interruption, in this folder.

    Raises:
        RunFailedError: if it does not end well.
    """
    session = _start(folder, ("--workers", "2"), seed, temporary=temporary)
    if not session.wait(lambda: False, LIMIT_SECONDS) or session.status != 0:
        session.kill_all()
        raise RunFailedError(f"the uninterrupted run failed: {_last_line(folder)}")
    session.kill_all()
    return folder


@dataclass
class References:
    """Runs without interruption, one a seed; executors share them, since all of them must find the same.

    Attributes:
        scratch: folder for the runs.
        temporary: folder for temporary files.
    """

    scratch: Path
    temporary: Path
    _made: dict[int, Path] = field(default_factory=dict)

    def of(self, seed: int) -> Path:
        """The one of a seed."""
        if seed not in self._made:
            self._made[seed] = _reference_run(self.scratch / f"whole-{seed}", seed=seed, temporary=self.temporary)
        return self._made[seed]


def _errors(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.stderr")


def _last_line(folder: Path) -> str:
    lines = _errors(folder).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "no word of why"


def _start(folder: Path, flags: tuple[str, ...], seed: int, *, temporary: Path) -> Session:
    """Begin a run, or go on with it."""
    resumes = (folder / "space.yaml").exists()
    begin: tuple[object, ...] = ("evolve", "--space", SPACE, "--budget", BUDGET, "--seed", seed, "--out", folder)
    with _errors(folder).open("w", encoding="utf-8") as errors:
        arguments = [*(("resume", folder) if resumes else begin), *flags, "--quiet"]
        command = [sys.executable, "-m", "topo_search", *arguments]
        return Session(command, errors=errors, temporary=temporary)


@dataclass(frozen=True)
class _Ended:
    """A command that ended, by what, and until when all that it started must have ended too."""

    session: Session
    last: str
    deadline: float


class Killing:
    """Kills of runs with one executor.

    Args:
        executor: one of ``EXECUTORS``.
        references: runs to compare with; this one's lie beside them, and those that were harmed stay there.
        seed: of moments and kinds of kills, and of the first run's search.
        deadline: no kill after this moment of the monotonic clock.
        say: told of each run that ended, and of each violation.
    """

    def __init__(
        self,
        executor: str,
        *,
        references: References,
        seed: int,
        deadline: float,
        say: Callable[[str], None],
    ) -> None:
        self.executor, self._kind = executor, EXECUTORS[executor]
        self._references, self._seed, self._deadline = references, seed, deadline
        self._say = say
        self._rng = random.Random(f"{seed}:{executor}")
        self._counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self._wanted = 0
        self._last = ""
        self._ended: list[_Ended] = []

    def deliver(self, kills: int) -> dict[str, Any]:
        """Kill until so many kills were delivered, or the deadline; a row of the table ``KILLS``."""
        begin = time.monotonic()
        self._wanted = kills
        while self._more():
            self._run(self._seed + self._counts["runs"])
            self._counts["runs"] += 1
        return {
            "executor": self.executor,
            **{key: self._counts[key] for key in ("kills", "driver", "worker", "raylet", "group")},
            **{key: self._counts[key] for key in ("start", "search", "after", "resumes", "runs")},
            "seconds": time.monotonic() - begin,
            "violations": len(self.violations),
        }

    def _more(self) -> bool:
        return self._counts["kills"] < self._wanted and time.monotonic() < self._deadline

    def _violated(self, folder: Path, problems: list[str]) -> None:
        for problem in problems:
            self.violations.append(f"{folder.name}: {problem}")
            self._say(f"violation: {self.violations[-1]}")

    def _run(self, seed: int) -> None:
        """One run from its beginning to its end."""
        reference = self._references.of(seed)
        folder = self._references.scratch / f"{self.executor}-{self._counts['runs']}"
        known, kills = len(self.violations), self._counts["kills"]
        while True:
            self._counts["resumes"] += (folder / "space.yaml").exists()
            self._last = "its end"
            session = _start(folder, self._kind.flags, seed, temporary=self._references.temporary)
            try:
                killed = self._session(session, folder)
            except BaseException:
                for ours in (session, *(ended.session for ended in self._ended)):
                    ours.kill_all()
                raise
            # The run is taken up at once, while its orphans end.
            self._ended.append(_Ended(session, self._last, time.monotonic() + self._kind.gone_seconds))
            if session.status == 0:
                self._violated(folder, differences(folder, reference, budget=BUDGET))
                break
            if not killed:
                self._violated(folder, [f"exit status {session.status} without a kill: {_last_line(folder)}"])
                break
        self._wait_until_gone(folder)
        self._say(f"{folder.name}: {self._counts['kills'] - kills} kills, {self._counts['kills']} of {self._wanted}")
        if len(self.violations) == known:
            shutil.rmtree(folder)

    def _wait_until_gone(self, folder: Path) -> None:
        """Wait for what commands left behind: all of it must end by itself."""
        for ended in self._ended:
            left = ended.session.left_over(max(0.0, ended.deadline - time.monotonic()))
            last = f"{self._kind.gone_seconds:.0f} s after {ended.last}"
            self._violated(folder, [f"a process was left over {last}: {command[:120].strip()}" for command in left])
        self._ended.clear()

    def _session(self, session: Session, folder: Path) -> bool:
        """Kill once or, where the command must go on by itself, several times; whether it may have ended by a kill."""
        while self._more():
            early = self._rng.random() < EARLY_SHARE
            if not self._wait_for_moment(session, folder, early=early):
                return False
            if session.status is not None:
                return False
            target = self._rng.choice(self._kind.targets)
            if early and target in ("worker", "raylet"):
                # Perhaps there is none yet.
                target = "driver"
            if self._kill(session, folder, target) and target != "worker":
                return True
        if not session.wait(lambda: False, LIMIT_SECONDS):
            self._hangs(session, folder)
        return False

    def _hangs(self, session: Session, folder: Path) -> None:
        self._violated(folder, [f"nothing happened for {LIMIT_SECONDS:.0f} s: {_last_line(folder)}"])
        session.kill_all()

    def _wait_for_moment(self, session: Session, folder: Path, *, early: bool) -> bool:
        """Wait for the moment of the next kill; whether it came in time."""
        if early:
            seconds = self._rng.random() * EARLY_SECONDS
        else:
            target = results_logged(folder) + self._rng.randrange(MOST_RESULTS)
            seconds = self._rng.random() * MOST_SECONDS
            if not session.wait(lambda: results_logged(folder) >= target, LIMIT_SECONDS):
                self._hangs(session, folder)
                return False
        session.wait(lambda: False, seconds)
        return True

    def _kill(self, session: Session, folder: Path, target: str) -> bool:
        """Kill something of a run and look at what is left; whether it was there to be killed."""
        where, before = phase(folder), State.of(folder)
        delivered = self._strike(session, target)
        if not delivered:
            return False
        self._counts.update(("kills", target, where))
        self._last = f"a kill of the {target}"
        if target == "worker":
            self._goes_on(session, folder)
        elif target == "raylet":
            # Its driver may end by this, or may start another; both are fine as long as nothing is lost.
            if not session.wait(lambda: results_logged(folder) > len(before.results), LIMIT_SECONDS):
                self._hangs(session, folder)
            session.kill_all()
        self._violated(folder, losses(before, State.of(folder)))
        return True

    def _strike(self, session: Session, target: str) -> bool:
        if target == "driver":
            return session.kill_driver()
        if target == "group":
            return session.kill_all()
        is_one = self._kind.worker if target == "worker" else lambda command: "raylet/raylet" in command.split(" ")[0]
        found = session.children(is_one)
        return bool(found) and session.status is None and kill(self._rng.choice(found))

    def _goes_on(self, session: Session, folder: Path) -> None:
        """A search that loses a worker needs no help."""
        target = results_logged(folder) + RESULTS_BETWEEN
        if not session.wait(lambda: results_logged(folder) >= target, LIMIT_SECONDS):
            self._hangs(session, folder)
        elif session.status not in (None, 0):
            self._violated(folder, [f"a lost worker ended the run with status {session.status}: {_last_line(folder)}"])
