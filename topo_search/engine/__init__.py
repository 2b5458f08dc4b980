"""The time loop and its exact gradient. Tensors only: no graph, no model.

- :class:`Dynamics`, :func:`rollout`: the entry; :class:`Call`, :func:`rollouts` for several networks at once.
- :class:`AreaLayout`: where areas lie in the state, how blocks are packed.
- :func:`cayley_step`, :func:`cayley_transform`, :func:`resolvent`, :func:`resolvent_step`: matrices that steps apply.
- :func:`edge_cayley_blocks`, :func:`edge_cayley_steps`, :func:`edge_products`: its steps edge by edge.
- :mod:`topo_search.engine.reference`: the loop in plain PyTorch, the truth.
- :mod:`topo_search.engine.native`: the compiled loop; :func:`serving_engine` says which one serves.
"""

from topo_search.engine.call import Activation, Call, Dynamics
from topo_search.engine.edge_cayley import edge_cayley_blocks, edge_cayley_steps, edge_products
from topo_search.engine.integrators import (
    INTEGRATORS,
    Integrator,
    cayley_step,
    cayley_transform,
    resolvent,
    resolvent_step,
)
from topo_search.engine.layout import AreaLayout
from topo_search.engine.rollout import Engine, rollout, rollouts, serving_engine

__all__ = [
    "INTEGRATORS",
    "Activation",
    "AreaLayout",
    "Call",
    "Dynamics",
    "Engine",
    "Integrator",
    "cayley_step",
    "cayley_transform",
    "edge_cayley_blocks",
    "edge_cayley_steps",
    "edge_products",
    "resolvent",
    "resolvent_step",
    "rollout",
    "rollouts",
    "serving_engine",
]
