"""A trained coupling in a file, edge by edge, for networks of other graphs to begin with."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from topo_search.errors import InputError
from topo_search.model import ComboNet
from topo_search.training.checkpoint import read_tensors, write_tensors
from topo_search.training.edge_blocks import edge_parameters

__all__ = ["inherit_coupling", "keep_coupling"]

FORMAT = "topo_search.coupling/1"


def _blocks(network: ComboNet) -> dict[str, Tensor]:
    """Blocks ``(n_j, n_i)`` by name, views of the network's own; the name says which tensor and which edge."""
    return {
        f"{name}.{i}-{j}": block
        for name, tensor in edge_parameters(network).items()
        for (i, j), block in zip(network.graph.edges, network.layout.coupling_blocks(tensor.detach()), strict=True)
    }


def keep_coupling(path: Path, network: ComboNet) -> None:
    """Write the blocks between areas to a file, whole or not at all; its folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = {name: block.clone() for name, block in _blocks(network).items()}
    write_tensors(path, blocks, {"format": FORMAT})


@torch.no_grad()
def inherit_coupling(path: Path, network: ComboNet) -> int:
    """Let a network begin with a coupling that another was trained to, on the edges that both have.

    Blocks of areas of another size stay as drawn, as do those of edges that the other network did not have.

    Source: weight inheritance as in Real et al., "Large-scale evolution of image classifiers" (2017), of the coupling
    alone: areas, input layer and readout are drawn afresh, the same for all candidates of a seed.

    Args:
        path: file as :func:`keep_coupling` writes it.
        network: changed in place.

    Returns:
        How many edges were inherited.

    Raises:
        InputError: if the file is missing or corrupt; the network is untouched then.
    """
    tensors, _ = read_tensors(path, "coupling", expected=FORMAT)
    inherited: dict[str, Tensor] = {}
    for name, block in _blocks(network).items():
        kept = tensors.get(name)
        if kept is None or kept.shape != block.shape:
            continue
        if kept.dtype != block.dtype or not bool(torch.isfinite(kept).all()):
            raise InputError(f"coupling at {path} is corrupt: expected finite {block.dtype} in {name}")
        inherited[name] = kept
    for name, block in _blocks(network).items():
        if name in inherited:
            block.copy_(inherited[name])
    network.project()
    return len({name.split(".")[1] for name in inherited})
