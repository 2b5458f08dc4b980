"""Couplings between areas: their norms, the caps of certified steps, and parametrisations that stay certified.

- ``linear``: linear negative feedback, its norm, and the projection below a cap.
- ``caps``: the largest coupling norm at which Euler and IMEX steps are certified.
- ``small_gain_projection``: nonlinear couplings, scaled until areas stay contracting.
- ``imperfect``: a symmetric part of the feedback that costs a bounded share of the rate.
"""

from topo_search.model.coupling.caps import euler_cap, imex_cap
from topo_search.model.coupling.imperfect import symmetric_feedback
from topo_search.model.coupling.linear import coupling_norm, project_to_cap
from topo_search.model.coupling.small_gain_projection import project_small_gain

__all__ = [
    "coupling_norm",
    "euler_cap",
    "imex_cap",
    "project_small_gain",
    "project_to_cap",
    "symmetric_feedback",
]
