"""Settings of the fidelity ladder."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from topo_search.search.settings.base import Count, Settings

__all__ = ["LadderConfig"]


class LadderConfig(Settings):
    """The fidelity ladder: successive halving over epochs.

    - ``rungs``: epochs of each rung, increasing.
    - ``keep``: a trial goes to the next rung when fewer than one in ``keep`` of the results in view at its rung are
      better.
    - ``window``: how many of the latest results at a rung are in view; a population that improves would otherwise
      promote nearly every newcomer over the first, weaker ones.
    - ``brackets``: 1 starts every trial on the first rung; more are Hyperband's brackets: trials of bracket k start on
      rung k, and each bracket costs about as many epochs. A hedge against a first rung that misleads.
    - ``curve_stop``: not given, or how many residuals above its fit a learning curve's extrapolation is taken: a trial
      that even so stays below the best score at the top rung is not promoted.
    """

    rungs: tuple[Count, ...] = (6, 12, 24)
    keep: Annotated[int, Field(ge=2, strict=True)] = 3
    window: Annotated[int, Field(ge=1, strict=True)] = 60
    brackets: Count = 1
    curve_stop: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @field_validator("rungs")
    @classmethod
    def _increasing(cls, rungs: tuple[int, ...]) -> tuple[int, ...]:
        if not rungs or list(rungs) != sorted(set(rungs)):
            raise ValueError(f"rungs must be increasing numbers of epochs, got {list(rungs)}")
        return rungs

    @model_validator(mode="after")
    def _rung_for_each_bracket(self) -> Self:
        if self.brackets > len(self.rungs):
            raise ValueError(f"brackets must be at most the number of rungs, {len(self.rungs)}, got {self.brackets}")
        return self
