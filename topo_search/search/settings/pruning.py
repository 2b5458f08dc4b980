"""Settings of the strategies that learn from the weights of a pretrained network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from topo_search.search.settings.base import Count, Settings, Share

__all__ = ["Parent", "PruningConfig", "SparseTrainingConfig"]

Parent = Literal["dense", "half", "quarter", "blocks"]


class PruningConfig(Settings):
    """Pruning after short pretraining; see :class:`topo_search.search.strategies.MagnitudeStrategy`.

    - ``epochs``: of pretraining; the first rung's where not given.
    - ``parents``: what is pretrained, in turn: ``dense`` has all allowed edges; ``half`` and ``quarter`` a random share
      of them; ``blocks`` all those inside groups of consecutive areas, and what connects inputs to outputs.
    - ``blocks``: how many groups.
    - ``children``: candidates from one pretrained parent.
    - ``keep``: shares of the allowed edges that the children have, in turn; the edge budget where not given, and never
      more than that.
    - ``hubs``: how many of the children are global workspaces, with the areas that scored best as their hubs.
    - ``gradual``: steps of pruning from a parent to its children; what lies between is pretrained again.
    - ``temperature``: of the noise on the scores of all children but the first, in standard deviations of their
      logarithms.
    - ``ahead``: pretrainings in flight at once, for each gradual step; beyond that, random graphs are proposed.
    """

    epochs: Count | None = None
    parents: tuple[Parent, ...] = ("dense", "half")
    blocks: Annotated[int, Field(ge=2, strict=True)] = 2
    children: Count = 8
    keep: tuple[Share, ...] = ()
    hubs: Annotated[int, Field(ge=0, strict=True)] = 2
    gradual: Count = 1
    temperature: Annotated[float, Field(ge=0, le=100)] = 0.5
    ahead: Count = 2

    @field_validator("parents")
    @classmethod
    def _some_parent(cls, parents: tuple[Parent, ...]) -> tuple[Parent, ...]:
        if not parents:
            raise ValueError("parents must name at least one of dense, half, quarter and blocks")
        return parents


class SparseTrainingConfig(Settings):
    """Edges that move while a network trains; see :class:`topo_search.search.strategies.RigLStrategy`.

    - ``epochs``: of a training with moves; the first rung's where not given.
    - ``drop_fraction``: share of the edges that move at first.
    - ``every``: epochs between moves.
    - ``from_best``: share of trainings that begin from the edges of the best candidate so far instead of random ones.
    - ``ahead``: such trainings in flight at once; beyond that, random graphs are proposed.
    """

    epochs: Count | None = None
    drop_fraction: Share = 0.3
    every: Count = 1
    from_best: Share = 0.5
    ahead: Count = 4
