"""Certificates of contraction, in float64, from the weights alone.

Everything here is plain linear algebra over stored matrices: nothing is shared with training. Statements hold for exact
arithmetic with the stored weights and for every nonlinearity whose slope lies in [0, 1]; rounding while a network runs
is not part of them. Two trajectories under the same input approach each other by ``exp(-rate t / tau)``, or by ``rho``
a step, in the metric.

- :mod:`.network`, :mod:`.frame`: the matrices, and the dynamics that they stand for.
- :mod:`.step_forms`: what is to be bounded over all slopes, for each integrator.
- :mod:`.s_procedure`, :mod:`.multipliers`, :mod:`.leading`: the bound, and the search for its multipliers.
- :mod:`.bounds`: simple bounds of Euler and IMEX steps, and the largest Euler step.
- :mod:`.area_bounds`, :mod:`.rate`, :mod:`.small_gain`, :mod:`.factor`, :mod:`.euler`: areas, the rate, the step.
- :mod:`.falsifier`: bounds from the other side.
- :mod:`.stored_step`, :mod:`.coupling_steps`: stored steps of the coupling, and whether they are those of the coupling.
- :mod:`.eigen`: norms and eigenvalues confirmed by Cholesky factorisation.
- :mod:`.judge`, :mod:`.verdict`: the verdict; :mod:`.claims`: whether a recorded one is confirmed.
- :mod:`.plain`: matrices that another program made.
- :mod:`.verify_standalone`: the check of a saved certificate in NumPy alone, to be read and copied.
"""

from topo_search.model.certificate.claims import factor_is_confirmed
from topo_search.model.certificate.eigen import norm_bound
from topo_search.model.certificate.judge import EDGE_ORDER, certify_matrices
from topo_search.model.certificate.network import INTEGRATORS, NetworkMatrices
from topo_search.model.certificate.verdict import Certificate

__all__ = [
    "EDGE_ORDER",
    "INTEGRATORS",
    "Certificate",
    "NetworkMatrices",
    "certify_matrices",
    "factor_is_confirmed",
    "norm_bound",
]
