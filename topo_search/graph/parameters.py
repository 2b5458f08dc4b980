"""Check keyword parameters against the type hints of the function that takes them."""

from __future__ import annotations

import inspect
import math
import numbers
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from topo_search.graph.area import GraphError

__all__ = ["check_parameters", "in_range"]


def check_parameters(function: Callable[..., Any], parameters: Mapping[str, Any], where: str) -> None:
    """Check names and types of keyword-only parameters; ranges are the function's own business.

    Args:
        function: Function whose keyword-only parameters are hinted as int, float, bool, None or a union of these;
            any other hint is not checked here.
        parameters: What a user wants to pass.
        where: What the parameters belong to, for the message.

    Raises:
        GraphError: On an unknown name (the known ones are named) or a value of another type.
    """
    signature = inspect.signature(function)
    known = [name for name, entry in signature.parameters.items() if entry.kind is entry.KEYWORD_ONLY]
    hints = typing.get_type_hints(function)
    for name, value in parameters.items():
        if name not in known:
            raise GraphError(f"{where}: unknown parameter {name!r}, expected {', '.join(known) or 'none'}")
        options = _options(hints[name])
        if not any(_fits(value, option) for option in options):
            expected = " or ".join(_named(option) for option in options)
            raise GraphError(f"{where}: parameter {name!r} must be {expected}, got {str(value)[:80]!r}")


def in_range(value: float, name: str, *, low: float = 0.0, high: float = 1.0) -> float:
    """Return ``value`` as a float.

    Raises:
        GraphError: If it is not a number within the range, ends included.
    """
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        expected = f"from {low:g} to {high:g}" if high < math.inf else f"of at least {low:g}"
        raise GraphError(f"{name} must be a number {expected}, got {str(value)[:80]}")
    return float(value)


def _options(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return typing.get_args(hint)
    return (hint,)


def _fits(value: Any, option: Any) -> bool:
    if option is bool:
        return isinstance(value, bool)
    if option is type(None):
        return value is None
    if option is int:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if option is float:
        return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    return not isinstance(value, (bool, numbers.Number, str, type(None)))


def _named(option: Any) -> str:
    names = {bool: "true or false", int: "an integer", float: "a finite number", type(None): "none"}
    return names.get(option, "a list of coordinates")
