"""Networks on disk: weights as safetensors, the graph and the certificate as JSON; nothing is ever unpickled.

A folder holds ``model.safetensors``, ``graph.json``, ``graph.graphml`` and ``certificate.json``. The weights are dense
matrices in metric coordinates, so that any reader of safetensors and a few lines of linear algebra can repeat the
verdict:

- ``area_weights`` ``(N, N)``, block-diagonal; ``metric`` ``(N,)``, the diagonal of M (original coordinates are
  ``M^(-1/2) W M^(1/2)`` and so on);
- ``coupling`` ``(N, N)``: B, blocks below the diagonal, ``K = B - B^T``; for ``unconstrained`` L itself;
- where the network has them: ``area_gauge`` ``(N, N)``, V, block-diagonal; ``coupling_symmetric`` ``(N, N)``, S, and
  ``coupling_nonlinear`` ``(N, N)``, C, as they act; ``speeds`` ``(N,)``, ``tau / tau_i`` of each unit's area, float64;
- what is trained behind them: ``area_numbers`` and ``area_mask`` of trained areas, ``symmetric``,
  ``nonlinear_forward`` and ``nonlinear_backward``, packed as in :class:`topo_search.engine.AreaLayout`;
- ``coupling_steps``: the step matrix as executed, ``(N, N)``, for ``cayley``; for ``edge_cayley`` a vector of the step
  matrices of the edges (i, j), each ``(n_i + n_j, n_i + n_j)`` with area i's units first, row-major, one after another
  in order of edges;
- ``input_weights`` ``(N, C)``, ``input_bias`` ``(N,)``, ``readout_weights`` ``(classes, units read out)``,
  ``readout_bias`` ``(classes,)``.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from topo_search.engine import AreaLayout
from topo_search.errors import InputError
from topo_search.files import UnreadableError, read_bytes, read_json, sha256, write_atomically, write_json
from topo_search.graph import ModuleGraph
from topo_search.model.certificate import (
    EDGE_ORDER,
    Certificate,
    NetworkMatrices,
    certify_matrices,
    factor_is_confirmed,
)
from topo_search.model.combo_net import ComboNet
from topo_search.model.config import NetworkConfig
from topo_search.model.dynamics import check_areas, dynamics_of
from topo_search.model.routing import checked_routing, input_map
from topo_search.model.subnetworks import raw_size

__all__ = ["NETWORK_FILES", "export_arrays", "is_saved", "judge_saved", "load_network", "save_network"]

NETWORK_FILES = ("graph.json", "graph.graphml", "model.safetensors", "certificate.json")
"""What :func:`save_network` leaves, in the order of writing."""
FORMAT = "topo_search.certificate/1"
# Recipes whose areas have a metric that is not diagonal.
DENSE_METRIC = ("symmetric", "product")
# Parameters from which a coupling is made, stored beside what they make.
TRAINED_BEHIND = ("symmetric", "nonlinear_forward", "nonlinear_backward")
STORED_TYPES = (torch.float32, torch.float64)
# Recorded and recomputed claims are float64 of the same weights, and may differ by the linear algebra library alone: by
# rounding, or, where an optimiser found them, by where it stopped.
CLAIMS = {"rate": 1e-3, "rho": 1e-6, "area_norm": 1e-6}
# What is stored and what is made from stored numbers may differ by rounding alone.
MADE_AGAIN = 1e-4


class _NetworkRecord(BaseModel):
    """What of a network is neither weight nor graph."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: NetworkConfig
    channels: int = Field(ge=1)
    classes: int = Field(ge=1)
    routing: dict[int, tuple[int, ...]]


