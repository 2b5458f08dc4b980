"""One training step, three ways: the compiled engine, the reference engine, and a plain autograd loop."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from bench.problem import Problem
from topo_search.engine import rollout
from topo_search.engine.native import native_status
from topo_search.errors import InputError
from topo_search.model import ComboNet

__all__ = ["AutogradLoop", "Engine", "TrainingStep", "autograd_step", "engine_in_use", "rollout_step"]

# So small that the weights, and with them the work, stay the same over all repeats; Adam's cost does not depend on it.
LEARNING_RATE = 1e-6

Engine = Literal["native", "reference"]


class TrainingStep:
    """Forward pass, cross-entropy on the last state, backward pass, one step of Adam.

    Args:
        logits: from ``(T, B, C)`` to ``(B, classes)``.
        parameters: that are trained.
        inputs: ``(T, B, C)``.
        labels: ``(B,)``.
    """

    def __init__(
        self,
        logits: Callable[[Tensor], Tensor],
        parameters: Iterable[nn.Parameter],
        inputs: Tensor,
        labels: Tensor,
    ) -> None:
        self.logits, self.inputs, self.labels = logits, inputs, labels
        self.optimiser = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True)

    def __call__(self, steps: int | None = None) -> float:
        """Train on the first ``steps`` time steps, all where not given; the loss before the update."""
        self.optimiser.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(self.logits(self.inputs[:steps]), self.labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return float(loss.detach())


def engine_in_use() -> tuple[Engine, str]:
    """The engine that the row ``engine`` times, ``native`` or ``reference``, and a line on it for people."""
    status = native_status()
    if status.module is None:
        return "reference", f"reference ({status.reason})"
    return "native", status.engine


def rollout_step(problem: Problem, engine: Engine, *, state_budget: int | None = None) -> TrainingStep:
    """The step of our network through an engine.

    Args:
        problem: network and data; the weights are copied.
        engine: ``native`` or ``reference``.
        state_budget: bytes of states that the engine keeps, 0 for no limit; its own choice where not given.

    Raises:
        ValueError: if the native engine is asked for and cannot serve.
    """
    network: ComboNet = copy.deepcopy(problem.network)

    def logits(inputs: Tensor) -> Tensor:
        states = rollout(
            problem.dynamics,
            inputs,
            input_weights=network.dense_input_weights(),
            bias=network.input_bias,
            area_weights=network.area_weights,
            forward=network.coupling,
            engine=engine,
            state_budget=state_budget,
        )
        return network.readout(states)

    return TrainingStep(logits, network.parameters(), problem.inputs, problem.labels)


class AutogradLoop(nn.Module):
    """The network as the field writes it: dense masked matrices in a Python loop, differentiated by autograd.

    Per time step a ReLU, two dense products, the projection of the input and the Euler update, on states ``(B, N)``.
    The coupling is a dense parameter whose mask is applied once a training step. With Cayley steps the product with L
    becomes one with the dense step matrix, made once a training step by ``torch.linalg.solve``; with edge-wise steps
    even and odd time steps have a matrix each.

    Raises:
        InputError: if an area is not read out, or the areas differ in size.
    """

    area_weights: Tensor
    mask: Tensor

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        network, layout = problem.network, problem.dynamics.layout
        if len(network.graph.output_areas) != len(layout.sizes) or not layout.equal_sizes:
            raise InputError("the autograd loop takes areas of one size that are all read out")
        self.layout, self.h, self.integrator = layout, problem.dynamics.h, problem.dynamics.integrator
        self.register_buffer("area_weights", layout.dense_area_weights(network.area_weights))
        self.register_buffer("mask", layout.dense_coupling(torch.ones(layout.n_coupling)))
        self.coupling = nn.Parameter(layout.dense_coupling(network.coupling.detach()))
        self.input_weights = nn.Parameter(network.dense_input_weights().detach().clone())
        self.input_bias = nn.Parameter(network.input_bias.detach().clone())
        self.readout = nn.Linear(layout.n_units, network.classes)
        with torch.no_grad():
            self.readout.weight.copy_(network.readout_weights)
            self.readout.bias.copy_(network.readout_bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits ``(B, classes)`` after the last of the inputs ``(T, B, C)``."""
        masked = self.coupling * self.mask
        skew = masked - masked.t()
        runs = {"euler": self._euler, "imex": self._settled, "resolvent": self._settled}
        run = runs.get(self.integrator, self._cayley)
        result: Tensor = self.readout(run(inputs, skew))
        return result

    def _euler(self, inputs: Tensor, skew: Tensor) -> Tensor:
        h, area_t, coupling_t, input_t = self.h, self.area_weights.t(), skew.t(), self.input_weights.t()
        x = inputs.new_zeros(inputs.shape[1], self.layout.n_units)
        for u in inputs:
            x = x + h * (-x + torch.relu(x) @ area_t + x @ coupling_t + u @ input_t + self.input_bias)
        return x

    def _cayley(self, inputs: Tensor, skew: Tensor) -> Tensor:
        matrices = [_solve_cayley(skew, self.h)] if self.integrator == "cayley" else self._edge_steps(skew)
        h, area_t, input_t = self.h, self.area_weights.t(), self.input_weights.t()
        x = inputs.new_zeros(inputs.shape[1], self.layout.n_units)
        for t, u in enumerate(inputs):
            y = x @ matrices[t % len(matrices)].t()
            x = y + h * (-y + torch.relu(y) @ area_t + u @ input_t + self.input_bias)
        return x

    def _settled(self, inputs: Tensor, skew: Tensor) -> Tensor:
        """Resolvent and IMEX steps: the coupling is solved for after the local step."""
        carry = float(self.integrator == "imex")
        h, area_t, input_t = self.h, self.area_weights.t(), self.input_weights.t()
        solve = torch.linalg.inv(torch.eye(len(skew), dtype=skew.dtype) - h / (1 + carry) * skew).t()
        x = inputs.new_zeros(inputs.shape[1], self.layout.n_units)
        for u in inputs:
            local = x + h * (-x + torch.relu(x) @ area_t + u @ input_t + self.input_bias)
            x = (local + carry * x) @ solve - carry * x
        return x

    def _edge_steps(self, skew: Tensor) -> list[Tensor]:
        """The products of all edges' Cayley steps, ``(N, N)``: the first edge first (even time steps), and last."""
        layout, n = self.layout, self.layout.sizes[0]
        blocks = skew.view(len(layout.sizes), n, len(layout.sizes), n).transpose(1, 2)
        low, high = torch.tensor(layout.edges).t()
        zero = skew.new_zeros(len(low), n, n)
        pairs = torch.cat([torch.cat([zero, blocks[low, high]], 2), torch.cat([blocks[high, low], zero], 2)], 1)
        rotations = list(zip(layout.edges, _solve_cayley(pairs, self.h), strict=True))
        identity = torch.eye(layout.n_units, dtype=skew.dtype)
        result = []
        for ordered in (rotations, rotations[::-1]):
            rows = list(torch.split(identity, n))
            for (i, j), rotation in ordered:
                rows[i], rows[j] = torch.split(rotation @ torch.cat([rows[i], rows[j]]), n)
            result.append(torch.cat(rows))
        return result


def _solve_cayley(skew: Tensor, h: float) -> Tensor:
    """``(I - h K / 2)^-1 (I + h K / 2)`` of one matrix or of a batch."""
    identity = torch.eye(skew.shape[-1], dtype=skew.dtype)
    step: Tensor = torch.linalg.solve(identity - 0.5 * h * skew, identity + 0.5 * h * skew)
    return step


def autograd_step(problem: Problem) -> TrainingStep:
    """The step of the plain autograd loop on the same weights and data."""
    loop = AutogradLoop(problem)
    return TrainingStep(loop, loop.parameters(), problem.inputs, problem.labels)
