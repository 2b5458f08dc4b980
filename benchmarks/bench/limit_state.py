"""What a run leaves on disk: its state in one safetensors file, its trajectory as CSV, its couplings."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from topo_search.errors import InputError
from topo_search.files import read_bytes, read_json, write_atomically, write_json
from topo_search.model import ComboNet

__all__ = ["Progress", "Record", "RunFiles"]

FORMAT = "topo_search.euler_limit/1"
MOMENTS = {"first_moment": "exp_avg", "second_moment": "exp_avg_sq", "step": "step"}


@dataclass(frozen=True)
class Record:
    """A row of ``trajectory.csv``; what was not measured, or was not finite, is an empty cell.

    Attributes:
        step: training steps done.
        loss: mean cross-entropy of the batches since the record before.
        validation_accuracy: in [0, 1].
        validation_images: how many that is the share of.
        coupling_norm: ``||K||_2``.
        seconds: of training, evaluation included, from the start of the run.
    """

    step: int
    loss: float | None
    validation_accuracy: float | None
    validation_images: int
    coupling_norm: float | None
    seconds: float


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        step: training steps done.
        window: losses since the last record.
        seconds: spent so far.
        diverged: where the run diverged; empty if it did not.
        records: so far.
    """

    step: int = 0
    window: list[float] = field(default_factory=list)
    seconds: float = 0.0
    diverged: str = ""
    records: list[Record] = field(default_factory=list)


def _digest(tensors: dict[str, Tensor], header: str) -> str:
    digest = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class RunFiles:
    """The folder of a run: ``run.json``, ``trajectory.csv``, ``state.safetensors`` and ``snapshots/``."""

    folder: Path

    @property
    def state(self) -> Path:
        """Parameters, moments of Adam and :class:`Progress`."""
        return self.folder / "state.safetensors"

    def create(self, identity: dict[str, Any]) -> None:
        """Make the folder, or check that it is of this run.

        Raises:
            InputError: if it belongs to a run of other settings.
        """
        path = self.folder / "run.json"
        if path.exists():
            if read_json(path, "run") != {"format": FORMAT, **json.loads(json.dumps(identity))}:
                raise InputError(f"{path} is of other settings: expected those given; choose another --out")
            return
        (self.folder / "snapshots").mkdir(parents=True, exist_ok=True)
        write_json(path, {"format": FORMAT, **identity})

    def save(self, network: ComboNet, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
        """Write the trajectory and the state; each is whole or not there."""
        tensors = {}
        for name, parameter in network.named_parameters():
            tensors[f"parameter.{name}"] = parameter.detach()
            # Adam has no moments before its first step.
            for kind, key in MOMENTS.items():
                if parameter in optimiser.state:
                    tensors[f"{kind}.{name}"] = optimiser.state[parameter][key]
        tensors = {name: tensor.to("cpu").contiguous() for name, tensor in tensors.items()}
        header = json.dumps(asdict(progress), allow_nan=False)
        # The state last: whoever is stopped in between goes on from the state before and writes the same rows again.
        write_atomically(self.folder / "trajectory.csv", _csv(progress.records))
        write_atomically(self.state, save(tensors, {"header": header, "sha256": _digest(tensors, header)}))

    def restore(self, network: ComboNet, optimiser: torch.optim.Optimizer) -> Progress:
        """Bring a fresh network and optimiser to the saved state; a run without one starts anew.

        Raises:
            InputError: if the state is corrupt.
        """
        if not self.state.exists():
            return Progress()
        tensors, header = self._read_state()
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                parameter.copy_(tensors[f"parameter.{name}"])
                if f"step.{name}" in tensors:
                    optimiser.state[parameter] = {key: tensors[f"{kind}.{name}"] for kind, key in MOMENTS.items()}
        return Progress(**{**header, "records": [Record(**record) for record in header["records"]]})

    def progress(self) -> Progress:
        """Where the run stands, without its tensors.

        Raises:
            InputError: as :meth:`restore`.
        """
        header = self._read_state()[1]
        return Progress(**{**header, "records": [Record(**record) for record in header["records"]]})

    def _read_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        content = read_bytes(self.state, "state")
        try:
            tensors = load(content)
            length = int.from_bytes(content[:8], "little")
            metadata = json.loads(content[8 : 8 + length])["__metadata__"]
            header: dict[str, Any] = json.loads(metadata["header"])
            intact = metadata["sha256"] == _digest(tensors, metadata["header"])
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"state at {self.state} is corrupt: expected a safetensors file ({error})") from None
        if not intact:
            raise InputError(f"state at {self.state} is corrupt: its digest does not match its content")
        return tensors, header

    def save_snapshot(self, network: ComboNet, step: int) -> None:
        """Keep the packed coupling and area weights, for certificates afterwards."""
        tensors = {
            "coupling": network.coupling.detach().cpu().contiguous(),
            "area_weights": network.area_weights.cpu().contiguous(),
        }
        write_atomically(self.folder / "snapshots" / f"step-{step:06d}.safetensors", save(tensors))

    def snapshots(self) -> dict[int, Path]:
        """The kept couplings by training step."""
        found = sorted((self.folder / "snapshots").glob("step-*.safetensors"))
        return {int(path.stem.removeprefix("step-")): path for path in found}


def _csv(records: list[Record]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [column.name for column in fields(Record)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(record) for record in records)
    return text.getvalue()
