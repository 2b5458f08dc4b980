"""Limits that a container or a batch system sets through Linux control groups, of version 1 or 2."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

__all__ = ["Limits", "control_group_limits"]

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
# Version 1 writes "no limit" as the largest number of whole pages.
UNLIMITED = 1 << 60


class Limits(NamedTuple):
    """What a process may use at most; ``None`` where there is no limit.

    Attributes:
        cpus: cores, may be a fraction.
        memory: bytes.
        memory_used: bytes in use by everything in the group that has the memory limit.
    """

    cpus: float | None
    memory: int | None
    memory_used: int | None


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").split()
        value = int(text[0])
    except (OSError, ValueError, IndexError):
        return None
    return value if 0 <= value < UNLIMITED else None


def _groups(controller: str, *, membership: Path, root: Path) -> list[Path]:
    """Folders of the process's group and of all groups above it; a limit of any of them holds."""
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    bases: list[tuple[Path, str]] = []
    for line in lines:
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if not names:
            bases.append((root, path))
        elif controller in names.split(","):
            bases += [(root / controller, path), (root / names, path)]
    # Inside a container the path may be the host's: what is mounted as the root is the container's own group.
    return [base / part for base, path in bases for part in (Path(path.lstrip("/")), *Path(path.lstrip("/")).parents)]


def _cpus(groups: list[Path]) -> float | None:
    shares = []
    for group in groups:
        try:
            quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
            shares += [int(quota) / int(period)] if quota != "max" else []
        except (OSError, ValueError, ZeroDivisionError):
            quota_us, period_us = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
            shares += [quota_us / period_us] if quota_us and period_us else []
    return min(shares, default=None)


def control_group_limits(*, membership: Path = MEMBERSHIP, root: Path = ROOT) -> Limits:
    """The tightest limits of this process's groups; no limits where there are no control groups.

    Args:
        membership: file that lists the groups of the process.
        root: where the control groups are mounted.
    """
    found = []
    for group in _groups("memory", membership=membership, root=root):
        for limit_file, used_file in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit = _number(group / limit_file)
            if limit is not None:
                found.append((limit, _number(group / used_file)))
    memory, used = min(found, key=lambda pair: pair[0] - (pair[1] or 0), default=(None, None))
    return Limits(_cpus(_groups("cpu", membership=membership, root=root)), memory, used)
