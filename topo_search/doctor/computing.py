"""Checks of what computes: torch, the engines and the certificate."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from topo_search.doctor.check import Outcome

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from topo_search.engine import Engine

__all__ = ["check_agreement", "check_certificate", "check_engine", "check_gradient", "check_torch"]

# Largest relative error of the native engine; a working one, in float32, is within some 1e-6.
AGREEMENT = 1e-4


def check_torch() -> Outcome:
    """Its version, and the GPUs that it sees."""
    import torch

    if not torch.cuda.is_available():
        return "ok", f"{torch.__version__}, no CUDA device"
    names = sorted({torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())})
    return "ok", f"{torch.__version__}, {torch.cuda.device_count()} CUDA: {', '.join(names)}"


def check_engine() -> Outcome:
    """Which engine advances networks on this CPU."""
    import torch

    from topo_search.engine.native import native_status

    status = native_status()
    if status.module is None:
        return "ok", f"{status.engine}: {status.reason}"
    threads = torch.get_num_threads()
    return "ok", f"{status.engine}, {threads} thread{'' if threads == 1 else 's'}"


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


def check_gradient() -> Outcome:
    """The reference engine against finite differences, on a small network."""
    import torch

    weights, last = _small_rollout(torch.float64)
    if torch.autograd.gradcheck(last, weights, raise_exception=False):
        return "ok", "that of the reference engine agrees with finite differences"
    return "FAIL", "it is wrong here"


def check_agreement() -> Outcome:
    """The native engine against the reference, on a small network: its last state and every gradient."""
    import torch

    from topo_search.engine.native import native_status

    engine = native_status().engine
    if engine == "reference":
        return "ok", "nothing to compare: the reference engine serves"
    weights, last = _small_rollout(torch.float32)
    found, truth = (
        [state.detach(), *torch.autograd.grad(state.square().sum(), weights)]
        for state in (last(*weights, engine="native"), last(*weights, engine="reference"))
    )
    errors = torch.stack([(a - b).abs().max() / b.abs().max() for a, b in zip(found, truth, strict=True)])
    worst = float(errors.max())
    # False for NaN, too.
    agrees = worst <= AGREEMENT
    detail = f"the reference engine, states and gradients: relative error {worst:.0e}"
    return ("ok", f"{engine} agrees with {detail}") if agrees else ("FAIL", f"{engine} differs from {detail}")


def check_certificate() -> Outcome:
    """A network of the default recipe is certified, and one with a strong area is not."""
    from dataclasses import replace

    from topo_search.graph import Area, ModuleGraph
    from topo_search.model import NetworkConfig, build_network, certify_matrices

    graph = ModuleGraph([Area(8, is_input=True), Area(8, is_output=True)], [(0, 1)])
    matrices = build_network(graph, NetworkConfig(dt=0.1), channels=1, classes=2, seed=0).matrices()
    good = certify_matrices(matrices)
    bad = certify_matrices(replace(matrices, area_weights=3 * matrices.area_weights))
    if good.certified and not bad.certified:
        return "ok", f"accepts a stable network (rho {good.rho:.4f}), refuses an unstable one"
    return "FAIL", "verdicts are wrong"
