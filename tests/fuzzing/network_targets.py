"""Saved networks with their certificates, checkpoints of trainings, couplings that are kept."""

from __future__ import annotations

import hashlib
import json
import math
import struct
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load as load_arrays
from safetensors.torch import load as load_tensors
from support.tiny import tiny_graph, tiny_network, tiny_task

from fuzzing.damage import damage
from fuzzing.harness import Case, Files, Target
from topo_search.graph import ModuleGraph
from topo_search.model import Certificate, ComboNet, NetworkConfig, judge_saved, load_network, save_network
from topo_search.model.certificate.verify_standalone import verify
from topo_search.training import EdgeMoves, Trainer, TrainingConfig, inherit_coupling, keep_coupling
from topo_search.training.checkpoint import _digest, restore_checkpoint, save_checkpoint

KINDS: tuple[dict[str, Any], ...] = (
    {},
    {"integrator": "euler"},
    {"integrator": "edge_cayley"},
    {"stability": "unconstrained"},
)
NETWORK_FILES = ("model.safetensors", "certificate.json", "graph.json")


@cache
def _saved() -> list[Files]:
    saved = []
    for options in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            save_network(Path(folder), tiny_network(**options))
            saved.append({name: (Path(folder) / name).read_bytes() for name in NETWORK_FILES})
    return saved


def forge_certificate(files: Files) -> Files:
    """The same files with the digests that they should have, and the rest of the certificate as it stands."""
    record, content = json.loads(files["certificate.json"]), files["model.safetensors"]
    record.setdefault("tensors_sha256", {})
    record["model_sha256"] = hashlib.sha256(content).hexdigest()
    size = struct.unpack("<Q", content[:8])[0]
    for name, entry in json.loads(content[8 : 8 + size]).items():
        if name != "__metadata__":
            raw = content[8 + size :][slice(*entry["data_offsets"])]
            record["tensors_sha256"][name] = hashlib.sha256(raw).hexdigest()
    record["graph_key"] = ModuleGraph.from_json(files["graph.json"].decode()).key
    return {**files, "certificate.json": json.dumps(record).encode()}


def check_certificate(certificate: Certificate, case: Case) -> None:
    """What is called certified contracts by its factor for slopes drawn at random, and for the standalone verifier."""
    if not certificate.certified:
        assert certificate.reason
        return
    record, graph = json.loads(case.files["certificate.json"]), json.loads(case.files["graph.json"])
    assert hashlib.sha256(case.files["model.safetensors"]).hexdigest() == record["model_sha256"]
    assert 0 < certificate.rho < 1
    tensors = {name: array.astype(float) for name, array in load_arrays(case.files["model.safetensors"]).items()}
    # What is not said has its default.
    config = NetworkConfig.model_validate(record["network"]["config"]).model_dump(mode="json")
    sizes = [area["size"] for area in graph["areas"]]
    h, n, skew = config["dt"] / config["tau"], sum(sizes), tensors["coupling"] - tensors["coupling"].T
    before, rng = _step_before(certificate.integrator, tensors, sizes, graph["edges"]), np.random.default_rng(0)
    for _ in range(20):
        slopes = rng.integers(0, 2, n)
        step = (1 - h) * np.eye(n) + h * tensors["area_weights"] * slopes
        step = step + h * skew if certificate.integrator == "euler" else step @ before
        assert np.linalg.norm(step, 2) <= certificate.rho + 1e-9
    # The verdict is the program's own; with its own numbers for it, the verifier needs nothing that was claimed.
    fresh = {**certificate.as_dict(), "network": {"config": config}}
    files = {**case.files, "certificate.json": json.dumps(fresh).encode()}
    with tempfile.TemporaryDirectory() as folder:
        for name, content in forge_certificate(files).items():
            (Path(folder) / name).write_bytes(content)
        verify(Path(folder))


def _step_before(rule: str, tensors: dict[str, Any], sizes: list[int], edges: list[list[int]]) -> Any:
    """The Cayley step as stored, which comes before the local one."""
    n, owner = sum(sizes), np.repeat(np.arange(len(sizes)), sizes)
    if rule == "cayley":
        return tensors["coupling_steps"]
    whole, rest = np.eye(n), tensors.get("coupling_steps", np.zeros(0))
    for edge in edges if rule == "edge_cayley" else ():
        place = np.flatnonzero(np.isin(owner, edge))
        count = len(place) ** 2
        step = np.eye(n)
        step[np.ix_(place, place)], rest = rest[:count].reshape(len(place), -1), rest[count:]
        whole = step @ whole
    return whole


CERTIFICATE = Target(_saved, damage(), judge_saved, check_certificate, forge_certificate)


def _check_network(network: ComboNet, case: Case) -> None:
    assert all(torch.isfinite(parameter).all() for parameter in network.parameters())
    assert network.graph == ModuleGraph.from_json(case.files["graph.json"].decode())
    network(torch.zeros(2, 1, network.channels))


SAVED_NETWORK = Target(_saved, damage(), load_network, _check_network, forge_certificate)

