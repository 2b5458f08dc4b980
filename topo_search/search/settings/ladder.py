"""Settings of the fidelity ladder."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from topo_search.search.settings.base import Count, Settings

__all__ = ["LadderConfig"]


class LadderConfig(Settings):
    """The fidelity ladder: successive halving over epochs.

    - ``rungs``: epochs of each rung, increasing.
    - ``keep``: a trial goes to the next rung when fewer than one in ``keep`` of the results in view at its rung are
      better.
    - ``window``: how many of the latest results at a rung are in view; a population that improves would otherwise
      promote nearly every newcomer over the first, weaker ones.
    """

    rungs: tuple[Count, ...] = (6, 12, 24)
    keep: Annotated[int, Field(ge=2, strict=True)] = 3
    window: Annotated[int, Field(ge=1, strict=True)] = 60

    @field_validator("rungs")
    @classmethod
    def _increasing(cls, rungs: tuple[int, ...]) -> tuple[int, ...]:
        if not rungs or list(rungs) != sorted(set(rungs)):
            raise ValueError(f"rungs must be increasing numbers of epochs, got {list(rungs)}")
        return rungs
