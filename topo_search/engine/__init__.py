"""The time loop and its exact gradient. Tensors only: no graph, no model.

- :class:`Dynamics`, :func:`rollout`: the one entry.
- :class:`AreaLayout`: where areas lie in the state, how blocks are packed.
- :func:`cayley_step`, :func:`cayley_transform`: the step matrix of a skew coupling.
- :mod:`topo_search.engine.reference`: the loop in plain PyTorch, the truth.
"""

from topo_search.engine.integrators import INTEGRATORS, Integrator, cayley_step, cayley_transform
from topo_search.engine.layout import AreaLayout
from topo_search.engine.reference import Activation
from topo_search.engine.rollout import Dynamics, rollout

__all__ = [
    "INTEGRATORS",
    "Activation",
    "AreaLayout",
    "Dynamics",
    "Integrator",
    "cayley_step",
    "cayley_transform",
    "rollout",
]
