"""Check of Ray: installed, and a cluster that can be reached and asks for a token."""

from __future__ import annotations

import importlib.metadata
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from topo_search.doctor.check import Outcome
from topo_search.errors import InputError
from topo_search.executors.ray_cluster.addresses import left_address

__all__ = ["check_ray"]

REACH_SECONDS = 2.0
PROBE_SECONDS = 8.0
PROBE = Path(__file__).with_name("ray_probe.py")
# What Ray logs, again and again, while it is refused.
REFUSALS = ("InvalidAuthToken", "AuthenticationError")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def check_ray(address: str | None) -> Outcome:
    """Whether Ray is installed; of a given cluster also its nodes, and whether it lets in those without a token.

    Args:
        address: ``HOST:PORT``, or ``auto`` for the running cluster; ``None``: only whether one runs here.
    """
    try:
        version = importlib.metadata.version("ray")
    except importlib.metadata.PackageNotFoundError:
        remedy = "pip install 'topo_search[ray]'"
        return (
            ("ok", f"not installed (optional: {remedy})") if address is None else ("FAIL", f"not installed: {remedy}")
        )
    target = address
    if address in (None, "auto"):
        try:
            target = os.environ.get("RAY_ADDRESS") or left_address()
        except InputError as error:
            return "ok" if address is None else "FAIL", f"{version}; {error}"
    if address is None:
        return "ok", f"{version}; {_described(target)}"
    if target is None:
        return "FAIL", f"{version}; no running cluster was found: expected RAY_ADDRESS, or one started on this machine"
    if not _answers(target):
        return "FAIL", f"{version}; nothing answers at {target}: expected HOST:PORT of a running head node"
    level, detail = _probed(target)
    return level, f"{version}; cluster at {target} {detail}"


def _described(running: str | None) -> str:
    if running is None:
        return "no cluster runs here (--ray local starts a private one)"
    if _answers(running):
        return f"a cluster runs at {running} (--ray auto uses it)"
    return f"a cluster was started at {running} but does not answer"


def _host_and_port(address: str) -> tuple[str, int] | None:
    host, _, port = address.rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdigit() and 0 < int(port) < 65536 else None


def _answers(address: str) -> bool:
    place = _host_and_port(address)
    if place is None:
        return False
    try:
        with socket.create_connection(place, timeout=REACH_SECONDS):
            return True
    except (OSError, UnicodeError):  # The latter where no name can be made of the host.
        return False


def _probe(address: str, environment: dict[str, str]) -> dict[str, Any]:
    """What a process of its own learns from the cluster: Ray goes on asking, or ends its process, where it is refused.

    Returns:
        ``nodes``, ``cpus`` and ``gpus``, or ``error``, with ``refused`` where the token is the reason.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        probe = subprocess.Popen(
            # -P: the names of the files beside this one must not hide installed packages.
            [sys.executable, "-P", str(PROBE), address],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        try:
            return _reply(probe, said)
        finally:
            probe.kill()
            probe.wait()


def _reply(probe: subprocess.Popen[bytes], said: IO[str]) -> dict[str, Any]:
    end = time.monotonic() + PROBE_SECONDS
    while True:
        ended = probe.poll() is not None
        # Both ends share one position in the file: reading must not move it.
        text = os.pread(said.fileno(), os.fstat(said.fileno()).st_size, 0).decode(errors="replace")
        if any(word in text for word in REFUSALS):
            return {"error": "the token is missing or wrong (RAY_AUTH_MODE, RAY_AUTH_TOKEN)", "refused": True}
        for line in text.splitlines():
            if line.startswith("{") and line.endswith("}"):
                reply: dict[str, Any] = json.loads(line)
                return reply
        if ended:
            return {"error": (text.strip().splitlines() or [f"exit status {probe.returncode}"])[-1]}
        if time.monotonic() > end:
            return {"error": f"no reply within {PROBE_SECONDS:g} s"}
        time.sleep(0.05)


def _knows_token() -> bool:
    """Whether Ray would find a token: in a variable, in a file that one names, or in ``~/.ray``."""
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    return bool(named) or (Path.home() / ".ray" / "auth_token").is_file()


def _probed(address: str) -> Outcome:
    ours = dict(os.environ)
    if _knows_token():
        # As a search does: who has a token uses it.
        ours.setdefault("RAY_AUTH_MODE", "token")
    # The same without a token: a cluster that answers this one lets anybody in.
    stranger = {key: value for key, value in ours.items() if not key.startswith("RAY_AUTH_")}
    stranger["RAY_AUTH_MODE"] = "disabled"
    with ThreadPoolExecutor(2) as pool:
        reply, to_stranger = pool.map(lambda environment: _probe(address, environment), (ours, stranger))
    if "error" in reply:
        return "FAIL", f"cannot be used: {reply['error']}"
    nodes = f"{reply['nodes']} node{'' if reply['nodes'] == 1 else 's'}"
    found = f"has {nodes}, {reply['cpus']:g} CPUs, {reply['gpus']:g} GPUs"
    if to_stranger.get("refused"):
        return "ok", f"{found}; it asks for a token"
    if "error" in to_stranger:
        return "warn", f"{found}; whether it asks for a token cannot be told: {to_stranger['error']}"
    place = _host_and_port(address)
    if place is not None and place[0] in LOOPBACK:
        return "warn", f"{found}; it asks for no token: any user of this machine can run code in it"
    return "FAIL", f"{found}; it asks for no token: whoever reaches it can run code in it (set RAY_AUTH_MODE=token)"
