"""Who drives a run, as other processes and other machines can tell."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from topo_search.errors import InputError, RunFailedError

__all__ = ["BEAT_SECONDS", "SILENT_BEATS", "Heartbeat", "Owner", "in_use", "taken_over", "watch"]

BEAT_SECONDS = 10.0
# An owner elsewhere whose beat stands still for so many of its intervals, by the watcher's own clock, is gone.
SILENT_BEATS = 2.5


@dataclass(frozen=True)
class Owner:
    """A driver, as others see it.

    No decision is taken from a clock of the day: ``since`` is for people.

    Attributes:
        token: names this lock of this driver.
        host: for people.
        place: machine, boot and process namespace: within one place a process can be looked up.
        pid: within the place.
        started: when the process began, in the kernel's count: a number is used again by later processes.
        since: in UTC.
        beat: counts up while the driver lives.
        seen: steady clock of the place at the last beat, in seconds.
    """

    token: str
    host: str
    place: str
    pid: int
    started: str
    since: str
    beat: int
    seen: float

    @classmethod
    def this(cls) -> Owner:
        """This process, under a new token."""
        since = datetime.now(tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
        started = _process(os.getpid()) or ""
        return cls(
            secrets.token_hex(16),
            socket.gethostname()[:200],
            _place(),
            os.getpid(),
            started,
            since,
            0,
            time.monotonic(),
        )

    @classmethod
    def read(cls, values: Any) -> Owner | None:
        """From plain values; ``None`` where they are no owner."""
        try:
            owner = cls(**values)
            valid = all(isinstance(x, str) for x in (owner.token, owner.host, owner.place, owner.started, owner.since))
            return replace(owner, pid=int(owner.pid), beat=int(owner.beat), seen=float(owner.seen)) if valid else None
        except (TypeError, ValueError, OverflowError):
            return None

    @property
    def is_here(self) -> bool:
        """Whether it can be looked up from this process."""
        return self.place == _place()

    @property
    def is_running(self) -> bool:
        """Whether its process is there; to be asked only of an owner that :attr:`is_here`."""
        started = _process(self.pid)
        return started is not None and started == self.started

    @property
    def silence(self) -> float | None:
        """Seconds since its last beat; ``None`` where that cannot be told from here."""
        return max(0.0, time.monotonic() - self.seen) if self.is_here else None

    def beating(self) -> Owner:
        """One beat on."""
        return replace(self, beat=self.beat + 1, seen=time.monotonic())


def _place() -> str:
    parts = []
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with contextlib.suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    # Without a boot's name, on other systems than Linux, the host's must do.
    return " ".join(parts) or socket.gethostname()[:100]


def _process(pid: int) -> str | None:
    """When a process of this place began; ``None`` where it is gone."""
    try:
        # The name, in parentheses, may hold anything; state and start time are fields 3 and 22.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except (OSError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return ""


def in_use(what: str, owner: Owner | None, *, silence: float | None = None, hint: str = "") -> InputError:
    """That another driver holds a run: who, since when, how long ago it was seen, and what may be done instead."""
    if owner is None:
        return InputError(f"{what} is in use by another process: expected one driver at a time")
    silence = owner.silence if silence is None else silence
    seen = "" if silence is None else f" (seen {silence:.0f} s ago)"
    return InputError(
        f"{what} is in use by process {owner.pid} on host {owner.host} since {owner.since}{seen}: "
        f"expected one driver at a time{hint}"
    )


def taken_over(what: str, owner: Owner | None) -> RunFailedError:
    """That another driver took a run over from this one."""
    by = "" if owner is None else f" by process {owner.pid} on host {owner.host}"
    return RunFailedError(
        f"{what} was taken over{by} while this process gave no sign of life: this one stops and writes no more"
    )


def watch(read: Callable[[], Owner | None], owner: Owner, *, interval: float) -> float | None:
    """Watch an owner elsewhere until it beats or is known to be gone.

    Args:
        read: the owner as it stands.
        owner: as it stood.
        interval: of its beats, in seconds.

    Returns:
        Seconds since it was seen to live; ``None`` if it gave no sign for ``SILENT_BEATS`` intervals or let go.
    """
    begun = time.monotonic()
    while time.monotonic() - begun < SILENT_BEATS * interval:
        time.sleep(min(0.5, interval / 4))
        now = read()
        if now is None:
            return None
        if (now.token, now.beat) != (owner.token, owner.beat):
            return 0.0
    return None


class Heartbeat:
    """Calls a function again and again, from a thread that goes with the process and holds nothing up.

    Args:
        beat: to be called; whether there is to be another one.
        interval: seconds between calls.
    """

    def __init__(self, beat: Callable[[], bool], *, interval: float) -> None:
        self._beat, self._interval = beat, interval
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(self._interval):
            # A disk that is full or a database that is away for a moment: the next beat may get through.
            with contextlib.suppress(Exception):
                if not self._beat():
                    return

    def stop(self) -> None:
        """End it; a beat that hangs is not waited for."""
        self._ended.set()
        self._thread.join(timeout=1.0)
