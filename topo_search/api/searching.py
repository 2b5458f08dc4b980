"""Search a space; go on with a search."""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topo_search.api.setup import (
    NoticeCallback,
    Setup,
    Space,
    check_budget,
    check_seed,
    new_folder_path,
    prepare,
    without_password,
)
from topo_search.api.starting import Start
from topo_search.config import parse_space, read_space_file, space_to_yaml
from topo_search.errors import InputError
from topo_search.files import read_json, write_atomically, write_json
from topo_search.graph import ModuleGraph
from topo_search.report.tables import group_comparison
from topo_search.search import (
    Comparison,
    EvaluationLog,
    ProgressCallback,
    RunFolder,
    SearchDriver,
    SearchStudy,
    Trial,
    compare_winners,
    has_study,
    open_storage,
    rescore,
)
from topo_search.search.agreement import RankAgreement, measure_agreement
from topo_search.search.objectives import leading_trials
from topo_search.search.versions import versions

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["SearchResult", "Winner", "evolve", "is_finished", "resume"]


@dataclass(frozen=True)
class Winner:
    """A graph that a search found, trained in full.

    Attributes:
        rank: from 1.
        trial: number of the proposal.
        module_graph: the graph with its areas.
        validation_accuracy: of the best epoch, one a seed.
        test_accuracy: one a seed; the test part was read once for each.
        certified: whether the saved network is certified in discrete time.
        rho: certified factor a step.
        path: folder of the saved network.
    """

    rank: int
    trial: int
    module_graph: ModuleGraph
    validation_accuracy: tuple[float, ...]
    test_accuracy: tuple[float, ...]
    certified: bool
    rho: float
    path: Path

    @property
    def graph(self) -> nx.Graph[int]:
        """The graph as a plain ``networkx.Graph``, with ``size`` and ``role`` on its nodes."""
        return self.module_graph.graph


@dataclass(frozen=True)
class SearchResult:
    """What a search left behind.

    Attributes:
        folder: of the run.
        trials: in order of proposal.
        winners: best first; empty if no trial could be trained.
        comparison: winners and controls in full training; ``None`` where there is no winner.
        evaluated: evaluations that ran now; 0 where the run was finished already.
        exhausted: whether the space held fewer graphs than the budget.
        agreement: how well each rung below the top ranks candidates; empty where it was not measured.
        inherited: whether children began with their parents' coupling.
    """

    folder: Path
    trials: tuple[Trial, ...]
    winners: tuple[Winner, ...]
    comparison: Comparison | None
    evaluated: int
    exhausted: bool
    agreement: tuple[RankAgreement, ...] = ()
    inherited: bool = False

    @property
    def pretrainings(self) -> int:
        """Trials that were no candidates: they were trained to learn which edges matter."""
        return sum(not trial.is_candidate for trial in self.trials)

    @property
    def notes(self) -> tuple[str, ...]:
        """What must be known to read the trials' scores, one sentence each."""
        notes = []
        if self.inherited:
            notes.append(
                "children began with their parents' coupling: scores are not those of training from scratch "
                "(those of winners and controls are)"
            )
        if self.pretrainings:
            notes.append(f"{self.pretrainings} of {len(self.trials)} trials were pretrainings, not candidates")
        return tuple(notes)

    @property
    def best(self) -> Winner:
        """The first winner.

        Raises:
            LookupError: if there is none.
        """
        if not self.winners:
            raise LookupError("the search has no winner: every training diverged")
        return self.winners[0]


