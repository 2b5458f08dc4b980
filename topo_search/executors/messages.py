"""JSON objects, one a line, between driver and worker: nothing is pickled, no half message is waited for."""

from __future__ import annotations

import json
import socket
from typing import Any

__all__ = ["Messages", "decode", "encode"]

# More than any result; without a bound a worker that has gone mad would fill the driver's memory.
LONGEST_LINE = 1 << 26
_PART = 1 << 16


def encode(message: dict[str, Any]) -> bytes:
    """One line.

    Raises:
        ValueError: if a number is not finite.
        TypeError: if a value has no form in JSON.
    """
    return json.dumps(message, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The message of a line.

    Raises:
        ValueError: if it is none.
    """
    try:
        message = json.loads(line, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deep for a message") from None
    if not isinstance(message, dict):
        raise ValueError("expected a JSON object")
    return message


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not a number in JSON")


class Messages:
    """The driver's end of a connection to a worker; sending and receiving return at once.

    A worker may be busy, stopped or mad: the driver has others to look after.

    Attributes:
        ended: whether the other end was closed; what was sent before was received.
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._received, self._unsent = bytearray(), bytearray()
        self.ended = False

    def fileno(self) -> int:
        """For ``select``."""
        return self._end.fileno()

    @property
    def unsent(self) -> bool:
        """Whether the other end has not taken all; call :meth:`flush` when it takes more."""
        return bool(self._unsent)

    def send(self, message: dict[str, Any]) -> None:
        """Send now what the other end takes, keep the rest."""
        self._unsent += encode(message)
        self.flush()

    def flush(self) -> None:
        """Send on what was kept."""
        while self._unsent:
            try:
                sent = self._end.send(self._unsent)
            except BlockingIOError:
                return
            except OSError:
                self._unsent.clear()  # Closed at the other end: receiving tells.
                return
            del self._unsent[:sent]

    def receive(self) -> list[dict[str, Any]]:
        """All whole messages that are there.

        Raises:
            ValueError: if something else is there.
        """
        while not self.ended:
            try:
                part = self._end.recv(_PART)
            except BlockingIOError:
                break
            except OSError:
                part = b""
            self.ended = not part
            self._received += part
            if len(self._received) > LONGEST_LINE:
                raise ValueError("too long for a message")
        *lines, rest = self._received.split(b"\n")
        self._received = rest
        return [decode(bytes(line)) for line in lines]

    def close(self) -> None:
        """Close this end."""
        self._end.close()
