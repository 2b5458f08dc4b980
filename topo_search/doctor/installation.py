"""Checks of what is installed: Python, a compiler, the search spaces and the data."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
from pathlib import Path

from topo_search.doctor.check import Outcome

__all__ = ["check_compiler", "check_data", "check_python", "check_spaces"]

COMPILERS = ("c++", "g++", "clang++")
COMPILER_SECONDS = 5
NEEDED_FOR = "needed only to install the native engine"


def check_python() -> Outcome:
    """Its version, and the platform."""
    return "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def check_compiler() -> Outcome:
    """The C++ compiler that an installation would use: ``CXX``, or the first of the usual names."""
    wanted = shlex.split(os.environ.get("CXX", ""))
    names = [wanted[0]] if wanted else list(COMPILERS)
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        return "ok", f"no {' or '.join(names)} found (optional: {NEEDED_FOR})"
    try:
        done = subprocess.run(
            [found, "--version"], capture_output=True, text=True, timeout=COMPILER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "warn", f"{found} does not run ({NEEDED_FOR})"
    lines = (done.stdout or done.stderr).splitlines()
    if done.returncode != 0 or not lines:
        return "warn", f"{found} --version fails with exit status {done.returncode} ({NEEDED_FOR})"
    return "ok", f"{found}: {lines[0]} ({NEEDED_FOR})"


def check_spaces() -> Outcome:
    """The shipped search spaces are there and valid."""
    from topo_search.config import load_space, shipped_spaces

    names = list(shipped_spaces())
    for name in names:
        load_space(name)
    return ("ok", f"{len(names)} shipped and valid: {', '.join(names)}") if names else ("FAIL", "none found")


def check_data(data_dir: Path | None) -> Outcome:
    """Which data sets are there. The default task is embedded: none is no fault."""
    from topo_search.tasks import resolve_data_dir

    folder = resolve_data_dir(data_dir)
    found = [name for name in ("MNIST", "FashionMNIST", "cifar10", "cifar-10-batches-bin") if (folder / name).is_dir()]
    return "ok", f"{', '.join(found)} in {folder}" if found else f"none in {folder} (digits needs none)"
