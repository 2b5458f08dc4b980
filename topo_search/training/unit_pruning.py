"""Pruning of pairs of units inside kept edges: both directions of negative feedback go together."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from topo_search.errors import InputError
from topo_search.model import ComboNet
from topo_search.training.config import UnitPruning

__all__ = ["check_unit_pruning", "kept_pairs"]


def check_unit_pruning(network: ComboNet) -> None:
    """Do nothing if pairs of units can be pruned from a network.

    Raises:
        InputError: if it is not joined by linear negative feedback alone, or a coordinate of it is no unit.
    """
    config = network.config
    wrong = ""
    if config.coupling != "feedback":
        wrong = f"coupling {config.coupling}"
    elif config.stability == "unconstrained":
        wrong = "stability unconstrained"
    elif config.imperfect_margin is not None:
        wrong = "imperfect_margin"
    elif network.area_gauge is not None:
        wrong = "areas whose metric is not diagonal"
    if wrong:
        raise InputError(f"training.unit_pruning needs linear negative feedback and diagonal metrics, got {wrong}")


def kept_pairs(network: ComboNet, settings: UnitPruning, epoch: int, kept: Tensor | None) -> Tensor:
    """Which pairs stay after the pruning that follows an epoch.

    The block B of an edge holds each pair of units once: the feedback is ``B - B^T`` in metric coordinates, so that a
    zero there removes ``L_ab`` and ``L_ba`` together and the coupling stays skew. The weakest go, by |B_ab|; of equals
    the first.

    Sources: Han, Pool, Tran and Dally (2015); several prunings by equal shares of what is left, Frankle and Carbin,
    "The lottery ticket hypothesis" (2019), without their return to the first weights.

    Args:
        network: as trained so far.
        settings: how many go, and where they are counted.
        epoch: one of ``settings.epochs``.
        kept: pairs that earlier prunings left, as returned; ``None`` before the first.

    Returns:
        Booleans, packed as the network's coupling.
    """
    coupling = network.coupling.detach().abs()
    # What is gone stays gone: it comes before the weakest that is left, be that zero.
    strength = coupling if kept is None else torch.where(kept, coupling, torch.full_like(coupling, -1.0))
    share = settings.share_after(epoch)
    ends = network.layout.coupling_offsets if settings.scope == "edge" else (0, len(strength))
    mask = torch.ones_like(strength, dtype=torch.bool)
    for first, last in pairwise(ends):
        order = torch.argsort(strength[first:last], stable=True)
        mask[first + order[: round(share * (last - first))]] = False
    return mask
