"""The state of a training in one safetensors file, written whole or not at all and checked when read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from topo_search.errors import InputError
from topo_search.files import read_bytes, write_atomically
from topo_search.training.edge_blocks import with_edges
from topo_search.training.trainer import EpochRecord, Trainer

__all__ = ["read_tensors", "restore_checkpoint", "save_checkpoint", "write_tensors"]

FORMAT = "topo_search.checkpoint/1"


class _Header(BaseModel):
    """What a checkpoint holds beside its tensors."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    format: str
    identity: str
    best_epoch: int = Field(ge=0)
    records: tuple[EpochRecord, ...]
    edges: tuple[tuple[int, int], ...] = ()


def _checked_header(values: dict[str, Any], path: Path) -> _Header:
    try:
        header = _Header.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"checkpoint at {path} is corrupt: {where}: {first['msg']}") from None
    epochs = [record.epoch for record in header.records]
    if epochs != list(range(1, len(epochs) + 1)) or header.best_epoch > len(epochs):
        raise InputError(f"checkpoint at {path} is corrupt: its epochs are not those from 1 to the last")
    return header


def _digest(tensors: Mapping[str, Tensor], header: str) -> str:
    digest = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        # The same bytes are other numbers in another type or shape.
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a JSON object with a digest of both, atomically.

    Args:
        path: file to write.
        tensors: on any device.
        header: plain values, ``format`` among them.
    """
    own = {name: tensor.to("cpu").contiguous() for name, tensor in tensors.items()}
    text = json.dumps(header)
    write_atomically(path, save(own, {"header": text, "sha256": _digest(own, text)}))


def read_tensors(path: Path, what: str, *, expected: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_tensors` wrote: tensors and header.

    Raises:
        InputError: if the file is missing, corrupt or not of the expected format; ``what`` names it in the message.
        UnreadableError: an ``InputError`` too, if the disk does not let it be read.
    """
    content = read_bytes(path, what)
    try:
        tensors = load(content)
        # The header of a safetensors file: eight bytes of length, then JSON.
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        header: dict[str, Any] = json.loads(metadata["header"])
        intact = metadata["sha256"] == _digest(tensors, metadata["header"]) and header["format"] == expected
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"{what} at {path} is corrupt: expected a safetensors file ({error})") from None
    if not intact:
        raise InputError(f"{what} at {path} is corrupt: its digest does not match its content")
    return tensors, header


def save_checkpoint(path: Path, trainer: Trainer, *, identity: str) -> None:
    """Save parameters, the optimiser's moments, the records and the best parameters so far.

    Args:
        path: file to write, atomically.
        trainer: to save.
        identity: names the training (graph, settings, seed); :func:`restore_checkpoint` takes up no other.
    """
    tensors: dict[str, Tensor] = {}
    for name, parameter in trainer.network.named_parameters():
        state = trainer.optimiser.state[parameter]
        tensors[f"parameter.{name}"] = parameter.detach()
        tensors[f"best.{name}"] = trainer.best_parameters[name]
        tensors[f"first_moment.{name}"] = state["exp_avg"]
        tensors[f"second_moment.{name}"] = state["exp_avg_sq"]
        tensors[f"step.{name}"] = state["step"]
    header: dict[str, Any] = {
        "format": FORMAT,
        "identity": identity,
        "best_epoch": trainer.best_epoch,
        "records": [asdict(record) for record in trainer.records],
    }
    if trainer.kept is not None:
        tensors["kept.coupling"] = trainer.kept
    if trainer.moves is not None:
        header["edges"] = trainer.network.graph.edges
    write_tensors(path, tensors, header)


def restore_checkpoint(path: Path, trainer: Trainer, *, identity: str, at_most: int | None = None) -> None:
    """Bring a fresh trainer to the saved state; going on from there gives the bits of an uninterrupted training.

    Raises:
        InputError: if the file is missing, corrupt, of another training, further than ``at_most`` epochs, or does not
            fit the network; the trainer is untouched then.
        UnreadableError: an ``InputError`` too, if the disk does not let it be read.
    """
    tensors, values = read_tensors(path, "checkpoint", expected=FORMAT)
    header = _checked_header(values, path)
    if header.identity != identity:
        raise InputError(f"checkpoint at {path} belongs to another training: expected {identity}")
    if at_most is not None and len(header.records) > at_most:
        raise InputError(f"checkpoint at {path} holds {len(header.records)} epochs: expected at most {at_most}")
    edges = None if trainer.moves is None else header.edges
    network = trainer.network if edges is None else with_edges(trainer.network, edges)
    for name, parameter in network.named_parameters():
        parts = [tensors.get(f"{kind}.{name}") for kind in ("parameter", "best", "first_moment", "second_moment")]
        fits = all(p is not None and p.shape == parameter.shape and p.dtype == parameter.dtype for p in parts)
        step = tensors.get(f"step.{name}")
        if not fits or step is None or step.shape != () or step.dtype != torch.float32:
            raise InputError(f"checkpoint at {path} does not fit the network: {name} has another shape or type")
    kept = tensors.get("kept.coupling")
    if kept is not None and (kept.shape != network.coupling.shape or kept.dtype != torch.bool):
        raise InputError(f"checkpoint at {path} does not fit the network: its pruned pairs have another shape or type")
    if edges is not None:
        trainer.rewire(edges)
    trainer.kept = None if kept is None else kept.to(trainer.network.coupling.device)
    with torch.no_grad():
        for name, parameter in trainer.network.named_parameters():
            parameter.copy_(tensors[f"parameter.{name}"])
            trainer.best_parameters[name] = tensors[f"best.{name}"].to(parameter.device)
            trainer.optimiser.state[parameter] = {
                "step": tensors[f"step.{name}"],
                "exp_avg": tensors[f"first_moment.{name}"].to(parameter.device),
                "exp_avg_sq": tensors[f"second_moment.{name}"].to(parameter.device),
            }
    trainer.best_epoch = header.best_epoch
    trainer.records = list(header.records)
