"""Versions of what a result depends on."""

from __future__ import annotations

import platform
from importlib import metadata

__all__ = ["versions"]

_PACKAGES = ("topo_search", "torch", "numpy", "scipy", "networkx", "scikit-learn", "optuna")


def versions() -> dict[str, str]:
    """Version by package, with Python's and the platform's; ``unknown`` where a package was not installed by name."""
    found = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "unknown"
    return found
