"""Finds the compiled engine, and says in one line why where it cannot serve."""

from __future__ import annotations

import importlib
import os
from functools import cache
from types import ModuleType
from typing import NamedTuple

from topo_search.errors import InputError

__all__ = ["INTERFACE", "NativeStatus", "native_status", "wanted_engine"]

INTERFACE = 2
"""Of the calls between this source and the compiled module; both are raised when they change."""

# At top level, not in the package: run from a clone after a plain install, the clone's package hides the installed one.
MODULE = "_topo_search_native"

VARIABLE = "TOPO_SEARCH_ENGINE"
CHOICES = ("auto", "native", "reference")


class NativeStatus(NamedTuple):
    """Whether the compiled engine serves.

    Attributes:
        module: the extension; ``None`` where it does not serve.
        level: instruction sets in use, such as ``avx512``; empty where it does not serve.
        reason: why it does not, in one line; empty where it does.
    """

    module: ModuleType | None
    level: str
    reason: str

    @property
    def engine(self) -> str:
        """What a run records: ``native avx512`` or ``reference``."""
        return "reference" if self.module is None else f"native {self.level}"


def wanted_engine() -> str:
    """What the environment variable ``TOPO_SEARCH_ENGINE`` asks for: ``auto`` (also unset), ``native``, ``reference``.

    Raises:
        InputError: if it says anything else.
    """
    wanted = os.environ.get(VARIABLE) or "auto"
    if wanted not in CHOICES:
        raise InputError(f"environment variable {VARIABLE} must be auto, native or reference, got {wanted!r}")
    return wanted


@cache
def native_status() -> NativeStatus:
    """The compiled engine at its best level for this processor, or the reason why the reference serves.

    Loaded when first asked for; the environment variable is read then.

    Raises:
        InputError: if ``TOPO_SEARCH_ENGINE`` is none of its values, or is ``native`` and the engine cannot serve.
    """
    wanted = wanted_engine()
    if wanted == "reference":
        return NativeStatus(None, "", f"switched off by {VARIABLE}=reference")
    status = _load()
    if wanted == "native" and status.module is None:
        raise InputError(f"{VARIABLE} is native, but {status.reason}")
    return status


def _load() -> NativeStatus:
    try:
        module = importlib.import_module(MODULE)
    except ImportError as error:
        return NativeStatus(None, "", _import_failure(error))
    built = getattr(module, "INTERFACE", None)
    if built != INTERFACE:
        reason = f"the compiled engine was built for interface {built}, this source needs {INTERFACE}"
        return NativeStatus(None, "", f"{reason}: run pip install again")
    levels = module.usable_levels()
    if levels:
        return NativeStatus(module, levels[0], "")
    if module.LEVELS:
        reason = f"the compiled engine needs {' or '.join(module.LEVELS)}, which this processor lacks"
        return NativeStatus(None, "", f"{reason}: run pip install again on this machine")
    return NativeStatus(None, "", "the compiled engine needs a processor with AVX2, or a 64-bit ARM")


def _import_failure(error: ImportError) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name == MODULE:
        advice = "install a C++ compiler (GCC 12 or a Clang of its age) and run pip install again"
        return f"the compiled engine was not built: {advice}"
    return f"the compiled engine cannot be loaded: {' '.join(str(error).split())}"