def evolve(
    space: Space = "digits",
    *,
    budget: int = 200,
    strategy: str | None = None,
    seed: int = 0,
    workers: int | None = None,
    out: str | Path | None = None,
    storage: str | None = None,
    device: str = "auto",
    data_dir: str | Path | None = None,
    download: bool = False,
    overrides: Sequence[str] = (),
    start: Start | Sequence[Start] = (),
    on_progress: ProgressCallback | None = None,
    on_folder: Callable[[Path], None] | None = None,
    on_notice: NoticeCallback | None = None,
) -> SearchResult:
    """Search a space, train the winners and their controls in full, and leave everything in a folder.

    Args:
        space: name of a shipped space, a YAML file, or a :class:`SearchSpace`.
        budget: candidates evaluated; graphs that were scored before are not counted.
        strategy: only this one, whatever the space says.
        seed: of the search; with it the result is the same for any number of workers (on a CPU).
        workers: evaluations side by side; one a core where not given.
        out: folder of the run; ``outputs/<space>-<date>-<id>`` where not given.
        storage: of the Optuna study, as a URL; a journal file in the folder where not given.
        device: ``auto``, ``cpu`` or ``cuda``.
        data_dir: where data sets lie.
        download: fetch the data set where it is missing.
        overrides: ``key=value`` entries put into the space.
        start: graphs that are proposed first: each a graph, a ``.json``, ``.graphml`` or ``.csv`` file, or the folder
            of a winner or a run; see :func:`topo_search.api.starting.with_starts`.
        on_progress: told what happens.
        on_folder: told the run's folder before anything runs.
        on_notice: told then if the reference engine serves, and why.

    Raises:
        InputError: if anything given is wrong; nothing was written then.
    """
    check_budget(budget)
    check_seed(seed)
    setup = prepare(
        space,
        overrides=overrides,
        strategy=strategy,
        workers=workers,
        device=device,
        data_dir=data_dir,
        download=download,
        out=out,
        start=start,
    )
    path = new_folder_path(setup.space.name) if out is None else Path(out)
    if storage is not None and has_study(open_storage(storage), path.resolve().name):
        raise InputError(f"study {path.resolve().name!r} exists in the storage: give --out with another name")
    folder = RunFolder(path)
    folder.create()
    folder.lock()
    try:
        run = {
            "seed": seed,
            "budget": budget,
            "study": path.resolve().name,
            "storage": None if storage is None else without_password(storage),
            "device": setup.device,
            "engine": setup.engine,
            "data_dir": None if data_dir is None else str(Path(data_dir).resolve()),
            "versions": versions(),
        }
        write_atomically(folder.space, space_to_yaml(setup.space, run))
        if on_folder is not None:
            on_folder(path)
        setup.notify(on_notice)
        return _run_search(folder, setup, run, storage=storage, budget=budget, on_progress=on_progress)
    finally:
        folder.unlock()


def resume(
    folder: str | Path,
    *,
    budget: int | None = None,
    workers: int | None = None,
    storage: str | None = None,
    device: str | None = None,
    data_dir: str | Path | None = None,
    on_progress: ProgressCallback | None = None,
    on_notice: NoticeCallback | None = None,
) -> SearchResult:
    """Go on with a run that was interrupted, or extend one that is finished.

    Args:
        folder: of the run.
        budget: a larger budget; the earlier one is ended first, so that the result does not depend on the interruption.
        workers: evaluations side by side; any number gives the same search.
        storage: URL of the study, needed where it has a password.
        device: other than the run's.
        data_dir: other than the run's.
        on_progress: told what happens.
        on_notice: told before anything runs if the reference engine serves, and if the run was begun with another one.

    Returns:
        The result; ``evaluated`` is 0 where the run was finished already.

    Raises:
        InputError: if the folder is no run, another driver holds it, or the budget is below the run's.
    """
    run_folder = RunFolder(Path(folder))
    if not run_folder.space.is_file():
        raise InputError(f"{folder} is not a run: expected a folder with space.yaml that evolve left behind")
    values, where = read_space_file(run_folder.space)
    run = values.get("run")
    if not isinstance(run, dict) or not {"seed", "budget", "study"} <= set(run):
        raise InputError(f"{where}: it has no section run: expected the space.yaml that evolve left behind")
    space = parse_space(values, where=where)
    if budget is not None and check_budget(budget) < run["budget"]:
        raise InputError(f"budget {budget} is below the run's {run['budget']}: expected at least as much")
    location = storage or run.get("storage")
    if location is not None and "***" in location:
        raise InputError(f"the run's study is at {location}: give --storage with the password")
    # Without a journal a killed run has no study yet; a database that does not know one that was begun is another one.
    if location is not None and run_folder.log.exists() and not has_study(open_storage(location), run["study"]):
        raise InputError(f"unknown study {run['study']!r}: expected it in the storage of the run")
    setup = prepare(
        space,
        workers=workers,
        device=device or run.get("device") or "auto",
        data_dir=data_dir or run.get("data_dir"),
    )
    run_folder.create()
    run_folder.lock()
    try:
        setup.notify(on_notice, begun_with=run.get("engine"))
        wanted = budget or run["budget"]
        return _run_search(run_folder, setup, run, storage=location, budget=wanted, on_progress=on_progress)
    finally:
        run_folder.unlock()


def is_finished(folder: str | Path, budget: int | None = None) -> bool:
    """Whether a run has ended with this budget, its own where none is given.

    Raises:
        InputError: if the summary of the run is corrupt.
    """
    run_folder = RunFolder(Path(folder))
    if not (run_folder.space.is_file() and run_folder.summary.is_file()):
        return False
    values, _ = read_space_file(run_folder.space)
    done = read_json(run_folder.summary, "summary").get("budget")
    wanted = budget or (values.get("run") or {}).get("budget")
    return isinstance(done, int) and done == wanted


