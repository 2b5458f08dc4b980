"""How much each edge of a network matters, by several criteria."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from topo_search.graph import Edge
from topo_search.model import ComboNet
from topo_search.seeds import generator
from topo_search.tasks import Task
from topo_search.training.edge_blocks import by_edge, edge_parameters

__all__ = ["EDGE_CRITERIA", "EdgeStart", "edge_gradients", "edge_scores", "edge_start"]

# Gradients are taken over so many training sequences at most, in batches of this many.
SEQUENCES = 512
BATCH = 128


class EdgeStart(NamedTuple):
    """What scores compare with: the network before it was trained.

    Attributes:
        numbers: of each edge, see :func:`topo_search.training.edge_blocks.by_edge`.
        gradients: of the loss in them.
    """

    numbers: Mapping[Edge, Tensor]
    gradients: Mapping[Edge, Tensor]


class _Parts(NamedTuple):
    """One edge's numbers, gradients and numbers before training; vectors of one length."""

    now: Tensor
    gradient: Tensor
    before: Tensor
    gradient_before: Tensor


def _relative_delta(parts: _Parts) -> Tensor:
    change, start = torch.linalg.vector_norm(parts.now - parts.before), torch.linalg.vector_norm(parts.before)
    # Beside nothing any change would be infinite: it counts as a change as large as the edge.
    return change / start if float(start) > 0 else torch.sign(change)


_SCORES: dict[str, Callable[[_Parts], Tensor]] = {
    "magnitude": lambda parts: parts.now.abs().mean(),
    "delta": lambda parts: (parts.now - parts.before).abs().mean(),
    "relative_delta": _relative_delta,
    "gradient": lambda parts: parts.gradient.abs().mean(),
    "taylor": lambda parts: (parts.gradient * parts.now).sum().abs(),
    "snip": lambda parts: (parts.gradient_before * parts.before).abs().sum(),
}

EDGE_CRITERIA: Mapping[str, str] = MappingProxyType(
    {
        "magnitude": "mean of |L_ij| over the block, in metric coordinates",
        "delta": "mean of |change of L_ij since the start of training|",
        "relative_delta": "norm of the change over the norm at the start; at most 1 for an edge that began at zero",
        "gradient": "mean of |dLoss/dL_ij| after training",
        "taylor": "|sum of dLoss/dL_ij L_ij|: change of the loss without the edge, to first order",
        "snip": "sum of |dLoss/dL_ij L_ij| before training",
    }
)
"""What an edge can be scored by: name and meaning; a large score means that the edge matters."""


def edge_gradients(network: ComboNet, batches: list[tuple[Tensor, Tensor]]) -> dict[Edge, Tensor]:
    """Gradient of the mean cross-entropy in the numbers of each edge; nothing is left behind in the network.

    Args:
        network: as it is.
        batches: inputs ``(T, B, C)`` and labels ``(B,)``; their sizes may differ.

    Returns:
        One vector an edge, as :func:`topo_search.training.edge_blocks.by_edge` orders its numbers.
    """
    parameters = edge_parameters(network)
    total = {name: torch.zeros_like(tensor) for name, tensor in parameters.items()}
    count = sum(len(labels) for _, labels in batches)
    for inputs, labels in batches:
        loss = nn.functional.cross_entropy(network(inputs), labels, reduction="sum") / count
        for name, gradient in zip(total, torch.autograd.grad(loss, list(parameters.values())), strict=True):
            total[name] += gradient
    return by_edge(network.layout, total)


def edge_start(network: ComboNet, task: Task, *, seed: int) -> EdgeStart:
    """Note a network before it is trained, for :func:`edge_scores`."""
    numbers = {name: tensor.detach().clone() for name, tensor in edge_parameters(network).items()}
    return EdgeStart(by_edge(network.layout, numbers), edge_gradients(network, _batches(network, task, seed)))


def edge_scores(network: ComboNet, start: EdgeStart, task: Task, *, seed: int) -> dict[str, tuple[float, ...]]:
    """Score the edges of a trained network by every criterion of :data:`EDGE_CRITERIA`.

    The two directions of linear negative feedback have the same entries, so that a block stands for both. Where an edge
    has more numbers (directions trained apart, a symmetric part), all of them count, as they are trained. An edge that
    came while the network was trained began at zero.

    Sources: ``magnitude`` Han, Pool, Tran and Dally (2015), and the outlook of the paper, as ``delta`` is: there edges
    are ranked by weights or by their change; ``delta`` also Zhou, Lan, Liu and Yosinski, "Deconstructing lottery
    tickets" (2019); ``taylor`` Molchanov et al. (2017, 2019); ``snip`` Lee, Ajanthan and Torr (2019). They
    score single weights; here a block is scored as one.

    Args:
        network: after training.
        start: the same network before it.
        task: whose training data gradients are taken on, at most 512 sequences.
        seed: names these sequences.

    Returns:
        One score an edge for each criterion, in order of the network's edges; not negative, and finite unless a weight
        or the loss is not.
    """
    numbers = by_edge(network.layout, {name: tensor.detach() for name, tensor in edge_parameters(network).items()})
    gradients = edge_gradients(network, _batches(network, task, seed))
    parts = []
    for edge, now in numbers.items():
        zero = torch.zeros_like(now)
        before, gradient_before = start.numbers.get(edge, zero), start.gradients.get(edge, zero)
        parts.append(_Parts(now, gradients[edge], before, gradient_before))
    return {name: tuple(float(score(part)) for part in parts) for name, score in _SCORES.items()}


def _batches(network: ComboNet, task: Task, seed: int) -> list[tuple[Tensor, Tensor]]:
    count = len(task.train)
    order = torch.from_numpy(generator(seed, "edge scores").permutation(count)[:SEQUENCES])
    parameter = network.input_bias
    return [
        task.batch(task.train, indices, device=parameter.device, dtype=parameter.dtype)
        for indices in torch.split(order, BATCH)
    ]
