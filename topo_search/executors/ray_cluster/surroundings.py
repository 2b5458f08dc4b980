"""What Ray takes from its surroundings: environment variables, its own settings in this process, a private folder."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from types import FrameType

__all__ = [
    "PrivateFolder",
    "known_token",
    "own_signals",
    "quiet",
    "reload_settings",
    "set_variables",
    "stay_on_loopback",
]

# Sockets lie 67 characters below Ray's folder, and a path to one may have 103 at most (macOS; Linux: 107).
LONGEST_BASE = 20


def set_variables(values: Mapping[str, str | None], undo: ExitStack) -> None:
    """Set environment variables, or remove those given as ``None``; undone with the stack."""
    for name, value in values.items():
        undo.callback(_restore_variable, name, os.environ.get(name))
        _restore_variable(name, value)
    reload_settings()


def _restore_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def reload_settings() -> None:
    """Have Ray read its variables again: it may have read them for an earlier cluster of this process."""
    raylet = import_module("ray._raylet")
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


def stay_on_loopback(undo: ExitStack) -> None:
    """Have a Ray that this process starts use 127.0.0.1 alone, as Ray does by itself on macOS.

    Elsewhere Ray takes an address that other machines reach, even where it is given 127.0.0.1. The setting that decides
    is read when Ray is imported, so it is set here as well as in the environment of the processes that Ray starts.
    """
    ray_constants = import_module("ray._private.ray_constants")
    set_variables({ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0"}, undo)
    _set_attribute(ray_constants, "ENABLE_RAY_CLUSTER", False, undo)


@contextmanager
def own_signals() -> Iterator[None]:
    """Put SIGTERM off while Ray starts or joins, then give this process's own answer; a second one is not put off.

    Ray puts other answers in its place, which end the process without a word of how to go on: at the beginning one in
    Python, later one below it, which prints a stack, calls the one before it and has the process aborted after 3 s. And
    an exception that is raised while Ray starts processes may be swallowed.
    """
    before = signal.getsignal(signal.SIGTERM)
    # ``None``: set by other than Python, which alone could set it again.
    if threading.current_thread() is not threading.main_thread() or before is None:
        yield
        return
    told: list[int] = []
    timed = hasattr(signal, "alarm") and signal.getitimer(signal.ITIMER_REAL)[0] > 0

    def end_alarm() -> None:
        if hasattr(signal, "alarm") and not timed:
            signal.alarm(0)

    def put_off(number: int, _: FrameType | None) -> None:
        end_alarm()
        told.append(number)
        signal.signal(signal.SIGTERM, before)

    def answer() -> None:
        if told:
            signal.raise_signal(signal.SIGTERM)

    with ExitStack() as undo:
        undo.callback(answer)
        _set_attribute(import_module("ray._private.utils"), "set_sigterm_handler", _keep_handler, undo)
        undo.callback(end_alarm)
        undo.callback(signal.signal, signal.SIGTERM, before)
        signal.signal(signal.SIGTERM, put_off)
        yield


def _keep_handler(handler: object) -> None:
    """What Ray calls here in place of its function that sets a handler."""


def quiet(undo: ExitStack) -> None:
    """Keep messages of Ray's nodes from the driver's standard output, where results are printed.

    ``log_to_driver=False`` keeps off what tasks print, but not that a worker died or was killed for its memory: we say
    so ourselves.
    """
    _set_attribute(import_module("ray._private.worker"), "_worker_logs_enabled", False, undo)


def _set_attribute(owner: object, name: str, value: object, undo: ExitStack) -> None:
    restore: Callable[[object, str, object], None] = setattr
    undo.callback(restore, owner, name, getattr(owner, name))
    setattr(owner, name, value)


def known_token() -> bool:
    """Whether Ray finds an authentication token: in a variable, in a file that one names, or in ``~/.ray``."""
    return bool(import_module("ray._raylet").AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True))


class PrivateFolder:
    """A folder that only this user may enter, with a fresh token in it.

    Attributes:
        path: of the folder.
        ray: where Ray may put its files; Ray opens its own folder to all, so it lies in the private one.
        token: file with the token.
        scratch: where workers may put theirs.
    """

    def __init__(self) -> None:
        base = tempfile.gettempdir()
        self.path = Path(tempfile.mkdtemp(prefix="topo-", dir=base if len(base) <= LONGEST_BASE else "/tmp"))
        self.ray, self.token, self.scratch = self.path / "r", self.path / "token", self.path / "scratch"
        self.scratch.mkdir()
        descriptor = os.open(self.token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
