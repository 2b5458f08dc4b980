"""Checks of this machine and installation, one line each."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from topo_search.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from topo_search.engine import Engine

__all__ = ["Check", "run_checks"]

MIN_FREE_GB = 1.0
# Largest relative error of the native engine; a working one, in float32, is within some 1e-6.
AGREEMENT = 1e-4


@dataclass(frozen=True)
class Check:
    """A check that ran.

    Attributes:
        name: what was checked.
        ok: whether it is as it should be.
        detail: what was found.
    """

    name: str
    ok: bool
    detail: str


def _python() -> tuple[bool, str]:
    return True, f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _torch() -> tuple[bool, str]:
    import torch

    device = f"CUDA {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "no CUDA device"
    return True, f"{torch.__version__}, {device}"


def _cores() -> tuple[bool, str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return True, f"{cores}: as many evaluations run side by side, one thread each"


def _engine() -> tuple[bool, str]:
    """Which engine advances networks on this CPU."""
    import torch

    from topo_search.engine.native import native_status

    status = native_status()
    if status.module is None:
        return True, f"{status.engine}: {status.reason}"
    threads = torch.get_num_threads()
    return True, f"{status.engine}, {threads} thread{'' if threads == 1 else 's'}"


def _small_rollout(dtype: torch.dtype) -> tuple[list[Tensor], Callable[..., Tensor]]:
    """Weights of a small network, and its last state as a function of them and of the engine."""
    import torch

    from topo_search.engine import AreaLayout, Dynamics, rollout

    layout = AreaLayout.of([3, 2, 3], [(0, 1), (1, 2)])
    rng = torch.Generator().manual_seed(0)
    shapes = [(8, 2), (8,), (layout.n_area_weights,), (layout.n_coupling,)]
    weights = [torch.randn(*s, generator=rng, dtype=torch.float64).to(dtype).requires_grad_() for s in shapes]
    inputs = torch.randn(4, 3, 2, generator=rng, dtype=torch.float64).to(dtype)

    def last(w_in: Tensor, bias: Tensor, areas: Tensor, coupling: Tensor, *, engine: Engine = "reference") -> Tensor:
        dynamics = Dynamics(layout, "cayley", 0.1, "tanh")
        return rollout(
            dynamics, inputs, input_weights=w_in, bias=bias, area_weights=areas, forward=coupling, engine=engine
        )

    return weights, last


def _gradient() -> tuple[bool, str]:
    """The reference engine against finite differences, on a small network."""
    import torch

    weights, last = _small_rollout(torch.float64)
    ok = bool(torch.autograd.gradcheck(last, weights, raise_exception=False))
    return ok, "that of the reference engine agrees with finite differences" if ok else "it is wrong here"


def _agreement() -> tuple[bool, str]:
    """The native engine against the reference, on a small network: its last state and every gradient."""
    import torch

    from topo_search.engine.native import native_status

    engine = native_status().engine
    if engine == "reference":
        return True, "nothing to compare: the reference engine serves"
    weights, last = _small_rollout(torch.float32)
    found, truth = (
        [state.detach(), *torch.autograd.grad(state.square().sum(), weights)]
        for state in (last(*weights, engine="native"), last(*weights, engine="reference"))
    )
    errors = torch.stack([(a - b).abs().max() / b.abs().max() for a, b in zip(found, truth, strict=True)])
    worst = float(errors.max())
    # False for NaN, too.
    ok = worst <= AGREEMENT
    relation = "agrees with" if ok else "differs from"
    return ok, f"{engine} {relation} the reference engine, states and gradients: relative error {worst:.0e}"


def _certificate() -> tuple[bool, str]:
    """A network of the default recipe is certified, and one with a strong area is not."""
    from dataclasses import replace

    from topo_search.graph import Area, ModuleGraph
    from topo_search.model import NetworkConfig, build_network, certify_matrices

    graph = ModuleGraph([Area(8, is_input=True), Area(8, is_output=True)], [(0, 1)])
    matrices = build_network(graph, NetworkConfig(dt=0.1), channels=1, classes=2, seed=0).matrices()
    good = certify_matrices(matrices)
    bad = certify_matrices(replace(matrices, area_weights=3 * matrices.area_weights))
    ok = good.certified and not bad.certified
    return ok, f"accepts a stable network (rho {good.rho:.4f}), refuses an unstable one" if ok else "verdicts are wrong"


def _spaces() -> tuple[bool, str]:
    from topo_search.config import load_space, shipped_spaces

    names = list(shipped_spaces())
    for name in names:
        load_space(name)
    return bool(names), f"{len(names)} shipped and valid: {', '.join(names)}" if names else "none found"


def _disk() -> tuple[bool, str]:
    folder = Path.cwd()
    free = shutil.disk_usage(folder).free / 1e9
    writable = os.access(folder, os.W_OK)
    detail = f"{free:.1f} GB free in {folder}" + ("" if writable else ", which cannot be written to")
    return free >= MIN_FREE_GB and writable, detail


def _data(data_dir: Path | None) -> tuple[bool, str]:
    from topo_search.tasks import resolve_data_dir

    folder = resolve_data_dir(data_dir)
    found = [name for name in ("MNIST", "FashionMNIST", "cifar10", "cifar-10-batches-bin") if (folder / name).is_dir()]
    # The default task is embedded: no data is no fault.
    return True, f"{', '.join(found)} in {folder}" if found else f"none in {folder} (digits needs none)"


def run_checks(data_dir: Path | None = None) -> list[Check]:
    """Run all checks; a check that raises has failed, with the error as its detail."""
    checks: dict[str, Callable[[], tuple[bool, str]]] = {
        "python": _python,
        "torch": _torch,
        "cores": _cores,
        "engine": _engine,
        "gradient": _gradient,
        "agreement": _agreement,
        "certificate": _certificate,
        "search spaces": _spaces,
        "disk": _disk,
        "data": lambda: _data(data_dir),
    }
    results = []
    for name, check in checks.items():
        try:
            ok, detail = check()
        except (InputError, ImportError, OSError, RuntimeError, ValueError) as error:
            ok, detail = False, " ".join(str(error).split())
        results.append(Check(name, ok, detail))
    return results