_TASK = tiny_task()
_CONFIG = TrainingConfig(epochs=5, batch_size=32, learning_rate=0.02)
FILE = "checkpoint.safetensors"


def forge_digest(files: Files) -> Files:
    """A file of :func:`topo_search.training.checkpoint.write_tensors` with the digest that it should have."""
    content = files[FILE]
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    digest = _digest(load_tensors(content), header["__metadata__"]["header"])
    text = json.dumps({**header, "__metadata__": {**header["__metadata__"], "sha256": digest}}).encode()
    text += b" " * (-len(text) % 8)
    return {FILE: struct.pack("<Q", len(text)) + text + content[8 + size :]}


def _trainer(*, moving: bool = False) -> Trainer:
    from topo_search.graph import GraphConstraints

    graph = tiny_graph()
    constraints = GraphConstraints.build(graph.areas, max_edges=4)
    moves = EdgeMoves(constraints=constraints, grow="set", drop_fraction=0.3, every=1, epochs=5) if moving else None
    return Trainer(tiny_network(), _TASK, _CONFIG, seed=0, moves=moves)


def _state(trainer: Trainer) -> dict[str, Any]:
    state: dict[str, Any] = {f"best.{name}": value.clone() for name, value in trainer.best_parameters.items()}
    for name, parameter in trainer.network.named_parameters():
        state[name] = parameter.detach().clone()
        state |= {f"{name}.{key}": value.clone() for key, value in trainer.optimiser.state[parameter].items()}
    return state | {"records": trainer.records, "best_epoch": trainer.best_epoch, "edges": trainer.network.graph.edges}


@cache
def _trained() -> tuple[tuple[bytes, dict[str, Any]], ...]:
    found = []
    for moving in (False, True):
        trainer = _trainer(moving=moving)
        trainer.train_epoch()
        with tempfile.TemporaryDirectory() as folder:
            save_checkpoint(Path(folder) / FILE, trainer, identity="fuzz")
            found.append(((Path(folder) / FILE).read_bytes(), _state(trainer)))
    return tuple(found)


def _read_checkpoint(folder: Path) -> Trainer:
    moving = b"edges" in (folder / FILE).read_bytes()[:20_000]
    trainer = _trainer(moving=moving)
    untouched = (
        _state(trainer) if trainer.records else {n: p.detach().clone() for n, p in trainer.network.named_parameters()}
    )
    try:
        restore_checkpoint(folder / FILE, trainer, identity="fuzz", at_most=5)
    except ValueError:
        now = dict(trainer.network.named_parameters())
        if now.keys() != untouched.keys() or not all(torch.equal(now[name], untouched[name]) for name in now):
            raise AssertionError("a checkpoint was refused after it had changed the network") from None
        raise
    return trainer


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[name], other[name]) and one[name].dtype == other[name].dtype
        if isinstance(one[name], torch.Tensor)
        else one[name] == other[name]
        for name in one
    )


def _check_checkpoint(trainer: Trainer, case: Case) -> None:
    """What is accepted is what was saved, bit for bit; where the digest was forged, a training that can go on."""
    state = _state(trainer)
    if not case.forged:
        assert any(_same(state, saved) for _, saved in _trained()), "accepted, and not what was saved"
        return
    assert all(
        type(r.epoch) is int and math.isfinite(r.loss) and 0 <= r.validation_accuracy <= 1 for r in trainer.records
    )
    assert [record.epoch for record in trainer.records] == [*range(1, len(trainer.records) + 1)]
    assert 0 <= trainer.best_epoch <= len(trainer.records)
    fresh = _state(_trainer_of(trainer))
    assert {name: value.dtype for name, value in state.items() if isinstance(value, torch.Tensor)} == {
        name: value.dtype for name, value in fresh.items() if isinstance(value, torch.Tensor)
    }


def _trainer_of(trainer: Trainer) -> Trainer:
    again = _trainer(moving=trainer.moves is not None)
    restore = _trained()[int(trainer.moves is not None)][0]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / FILE).write_bytes(restore)
        restore_checkpoint(Path(folder) / FILE, again, identity="fuzz")
    return again


CHECKPOINT = Target(
    lambda: [{FILE: content} for content, _ in _trained()], damage(), _read_checkpoint, _check_checkpoint, forge_digest
)


def _couplings() -> list[Files]:
    with tempfile.TemporaryDirectory() as folder:
        keep_coupling(Path(folder) / FILE, tiny_network(seed=1))
        return [{FILE: (Path(folder) / FILE).read_bytes()}]


def _inherit(folder: Path) -> ComboNet:
    network = tiny_network()
    inherit_coupling(folder / FILE, network)
    return network


def _check_coupling(network: ComboNet, case: Case) -> None:
    assert torch.isfinite(network.coupling).all()
    kept = tiny_network(seed=1)
    kept.project()
    assert case.forged or torch.equal(network.coupling, kept.coupling), "accepted, and not what was kept"


COUPLING = Target(_couplings, damage(), _inherit, _check_coupling, forge_digest)
