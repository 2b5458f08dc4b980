"""Validated settings of a network: everything of it that is not its graph."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from topo_search.engine import Activation, Integrator

__all__ = ["NetworkConfig", "SparseRecipe", "Stability"]

Stability = Literal["certified", "continuous", "as_released", "unconstrained"]


class SparseRecipe(BaseModel):
    """The sparse recipe of Theorem 1 (Kozachkov et al.): few strong weights, accepted by rejection.

    ``round(density * n^2)`` entries, uniform in ``[-magnitude, magnitude]``, diagonal zeroed, kept when the spectral
    radius of the weight magnitudes is below 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    density: float = Field(default=0.033, gt=0, le=1)
    magnitude: float = Field(default=6.0, gt=0, le=1e3)
    tries: int = Field(default=2000, ge=1, le=1_000_000)


class NetworkConfig(BaseModel):
    """Settings of a network.

    - ``stability: certified`` contracts in discrete time: Cayley steps at any coupling strength, or Euler with its
      coupling norm held below the certified cap. ``continuous`` is Euler without the cap (certified as a differential
      equation only). ``as_released`` is the published arm as its code runs: Euler, identity metric, ``L = B - B^T`` in
      original units, area weights as drawn; never certified. ``unconstrained`` is the control without negative
      feedback: the two directions of an edge are trained apart.
    - ``integrator: auto`` is ``cayley`` when certified and ``euler`` otherwise. ``edge_cayley`` applies a Cayley step
      for each edge, in an order that is part of the model; like ``cayley`` it is for ``certified`` alone.
    - ``area_norm`` is s, the spectral norm that each area's weights are rescaled to in metric coordinates.
    - ``recipes`` gives areas of a certain size a recipe of their own (the paper: hubs of 64 and 128 units at density
      0.01 and magnitude 5).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stability: Stability = "certified"
    integrator: Literal["auto", "cayley", "edge_cayley", "euler"] = "auto"
    activation: Activation = "relu"
    dt: float = Field(default=0.03, gt=0, le=10)
    tau: float = Field(default=1.0, gt=0, le=1e6)
    area_norm: float = Field(default=0.9, gt=0, lt=1)
    recipe: SparseRecipe = SparseRecipe()
    recipes: dict[int, SparseRecipe] = {}
    coupling_scale: float = Field(default=1.0, ge=0, le=1e3)
    input_scale: float = Field(default=1.0, gt=0, le=1e3)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.dt > self.tau:
            raise ValueError(
                f"dt must not exceed tau: a step dt / tau is certified in (0, 1], got {self.dt / self.tau}"
            )
        if self.integrator not in {"auto", "euler"} and self.stability != "certified":
            raise ValueError(f"stability {self.stability} runs with integrator euler, got integrator {self.integrator}")
        return self

    @property
    def h(self) -> float:
        """The step ``dt / tau``."""
        return self.dt / self.tau

    @property
    def step_rule(self) -> Integrator:
        """The integrator, ``auto`` resolved."""
        if self.integrator != "auto":
            return self.integrator
        return "cayley" if self.stability == "certified" else "euler"

    @property
    def rescaled(self) -> bool:
        """Whether area weights are brought to metric coordinates and to the norm ``area_norm``."""
        return self.stability != "as_released"

    def recipe_for(self, size: int) -> SparseRecipe:
        """The recipe of areas of this size."""
        return self.recipes.get(size, self.recipe)
