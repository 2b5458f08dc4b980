"""What a page is made from: a run's trials, and the files that it left, as far as a page shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from topo_search.graph import ModuleGraph
from topo_search.search import SearchSpace, Trial

__all__ = [
    "Agreement",
    "Paired",
    "RunRecord",
    "Summary",
    "Training",
    "WinnerCertificate",
    "WinnerMetrics",
    "WinnerRecord",
]

Share = Annotated[float, Field(ge=0, le=1)]
Difference = Annotated[float, Field(ge=-1, le=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
# Seeds are below 2^63, and so is all that is counted.
Count = Annotated[int, Field(ge=0, lt=2**63)]
Kind = Literal["winner", "random", "random_parameters", "rewired", "global_workspace", "all_edges"]


class _Read(BaseModel):
    """Entries of later versions are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Agreement(_Read):
    """How well a rung ranks the candidates; see :class:`topo_search.search.RankAgreement`."""

    epochs: Count
    against: Count
    tau: Difference | None
    low: Difference | None
    high: Difference | None
    n: Count


class Paired(_Read):
    """The best winner against the controls of a kind; see :class:`topo_search.analysis.GroupComparison`."""

    mean: Difference
    low: Finite | None
    high: Finite | None
    n: Annotated[int, Field(ge=1, le=100_000)]
    p_t: Share | None
    p_sign_flip: Share | None
    crossed_low: Difference | None
    crossed_high: Difference | None
    graphs: tuple[Count, Count]
    beaten: Share


class _Place(_Read):
    rank: Annotated[int, Field(ge=1)]


class Summary(_Read):
    """What a finished run says of itself, as far as a page shows it."""

    budget: Count
    notes: tuple[str, ...]
    space_exhausted: bool
    rank_agreement: tuple[Agreement, ...]
    winners: tuple[_Place, ...]
    paired: Mapping[Kind, Paired | None]

    @model_validator(mode="after")
    def _rising(self) -> Self:
        ranks = [winner.rank for winner in self.winners]
        if ranks != sorted(set(ranks)):
            raise ValueError("expected winners by rank, each once")
        return self


class Training(_Read):
    """A row of ``comparison.csv``: a graph, trained in full with one seed; ``None`` where that diverged."""

    graph_key: str
    kind: Kind
    seed: Count
    edges: Count
    parameters: Count | None
    validation_accuracy: Share | None
    test_accuracy: Share | None


class WinnerMetrics(_Read):
    """``metrics.json`` of a winner, as far as a page shows it."""

    trial: Count
    graph_key: str
    search_score: Share
    rescored_validation_accuracy: tuple[Share, ...]
    # None where that training diverged.
    test_accuracy: tuple[Share | None, ...]
    saved_seed: Count
    parameters: Count


class WinnerCertificate(_Read):
    """``certificate.json`` of a winner, as far as a page shows it."""

    certified: bool
    reason: str
    rho: Finite | None
    rate: Finite | None
    integrator: str
    model_sha256: str

    @model_validator(mode="after")
    def _contracts(self) -> Self:
        if self.certified and (self.rho is None or not 0 < self.rho < 1):
            raise ValueError(f"rho is {self.rho}, expected a factor below 1 of what is certified")
        return self


@dataclass(frozen=True)
class WinnerRecord:
    """A winner as its folder tells of it.

    Attributes:
        rank: from 1.
        graph: of areas.
        metrics: accuracies and seeds.
        certificate: verdict on the saved network.
        intact: whether the weights beside the certificate are the ones that it names.
    """

    rank: int
    graph: ModuleGraph
    metrics: WinnerMetrics
    certificate: WinnerCertificate
    intact: bool


@dataclass(frozen=True)
class RunRecord:
    """A run, as far as it has come.

    Attributes:
        name: of its folder.
        space: that was searched.
        run: the section ``run`` of its ``space.yaml``.
        budgets: that were given, in that order.
        trials: that have ended, in order of proposal.
        summary: ``None`` while the run is not finished.
        trainings: of winners and controls; empty while the run is not finished.
        winners: best first; empty while the run is not finished.
    """

    name: str
    space: SearchSpace
    run: Mapping[str, Any]
    budgets: tuple[int, ...]
    trials: tuple[Trial, ...]
    summary: Summary | None
    trainings: tuple[Training, ...]
    winners: tuple[WinnerRecord, ...]

    @property
    def candidates(self) -> list[Trial]:
        """Candidates with a score, best first: those at higher rungs first, within a rung by score."""
        scored = [trial for trial in self.trials if trial.is_candidate and trial.score is not None]
        return sorted(scored, key=lambda trial: (-trial.rung, -(trial.score or 0.0), trial.number))