class _SavedFiles:
    """The files of a folder, read and checked against one another."""

    def __init__(self, path: Path) -> None:
        if path.name == "model.safetensors":
            path = path.parent
        if not path.is_dir():
            raise InputError(f"no saved network at {path}: expected a folder with model.safetensors")
        self.path = path
        content = read_bytes(path / "model.safetensors", "model")
        self.record = read_json(path / "certificate.json", "certificate")
        self.graph = ModuleGraph.load(path / "graph.json")
        if self.record.get("format") != FORMAT:
            raise InputError(f"certificate at {path} has format {self.record.get('format')!r}: expected {FORMAT!r}")
        if self.record.get("model_sha256") != sha256(content):
            raise InputError(
                f"digest mismatch at {path}: model.safetensors is not the file that certificate.json names"
            )
        try:
            self.tensors: dict[str, Tensor] = load(content)
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"model at {path} is corrupt: expected a safetensors file ({error})") from None
        try:
            self.network = _NetworkRecord.model_validate(self.record.get("network"))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InputError(f"certificate at {path} is corrupt: network.{where}: {first['msg']}") from None
        rule = self.network.config.step_rule
        order, expected = self.record.get("edge_order", ""), EDGE_ORDER if rule == "edge_cayley" else ""
        if order != expected:
            raise InputError(f"certificate at {path} has edge_order {order!r}: expected {expected!r} for {rule}")
        self._check_size()
        check_areas(self.graph, self.network.config)
        self._check_tensors()

    def _check_size(self) -> None:
        """Sizes of areas are text: what they ask for is made only where the weights are as large."""
        units, weights = self.graph.n_units, self.tensors.get("area_weights")
        if weights is not None and tuple(weights.shape) != (units, units):
            raise InputError(
                f"model at {self.path} cannot be judged: expected area_weights of floats {(units, units)}, "
                f"got {weights.dtype} {tuple(weights.shape)}"
            )

    def _check_tensors(self) -> None:
        units, readers = self.graph.n_units, sum(self.graph.sizes[area] for area in self.graph.output_areas)
        record = self.network
        expected: dict[str, tuple[int, ...]] = {
            "area_weights": (units, units),
            "metric": (units,),
            "coupling": (units, units),
            "input_weights": (units, record.channels),
            "input_bias": (units,),
            "readout_weights": (record.classes, readers),
            "readout_bias": (record.classes,),
        }
        expected |= self._optional_shapes()
        if set(self.tensors) != set(expected):
            odd = sorted(set(self.tensors) ^ set(expected))
            raise InputError(f"model at {self.path} cannot be judged: missing or unknown tensors {odd}")
        for name, shape in expected.items():
            tensor = self.tensors[name]
            kind = torch.float64 if name == "speeds" else self.tensors["metric"].dtype
            if tuple(tensor.shape) != shape or tensor.dtype != kind or kind not in STORED_TYPES:
                raise InputError(
                    f"model at {self.path} cannot be judged: expected {name} of floats {shape}, "
                    f"got {tensor.dtype} {tuple(tensor.shape)}"
                )
            if not bool(torch.isfinite(tensor).all()):
                raise InputError(f"model at {self.path} cannot be judged: {name} holds NaN or infinity")
        if float(self.tensors["metric"].min()) <= 0:
            raise InputError(f"model at {self.path} cannot be judged: expected a positive metric")

    def _optional_shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the tensors that only some networks have."""
        config, graph, units = self.network.config, self.graph, self.graph.n_units
        layout = AreaLayout(graph.sizes, graph.edges)
        recipes = [config.recipe_for(size, area) for area, size in enumerate(graph.sizes)]
        numbers = sum(
            raw_size(recipe, size) for recipe, size in zip(recipes, graph.sizes, strict=True) if recipe.trainable
        )
        packed = (layout.n_coupling,)
        shapes: dict[str, tuple[int, ...]] = {}
        if config.step_rule == "cayley":
            shapes["coupling_steps"] = (units, units)
        elif config.step_rule == "edge_cayley":
            shapes["coupling_steps"] = (layout.n_edge_steps,)
        if any(recipe.kind in DENSE_METRIC for recipe in recipes):
            shapes["area_gauge"] = (units, units)
        if numbers or any(recipe.trainable for recipe in recipes):
            shapes |= {"area_numbers": (numbers,), "area_mask": (numbers,)}
        if config.imperfect_margin is not None:
            shapes |= {"coupling_symmetric": (units, units), "symmetric": packed}
        if config.coupling != "feedback":
            shapes |= {"coupling_nonlinear": (units, units), "nonlinear_forward": packed, "nonlinear_backward": packed}
        if dynamics_of(graph, config).speeds is not None:
            shapes["speeds"] = (units,)
        return shapes

    def changed_tensors(self) -> set[str]:
        """Names of the tensors that are not those that the certificate was made from."""
        recorded = self.record.get("tensors_sha256")
        known = recorded if isinstance(recorded, dict) else {}
        return {name for name, tensor in self.tensors.items() if known.get(name) != _tensor_digest(tensor)}

    def matrices(self) -> NetworkMatrices:
        """The stored weights as the certificate sees them: the step matrix as stored, not made anew."""
        config = self.network.config
        steps = self.tensors.get("coupling_steps")
        return NetworkMatrices(
            sizes=self.graph.sizes,
            edges=self.graph.edges,
            area_weights=self.tensors["area_weights"].double().numpy(),
            coupling=self.tensors["coupling"].double().numpy(),
            steps=None if steps is None else steps.double().numpy(),
            integrator=config.step_rule,
            dt=config.dt,
            tau=config.tau,
            stability=config.stability,
            gauge=self._matrix("area_gauge"),
            nonlinear=self._matrix("coupling_nonlinear"),
            symmetric=self._matrix("coupling_symmetric"),
            speeds=self._matrix("speeds"),
        )

    def confirms(self, rho: float) -> bool:
        """Whether the recorded multipliers confirm a recorded factor, whatever others a new search finds."""
        multipliers, scales = (_numbers(self.record.get(name)) for name in ("multipliers", "scales"))
        if not 0 < rho < 1 or multipliers is None or scales is None:
            return False
        return factor_is_confirmed(self.matrices(), rho, multipliers, scales)

    def _matrix(self, name: str) -> NDArray[np.float64] | None:
        tensor = self.tensors.get(name)
        return None if tensor is None else tensor.double().numpy()


def _number(value: Any) -> float | None:
    """A number of a record, if it is one that fits a float: JSON knows longer ones."""
    fits = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
    return float(value) if fits else None


def _numbers(values: Any) -> list[float] | None:
    """A list of such numbers."""
    numbers = [_number(value) for value in values] if isinstance(values, list) else [None]
    return None if None in numbers else [number for number in numbers if number is not None]


def _tensor_digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()


def _stored_tensors(network: ComboNet) -> dict[str, Tensor]:
    matrices = network.matrices()
    made: dict[str, NDArray[np.float64] | None] = {
        "area_weights": matrices.area_weights,
        "coupling": matrices.coupling,
        "coupling_steps": matrices.steps,
        "area_gauge": matrices.gauge,
        "coupling_nonlinear": matrices.nonlinear,
        "coupling_symmetric": matrices.symmetric,
    }
    dtype = network.metric.dtype
    tensors = {name: torch.from_numpy(array).to(dtype) for name, array in made.items() if array is not None}
    tensors |= {
        "metric": network.metric,
        "input_weights": network.dense_input_weights(),
        "input_bias": network.input_bias,
        "readout_weights": network.readout_weights,
        "readout_bias": network.readout_bias,
    }
    tensors |= {name: getattr(network, name) for name in TRAINED_BEHIND if name in network.parameter_names}
    if network.trained_areas is not None:
        tensors |= {"area_numbers": network.trained_areas.raw, "area_mask": network.trained_areas.mask}
    if matrices.speeds is not None:
        tensors["speeds"] = torch.from_numpy(matrices.speeds)
    return {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}


def save_network(folder: Path, network: ComboNet) -> Certificate:
    """Save a network with its graph and a certificate made from the weights as they are.

    Args:
        folder: made where it does not exist; its network files are replaced one by one, the certificate last, so that
            an interrupted save is refused by its digest.
        network: to save.

    Returns:
        The certificate.
    """
    folder.mkdir(parents=True, exist_ok=True)
    certificate = network.certificate()
    tensors = _stored_tensors(network)
    content = save(tensors)
    record = _NetworkRecord(
        config=network.config,
        channels=network.channels,
        classes=network.classes,
        routing={area: tuple(seen) for area, seen in network.routing.items()},
    )
    # Not by graph.save, to which a full disk is a wrong path.
    write_atomically(folder / "graph.json", network.graph.to_json())
    write_atomically(folder / "graph.graphml", network.graph.to_graphml())
    write_atomically(folder / "model.safetensors", content)
    write_json(
        folder / "certificate.json",
        {
            **certificate.as_dict(),
            "format": FORMAT,
            "model_sha256": sha256(content),
            "tensors_sha256": {name: _tensor_digest(tensor) for name, tensor in tensors.items()},
            "network": record.model_dump(mode="json"),
            "graph_key": network.graph.key,
        },
    )
    return certificate


def is_saved(folder: Path) -> bool:
    """Whether a folder holds a whole network: an interrupted save leaves none, or a certificate of other weights.

    Raises:
        UnreadableError: an ``InputError``, if the disk does not let it be read.
    """
    if not all((folder / name).is_file() for name in NETWORK_FILES):
        return False
    try:
        record = read_json(folder / "certificate.json", "certificate")
        return record.get("model_sha256") == sha256(read_bytes(folder / "model.safetensors", "model"))
    except UnreadableError:
        raise
    except InputError:
        return False


def judge_saved(path: str | Path) -> Certificate:
    """Judge a saved network from its files alone: recompute everything, trust no stored claim.

    Args:
        path: the folder, or its ``model.safetensors``.

    Returns:
        The certificate of the stored weights, with the reason where they are not certified.

    Raises:
        InputError: if it cannot be judged: a file is missing or unreadable, a digest does not match, a number is not
            finite, shapes do not fit, or the stored claims are not those of the stored weights.
    """
    files = _SavedFiles(Path(path))
    try:
        certificate = certify_matrices(files.matrices())
    except np.linalg.LinAlgError as error:
        raise InputError(f"model at {files.path} cannot be judged: {error} (extreme weights)") from None
    if not certificate.certified:
        return certificate
    if files.record.get("graph_key") != files.graph.key:
        raise InputError(f"digest mismatch at {files.path}: graph.json is not the graph that certificate.json names")
    changed = files.changed_tensors()
    # A Cayley certificate holds at any strength of the coupling: rescaled, alone or with its steps, it is no fault.
    rescaled = changed == {"coupling"} and bool(certificate.notes)
    if changed and not rescaled and changed != {"coupling", "coupling_steps"}:
        names = ", ".join(sorted(changed))
        raise InputError(f"digest mismatch at {files.path}: {names} changed after the network was certified")
    for claim, tolerance in CLAIMS.items():
        stored, actual = _number(files.record.get(claim)), getattr(certificate, claim)
        if stored is not None and math.isclose(stored, actual, abs_tol=tolerance):
            continue
        if claim == "rho" and stored is not None and files.confirms(stored):
            continue
        shown = "no number" if stored is None else stored
        raise InputError(f"certificate at {files.path} claims {claim} {shown}: its weights give {actual:.9g}")
    return certificate


def load_network(path: str | Path) -> ComboNet:
    """A saved network, ready to run.

    Args:
        path: the folder, or its ``model.safetensors``.

    Raises:
        InputError: if a file is missing, corrupt or does not fit the others. Whether the network is stable is not asked
            here: see :func:`judge_saved`.
    """
    files = _SavedFiles(Path(path))
    graph, record, tensors = files.graph, files.network, files.tensors
    layout = AreaLayout(graph.sizes, graph.edges)
    routing = checked_routing(graph, record.channels, record.routing)
    inputs = input_map(layout, routing)
    weights = {
        **tensors,
        "area_weights": layout.pack_area_weights(tensors["area_weights"]),
        "coupling": layout.pack_coupling(tensors["coupling"]),
        "input_weights": tensors["input_weights"][inputs.units, inputs.channels],
    }
    if record.config.stability == "unconstrained":
        weights["coupling_back"] = layout.pack_coupling(tensors["coupling"].t())
    if "area_gauge" in tensors:
        weights["area_gauge"] = layout.pack_area_weights(tensors["area_gauge"])
    network = ComboNet(
        graph,
        record.config,
        channels=record.channels,
        classes=record.classes,
        routing=routing,
        weights=weights,
    )
    for name, tensor in _stored_tensors(network).items():
        # Step matrices are judged with the certificate, which allows for another strength of the coupling.
        stored = tensors[name].to(tensor.dtype)
        if name != "coupling_steps" and not torch.allclose(tensor, stored, rtol=0, atol=MADE_AGAIN):
            raise InputError(f"model at {files.path} is corrupt: {name} is not what the other tensors make")
    return network.eval()


def export_arrays(network: ComboNet) -> dict[str, NDArray[Any]]:
    """Weights as NumPy arrays, for other tools.

    ``W``, ``L`` and ``input_weights``, ``input_bias``, ``readout_weights`` are in metric coordinates, where the metric
    is the identity; with ``metric`` (m, ``(N,)``) original coordinates are ``m_i^(-1/2) W_ij m_j^(1/2)`` (L alike),
    ``m_i^(-1/2)`` times the input rows and biases, and readout columns times ``m_i^(1/2)``.
    """
    with torch.no_grad():
        areas = network.areas()
        arrays = {
            "W": network.layout.dense_area_weights(areas.weights),
            "L": network.dense_coupling(),
            "metric": network.metric,
            "input_weights": network.dense_input_weights(),
            "input_bias": network.input_bias,
            "readout_weights": network.readout_weights,
            "readout_bias": network.readout_bias,
        }
    result: dict[str, NDArray[Any]] = {name: tensor.detach().cpu().numpy() for name, tensor in arrays.items()}
    result["adjacency"] = np.asarray(network.graph.adjacency())
    result["sizes"] = np.asarray(network.graph.sizes)
    result["output_areas"] = np.asarray(network.graph.output_areas)
    result["dt"], result["tau"] = np.asarray(network.config.dt), np.asarray(network.config.tau)
    return result
