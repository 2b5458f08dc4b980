"""An area: one subnetwork, seen from the graph as a number of units and a role."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any

from topo_search.errors import InputError

__all__ = ["MAX_AREA_SIZE", "ROLES", "Area", "Edge", "GraphError", "as_integer"]

Edge = tuple[int, int]
"""A pair of areas (i, j) joined in negative feedback, always with i < j."""

ROLES = ("input", "hidden", "output", "input+output")

MAX_AREA_SIZE = 1_048_576
"""Largest number of units in one area: far above any use, low enough that a typing error cannot ask for terabytes."""


class GraphError(InputError):
    """A graph, or a request for one, that cannot be: the message says what was wrong, what was expected and where."""


def as_integer(value: Any, name: str, *, low: int, high: int | None = None) -> int:
    """Return ``value`` as a plain int.

    Args:
        value: A Python or numpy integer; bool and float are refused, whatever their value.
        name: What the value is, for the message.
        low: Smallest value allowed.
        high: Largest value allowed; None for no limit.

    Raises:
        GraphError: If the value is no integer or lies outside the range.
    """
    # The quick way for what nearly always comes; a search asks hundreds of times a trial.
    if type(value) is int and low <= value and (high is None or value <= high):
        return value
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_integer or value < low or (high is not None and value > high):
        expected = f"an integer of at least {low}" if high is None else f"an integer from {low} to {high}"
        shown = repr(value) if not is_integer or abs(value) < 10**12 else "a number of more than 12 digits"
        raise GraphError(f"{name} must be {expected}, got {shown[:80]}")
    return int(value)


@dataclass(frozen=True, slots=True)
class Area:
    """One area (subnetwork).

    Attributes:
        size: Number of units, 1 to ``MAX_AREA_SIZE``.
        is_input: Whether the area receives the network's input.
        is_output: Whether the area is read out.

    Raises:
        GraphError: If ``size`` is not an integer in range, or a flag is not a bool.
    """

    size: int
    is_input: bool = False
    is_output: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", as_integer(self.size, "area size", low=1, high=MAX_AREA_SIZE))
        for name in ("is_input", "is_output"):
            if not isinstance(getattr(self, name), bool):
                raise GraphError(f"area {name} must be True or False, got {getattr(self, name)!r}")

    @property
    def role(self) -> str:
        """One of "input", "hidden", "output", "input+output"."""
        if self.is_input:
            return "input+output" if self.is_output else "input"
        return "output" if self.is_output else "hidden"

    @classmethod
    def from_role(cls, size: int, role: str) -> Area:
        """Make an area of ``size`` units from a role name.

        Raises:
            GraphError: If the role is not one of ``ROLES``, or the size is not valid.
        """
        if not isinstance(role, str) or role not in ROLES:
            raise GraphError(f"area role must be one of {', '.join(ROLES)}, got {str(role)[:80]!r}")
        return cls(size, is_input="input" in role, is_output="output" in role)
