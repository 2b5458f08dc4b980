"""What one evaluation may use, wherever it runs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from topo_search.errors import InputError

__all__ = ["TrialResources"]


@dataclass(frozen=True)
class TrialResources:
    """What one evaluation is given, and what it may not exceed.

    They are no part of the search: two runs that differ in them alone make the same decisions, unless an evaluation is
    ended by a limit.

    Attributes:
        cpus: cores reserved for it, and its threads. With the native engine results do not depend on it.
        gpus: share of a GPU reserved for it on a Ray cluster; 0.5 puts two evaluations on one GPU.
        memory_gb: memory reserved for it, in 10^9 bytes, and the most that it may use beyond what its worker holds
            before it; less than 0.25 is of no use. ``None`` leaves both to the executor.
        seconds: the longest it may take; one that takes longer fails as ``timed out``. ``None``: no limit.

    Raises:
        InputError: if a value is out of its range.
    """

    cpus: int = 1
    gpus: float = 0.0
    memory_gb: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.cpus, bool) or not isinstance(self.cpus, int) or self.cpus < 1:
            raise InputError(f"trial cpus must be an integer from 1, got {self.cpus!r}")
        if not (math.isfinite(self.gpus) and self.gpus >= 0) or (self.gpus > 1 and self.gpus != int(self.gpus)):
            raise InputError(f"trial gpus must be a share from 0 to 1 or a whole number, got {self.gpus!r}")
        for name, value in (("memory", self.memory_gb), ("timeout", self.seconds)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"trial {name} must be a positive number, got {value!r}")

    @property
    def limited(self) -> bool:
        """Whether an evaluation must be ended from outside: it cannot run in the driver's own process then."""
        return self.memory_gb is not None or self.seconds is not None
