"""The compiled engine, for CPUs.

- :func:`native_status`: the module and its level, or why it does not serve.
- :func:`native_rollouts`: the time loop of one network or several.
- :func:`direct_form`, :func:`series_for`, :func:`useful_multiplies`: the form of the coupling step that is executed,
  and its arithmetic.

The C++ sources lie beside: ``kernel.cpp`` is the time loop of a slice of the batch, compiled once per instruction-set
level; ``rollout.cpp`` plans products, packs weights and runs slices on threads; ``memory.cpp`` keeps buffers;
``binding.cpp`` is the module.
"""

from topo_search.engine.native.forms import (
    SERIES_TOLERANCE,
    Series,
    direct_form,
    eliminable,
    series_for,
    useful_multiplies,
)
from topo_search.engine.native.loader import NativeStatus, native_status
from topo_search.engine.native.rollout import native_rollouts

__all__ = [
    "SERIES_TOLERANCE",
    "NativeStatus",
    "Series",
    "direct_form",
    "eliminable",
    "native_rollouts",
    "native_status",
    "series_for",
    "useful_multiplies",
]