def _run_search(
    folder: RunFolder,
    setup: Setup,
    run: dict[str, Any],
    *,
    storage: str | None,
    budget: int,
    on_progress: ProgressCallback | None,
) -> SearchResult:
    space = setup.space
    study = SearchStudy(open_storage(storage or folder.journal), run["study"], space=space)
    budgets = study.budgets
    last = budgets[-1] if budgets else 0
    if budget < last:
        raise InputError(f"budget {budget} is below the run's {last}: expected at least as much")
    if budget > last:
        study.add_budget(budget)
        write_atomically(folder.space, space_to_yaml(space, {**run, "budget": budget}))
    seed = int(run["seed"])
    finished = is_finished(folder.path, budget)
    comparison = None
    with contextlib.closing(EvaluationLog(folder.log)) as log, setup.executor() as executor:
        driver = SearchDriver(
            space, seed=seed, study=study, log=log, executor=executor, folder=folder, on_progress=on_progress
        )
        try:
            driver.run(study.budgets)
        except BaseException:
            driver.write_tables()
            raise
        agreement = measure_agreement(driver, on_progress=on_progress)
        if agreement:
            study.record_agreement([entry.as_dict() for entry in agreement])
        leaders = leading_trials(driver.history.scored(), space.search.objectives, count=space.after.rescored)
        rescored = rescore(space, leaders, driver.pool, seed=seed, on_progress=on_progress)
        if any(entry.scores for entry in rescored):
            comparison = compare_winners(
                space, rescored, driver.pool, folder, seed=seed, finished=finished, on_progress=on_progress
            )
    trials = tuple(trial for _, trial in sorted(driver.decisions.trials.items()))
    winners = _read_winners(folder, comparison)
    result = SearchResult(
        folder.path,
        trials,
        winners,
        comparison,
        driver.pool.evaluated,
        driver.decisions.exhausted,
        agreement,
        inherited=space.search.inherit_weights,
    )
    write_json(folder.summary, _summary(result, budget))
    shutil.rmtree(folder.full, ignore_errors=True)
    shutil.rmtree(folder.rungs, ignore_errors=True)
    return result


def _read_winners(folder: RunFolder, comparison: Comparison | None) -> tuple[Winner, ...]:
    winners = []
    for entry in () if comparison is None else comparison.of_kind("winner"):
        path = folder.winners / str(entry.rank)
        if not entry.test:
            continue
        metrics = read_json(path / "metrics.json", "metrics")
        winners.append(
            Winner(
                rank=entry.rank,
                trial=int(metrics["trial"]),
                module_graph=entry.graph,
                validation_accuracy=entry.validation,
                test_accuracy=entry.test,
                certified=bool(metrics["certified"]),
                rho=float(metrics["rho"]),
                path=path,
            )
        )
    return tuple(winners)


def _paired(comparison: Comparison | None) -> dict[str, Any]:
    """The best winner against each kind of control, seed by seed."""
    kinds = () if comparison is None else dict.fromkeys(e.kind for e in comparison.graphs if e.kind != "winner")
    found = {kind: None if comparison is None else group_comparison(comparison, kind) for kind in kinds}
    return {kind: None if entry is None else entry.as_dict() for kind, entry in found.items()}


def _summary(result: SearchResult, budget: int) -> dict[str, Any]:
    states = [trial.state for trial in result.trials]
    gain = None if result.comparison is None else result.comparison.paired_gain("random")
    return {
        "folder": str(result.folder),
        "budget": budget,
        "trials": len(result.trials),
        "complete": states.count("COMPLETE"),
        "failed": states.count("FAIL"),
        "pretrainings": result.pretrainings,
        "inherit_weights": result.inherited,
        "notes": list(result.notes),
        "space_exhausted": result.exhausted,
        "rank_agreement": [entry.as_dict() for entry in result.agreement],
        "winners": [
            {
                "rank": winner.rank,
                "trial": winner.trial,
                "graph_key": winner.module_graph.key,
                "edges": winner.module_graph.n_edges,
                "validation_accuracy": list(winner.validation_accuracy),
                "test_accuracy": list(winner.test_accuracy),
                "certified": winner.certified,
                "rho": winner.rho,
                "path": str(winner.path),
            }
            for winner in result.winners
        ],
        "gain_over_random": None
        if gain is None
        else {"mean": gain[0], "sd": None if math.isnan(gain[1]) else gain[1], "seeds": gain[2]},
        "paired": _paired(result.comparison),
    }
