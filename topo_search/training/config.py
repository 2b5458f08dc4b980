"""Validated settings of training, and the published protocol as a preset."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["PRESETS", "TrainingConfig", "UnitPruning"]

PRESETS: dict[str, dict[str, Any]] = {
    # Ennis, Kozachkov and Slotine, section S.3: batch 128, learning rate 0.002, 250 epochs, two cuts. The paper says
    # that the cuts of the earlier work were pushed back by 50 epochs each; epochs 140 and 190 and the factor 0.1 are
    # our reading of the two papers, not a printed figure.
    "published": {
        "epochs": 250,
        "batch_size": 128,
        "learning_rate": 0.002,
        "schedule": "step",
        "cuts": (140, 190),
        "cut_factor": 0.1,
    },
}


class UnitPruning(BaseModel):
    """Pruning of pairs of units inside the edges while a network trains.

    - ``fraction``: share of the pairs of units of two joined areas that is gone after the last pruning.
    - ``epochs``: after which epochs, increasing; each pruning takes the same share of what is left. It happens when the
      next epoch begins: a training that stops here is not pruned yet.
    - ``scope``: ``edge`` prunes each edge alike; ``network`` compares the pairs of all edges.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fraction: float = Field(gt=0, lt=1)
    epochs: tuple[int, ...]
    scope: Literal["edge", "network"] = "edge"

    @model_validator(mode="after")
    def _increasing(self) -> Self:
        if not self.epochs or list(self.epochs) != sorted(set(self.epochs)) or self.epochs[0] < 1:
            raise ValueError(f"unit_pruning.epochs must be increasing epochs from 1, got {list(self.epochs)}")
        return self

    def share_after(self, epoch: int) -> float:
        """Share of all pairs that is gone after the pruning that follows this epoch."""
        done = sum(due <= epoch for due in self.epochs)
        return float(1 - (1 - self.fraction) ** (done / len(self.epochs)))


class TrainingConfig(BaseModel):
    """Settings of training with Adam.

    - ``preset: published`` fills in the protocol of the paper; entries given beside it take precedence.
    - ``schedule``: ``constant``; ``step`` multiplies the learning rate by ``cut_factor`` at the end of each epoch in
      ``cuts``; ``cosine`` falls to ``final_factor`` of it at ``epochs``. Schedules run over ``epochs`` also where a
      rung stops earlier, so that a short training is the beginning of the full one.
    - ``clip_norm``: largest norm of the gradient; ``null`` for none.
    - ``unit_pruning``: pairs of units that are pruned from the edges on the way; none where not given.
    - A loss that is not finite or above ``divergence_loss`` ends the training as diverged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Literal["published"] | None = None
    epochs: int = Field(default=24, ge=1, le=100_000)
    batch_size: int = Field(default=64, ge=1, le=1_000_000)
    learning_rate: float = Field(default=5e-3, gt=0, le=10)
    weight_decay: float = Field(default=0.0, ge=0, le=10)
    schedule: Literal["constant", "step", "cosine"] = "constant"
    cuts: tuple[int, ...] = ()
    cut_factor: float = Field(default=0.1, gt=0, le=1)
    final_factor: float = Field(default=0.0, ge=0, le=1)
    clip_norm: float | None = Field(default=1.0, gt=0)
    divergence_loss: float = Field(default=1e4, gt=0)
    unit_pruning: UnitPruning | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill_preset(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("preset"), str) and values["preset"] in PRESETS:
            return {**PRESETS[values["preset"]], **values}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.schedule == "step" and not self.cuts:
            raise ValueError("schedule step needs cuts: expected epochs such as [140, 190]")
        if list(self.cuts) != sorted(set(self.cuts)) or any(cut < 1 for cut in self.cuts):
            raise ValueError(f"cuts must be increasing epochs from 1, got {list(self.cuts)}")
        if self.unit_pruning is not None and self.unit_pruning.epochs[-1] >= self.epochs:
            raise ValueError(
                f"unit_pruning.epochs must lie before the last epoch, {self.epochs}: expected time to train after it, "
                f"got {list(self.unit_pruning.epochs)}"
            )
        return self
