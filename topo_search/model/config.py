"""Validated settings of a network: everything of it that is not its graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from topo_search.engine import Activation, Integrator
from topo_search.model.recipes import ProductRecipe, Recipe, SparseRecipe, SymmetricRecipe

__all__ = ["AreaSettings", "Coupling", "NetworkConfig", "SparseRecipe", "Stability"]

Stability = Literal["certified", "continuous", "as_released", "unconstrained"]
Coupling = Literal["feedback", "nonlinear", "both"]

# Integrators whose certificate asks for a cap on the coupling's norm.
CAPPED = ("euler", "imex")


class AreaSettings(BaseModel):
    """Settings of one area, where it differs from the others: its recipe, its activation, its time constant."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe | None = None
    activation: Activation | None = None
    tau: float | None = Field(default=None, gt=0, le=1e6)


class NetworkConfig(BaseModel):
    """Settings of a network.

    - ``stability: certified`` contracts in discrete time: Cayley or resolvent steps at any coupling strength, or Euler
      or IMEX steps with their coupling norm held below the certified cap. ``continuous`` is Euler or IMEX without the
      cap (certified as a differential equation only). ``as_released`` is the published arm as its code runs: Euler,
      identity metric, ``L = B - B^T`` in original units, area weights as drawn; never certified. ``unconstrained`` is
      the control without negative feedback: the two directions of an edge are trained apart.
    - ``integrator: auto`` is ``cayley`` when certified and ``euler`` otherwise. ``edge_cayley`` applies a Cayley step
      for each edge, in an order that is part of the model.
    - ``area_norm`` is s, the spectral norm that each area's weights are rescaled to in metric coordinates.
    - ``recipes`` gives areas of a certain size a recipe of their own (the paper: hubs of 64 and 128 units at density
      0.01 and magnitude 5); ``areas`` gives an area, by its number, settings of its own.
    - ``coupling``: ``feedback`` is linear negative feedback; ``nonlinear`` is ``C phi(y)`` with the two directions of
      an edge trained apart, held below a small-gain bound; ``both`` is their sum.
    - ``gain_margin``: share of the small-gain bound that a nonlinear coupling must leave free.
    - ``imperfect_margin``: where given, the feedback has a trained symmetric part that leaves at least this share of
      the areas' rate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stability: Stability = "certified"
    integrator: Literal["auto", "cayley", "edge_cayley", "euler", "imex", "resolvent"] = "auto"
    activation: Activation = "relu"
    dt: float = Field(default=0.03, gt=0, le=10)
    tau: float = Field(default=1.0, gt=0, le=1e6)
    area_norm: float = Field(default=0.9, gt=0, lt=1)
    recipe: Recipe = SparseRecipe()
    recipes: dict[int, Recipe] = {}
    areas: dict[int, AreaSettings] = {}
    coupling: Coupling = "feedback"
    gain_margin: float = Field(default=0.1, gt=0, lt=1)
    imperfect_margin: float | None = Field(default=None, gt=0, lt=1)
    coupling_scale: float = Field(default=1.0, ge=0, le=1e3)
    input_scale: float = Field(default=1.0, gt=0, le=1e3)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for tau in (self.tau, *(area.tau for area in self.areas.values() if area.tau is not None)):
            if self.dt > tau:
                raise ValueError(f"dt must not exceed tau: a step dt / tau is certified in (0, 1], got {self.dt / tau}")
        if self.stability == "continuous" and self.integrator not in {"auto", *CAPPED}:
            raise ValueError(
                f"stability continuous runs with integrator euler or imex, got integrator {self.integrator}"
            )
        if self.stability in {"as_released", "unconstrained"}:
            self._check_control()
        if self.coupling != "feedback" and not self._all_diagonal:
            raise ValueError("a nonlinear coupling needs areas of diagonal metric, not recipes symmetric or product")
        if self.coupling != "feedback" and self.imperfect_margin is not None:
            raise ValueError(f"imperfect_margin goes with coupling feedback, got {self.coupling}")
        if self.capped and not self._has_cap:
            raise ValueError(
                f"certified {self.step_rule} steps have a cap only for linear negative feedback of areas of diagonal "
                "metric and one tau: take integrator cayley or resolvent"
            )
        return self

    def _check_control(self) -> None:
        if self.integrator not in {"auto", "euler"}:
            raise ValueError(f"stability {self.stability} runs with integrator euler, got integrator {self.integrator}")
        if self.coupling != "feedback" or self.imperfect_margin is not None:
            raise ValueError(f"stability {self.stability} has linear feedback alone, got coupling {self.coupling}")
        recipes = list(self._all_recipes())
        if self.stability == "as_released" and not all(r.kind == "sparse" and not r.trainable for r in recipes):
            raise ValueError("stability as_released has sparse areas that are not trained")

    def _all_recipes(self) -> Iterable[Recipe]:
        yield self.recipe
        yield from self.recipes.values()
        yield from (area.recipe for area in self.areas.values() if area.recipe is not None)

    @property
    def _all_diagonal(self) -> bool:
        return not any(isinstance(recipe, ProductRecipe | SymmetricRecipe) for recipe in self._all_recipes())

    @property
    def _has_cap(self) -> bool:
        one_tau = all(area.tau in (None, self.tau) for area in self.areas.values())
        return self.coupling == "feedback" and self.imperfect_margin is None and self._all_diagonal and one_tau

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

    @property
    def capped(self) -> bool:
        """Whether training holds the coupling norm below the cap of the integrator.

        Not where a nonlinear coupling stands alone: the bound that it is held below serves every integrator.
        """
        return self.stability == "certified" and self.step_rule in CAPPED and self.coupling != "nonlinear"

    def recipe_for(self, size: int, area: int | None = None) -> Recipe:
        """The recipe of areas of this size, or of one area by its number."""
        own = self.areas[area].recipe if area in self.areas else None
        return own or self.recipes.get(size, self.recipe)

    def activation_of(self, area: int) -> Activation:
        """The activation of an area."""
        own = self.areas[area].activation if area in self.areas else None
        return own or self.activation

    def speed_of(self, area: int) -> float:
        """The speed of an area, ``tau / tau_i``."""
        own = self.areas[area].tau if area in self.areas else None
        return self.tau / (own or self.tau)
