"""Whether a recorded factor is confirmed by the multipliers recorded beside it, without searching for others.

The search for multipliers ends in digits that differ with the linear algebra library, so a recorded factor need not be
the one that is found again; it is true all the same if its own multipliers confirm it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from topo_search.model.certificate.eigen import MARGIN
from topo_search.model.certificate.frame import frame_of
from topo_search.model.certificate.network import NetworkMatrices, check_shapes, structure_defect
from topo_search.model.certificate.s_procedure import step_is_bounded
from topo_search.model.certificate.step_forms import euler_form, imex_form, local_form
from topo_search.model.certificate.stored_step import coupling_step, imex_left_out

__all__ = ["factor_is_confirmed"]


def factor_is_confirmed(
    network: NetworkMatrices, rho: float, multipliers: Sequence[float], scales: Sequence[float] = ()
) -> bool:
    """Whether the multipliers confirm that one step contracts by ``rho`` in the metric of the scales.

    Args:
        network: the matrices.
        rho: the claim.
        multipliers: T, one a unit.
        scales: c, one an area; none where all are 1.

    Raises:
        InputError: as of :func:`topo_search.model.certificate.certify_matrices`.
    """
    check_shapes(network)
    frame, vector = frame_of(network), np.asarray(multipliers, dtype=np.float64)
    fitting = vector.shape == (len(frame.skew),) and len(scales) in {0, len(frame.sizes)}
    if not fitting or not np.isfinite(vector).all() or not (vector > 0).all() or structure_defect(network):
        return False
    if len(scales):
        if not frame.scalable or not all(0 < scale < np.inf for scale in scales):
            return False
        frame = frame.scaled(tuple(scales))
    residual = imex_left_out(frame, network)
    if network.integrator == "imex":
        form, rounding = imex_form(frame)
        residual += rounding
    else:
        form = euler_form(frame) if network.integrator == "euler" else local_form(frame)
    step = coupling_step(frame, network)
    return not step.reason and step_is_bounded(form, vector, (rho - residual) / step.norm + MARGIN)
