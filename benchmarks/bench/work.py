"""How much arithmetic a training step needs, and what the slow contenders may be asked to do."""

from __future__ import annotations

from bench.contenders import Engine
from bench.problem import Problem
from topo_search.engine import AreaLayout, Dynamics
from topo_search.engine.native import useful_multiplies

__all__ = ["longest_affordable", "useful_work"]

# The slow contenders are not asked for more than this before the first time step, nor for more of the free memory.
SETUP_SECONDS = 10.0
MEMORY_SHARE = 0.7
FLOAT = 4
COPY_SPEED = 1e10


def useful_work(problem: Problem, engine: Engine) -> tuple[int, str]:
    """Multiply-adds that a training step needs per time step and sequence, and the form of the coupling counted.

    Area weights (about one entry a unit) and the input projection are not counted. With ``n_i n_j`` the entries of an
    edge's block, and its transposed block in the other direction:

    - ``euler``: 2 ``n_i n_j`` an edge for the product, as much for its transpose, as much for the gradient: 6;
    - ``edge_cayley``: 4 for the pair's rotation, 4 for its transpose, 2 for the gradient: 10;
    - ``cayley``: by the form that the native engine executes; the reference multiplies by a dense step matrix: ``N^2``,
      ``N^2`` for its transpose, and 2 ``n_i n_j`` an edge for the gradient.
    """
    layout = problem.dynamics.layout
    if engine == "reference" and problem.dynamics.integrator == "cayley":
        return 2 * layout.n_units**2 + 2 * layout.n_coupling, "dense"
    return useful_multiplies(problem.dynamics, problem.network.coupling)


def _setup_seconds(contender: str, layout: AreaLayout, integrator: str, gflops: float) -> float:
    """Estimated time for the step matrices of a training step and their gradient."""
    n, edges = layout.n_units, len(layout.edges)
    # Factorisations and products of blocks run at about half of the peak.
    speed = 0.5e9 * gflops
    if integrator == "cayley":
        return 7.0 * n**3 / speed
    if integrator == "edge_cayley":
        # Two orders, each with its gradient (twice the work); the reference also copies the whole matrix each time.
        products = 6 * edges * 2.0 * (2 * max(layout.sizes)) ** 2 * n
        copied = 6 * edges * 2.0 * FLOAT * n * n if contender == "reference" else 0.0
        return products / speed + copied / COPY_SPEED
    return 0.0


def _memory(contender: str, layout: AreaLayout, integrator: str, batch: int) -> tuple[float, float]:
    """Bytes that a training step takes whatever its length, and bytes for each time step; generous."""
    n = layout.n_units
    floats = (12.0 if contender == "autograd" else 8.0) * n * n
    if integrator == "edge_cayley":
        floats += 4.0 * len(layout.edges) * 2 * max(layout.sizes) * n
    return FLOAT * floats, FLOAT * 4.0 * n * batch


def longest_affordable(
    contender: str, dynamics: Dynamics, *, batch: int, steps: int, gflops: float, memory: float
) -> int:
    """Time steps that a slow contender may be asked for, at most ``steps``; 0 if it cannot be run here at all.

    Args:
        contender: ``reference`` or ``autograd``.
        dynamics: network and integrator.
        batch: sequences.
        steps: of the task.
        gflops: measured peak of dense products.
        memory: free bytes.
    """
    setup = _setup_seconds(contender, dynamics.layout, dynamics.integrator, gflops)
    fixed, each = _memory(contender, dynamics.layout, dynamics.integrator, batch)
    room = int((MEMORY_SHARE * memory - fixed) / each)
    return 0 if setup > SETUP_SECONDS or room < 4 else min(steps, room)
