"""Searches of one space by many strategies, and full training of what they found and of controls."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from topo_search.api.setup import Setup, prepare
from topo_search.errors import InputError
from topo_search.files import read_json, write_json
from topo_search.graph import ModuleGraph, make_family
from topo_search.search import (
    EvaluationLog,
    Pool,
    Request,
    RunFolder,
    SearchDriver,
    SearchSpace,
    SearchStudy,
    candidate_network,
    find_strategies,
    open_storage,
    rescore,
    strategy_names,
)
from topo_search.search.objectives import leading_trials
from topo_search.search.settings import FamilyDraw
from topo_search.seeds import generator, seed_for
from topo_search.tasks import Task

__all__ = ["Plan", "compare_strategies", "table_of"]

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is compared.

    Attributes:
        space: name or file.
        overrides: entries put into it.
        strategies: all known ones where empty.
        budget: candidates of each search.
        searches: of each strategy, with seeds 0, 1, ...
        seeds: of full training.
        random: random control graphs.
    """

    space: str
    overrides: tuple[str, ...]
    strategies: tuple[str, ...]
    budget: int
    searches: int
    seeds: int
    random: int

    @property
    def full_seeds(self) -> list[int]:
        """Seeds that no search saw; the same for all graphs."""
        return [seed_for("strategies", "full", index) for index in range(self.seeds)]


def compare_strategies(plan: Plan, out: Path, *, workers: int, data_dir: Path | None, say: Say) -> None:
    """Run what is not there yet; leaves ``plan.json``, ``searches.json`` and ``trainings.json`` in the folder.

    Raises:
        InputError: if the folder holds another plan, or a strategy is unknown.
    """
    setup = prepare(plan.space, overrides=plan.overrides, workers=workers, data_dir=data_dir)
    names = list(plan.strategies or strategy_names())
    find_strategies(names)
    _keep_plan(plan, setup.space, out)
    rows = []
    with setup.executor() as executor:
        for seed in range(plan.searches):
            for name in names:
                rows.append(_search(plan, setup.space, name, seed, out / f"{name}-{seed}", executor, say))
                write_json(out / "searches.json", {"rows": rows})
        with contextlib.closing(EvaluationLog(out / "trainings.jsonl")) as log:
            pool = Pool(executor, log)
            graphs = {f"{row['strategy']}-{row['seed']}": ModuleGraph.from_json(row["graph"]) for row in rows}
            graphs |= _controls(plan, setup.space)
            trainings = _train(plan, setup.space, graphs, pool, say)
    shrunk = _shrunk_space(setup)
    if shrunk is not None:
        small = prepare(shrunk, workers=workers, data_dir=data_dir)
        graph = ModuleGraph(small.space.constraints.areas, small.space.constraints.allowed_edges)
        with small.executor() as executor, contextlib.closing(EvaluationLog(out / "small.jsonl")) as log:
            trainings += _train(plan, small.space, {"all_edges_small_areas-0": graph}, Pool(executor, log), say)
    write_json(out / "trainings.json", {"rows": trainings})


def _keep_plan(plan: Plan, space: SearchSpace, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    # More strategies and seeds may be added to what is there; anything else would mix what cannot be compared.
    fixed = {"space": space.model_dump(mode="json"), "budget": plan.budget}
    path = out / "plan.json"
    if path.exists() and {key: read_json(path, "plan")[key] for key in fixed} != fixed:
        raise InputError(f"{out} holds runs of another space or budget: expected a new folder")
    write_json(path, {**fixed, **asdict(plan), "space": fixed["space"]})


def _search(
    plan: Plan, space: SearchSpace, name: str, seed: int, path: Path, executor: Any, say: Say
) -> dict[str, Any]:
    """One search, and its best graph by scores on fresh seeds of validation data."""
    done = path / "best.json"
    if done.exists():
        return read_json(done, "search")
    search = space.search.model_copy(update={"strategies": {name: 1.0}})
    space = space.model_copy(update={"search": search})
    folder = RunFolder(path)
    folder.create()
    with contextlib.closing(EvaluationLog(folder.log)) as log:
        study = SearchStudy(open_storage(folder.journal), path.name, space=space)
        driver = SearchDriver(space, seed=seed, study=study, log=log, executor=executor, folder=folder)
        driver.run([plan.budget])
        leaders = leading_trials(driver.history.scored(), space.search.objectives, count=space.after.rescored)
        best = rescore(space, leaders, driver.pool, folder, seed=seed, on_progress=None)[0]
    trials = driver.decisions.trials.values()
    row = {
        "strategy": name,
        "seed": seed,
        "graph": best.trial.graph.to_json(),
        "edges": best.trial.graph.n_edges,
        "trial": best.trial.number,
        "rescored": best.mean,
        "candidates": sum(trial.is_candidate for trial in trials),
        "pretrainings": sum(not trial.is_candidate for trial in trials),
        "core_seconds": sum(trial.seconds for trial in trials),
    }
    write_json(done, row)
    say(f"{name}, search {seed}: rescored {best.mean:.4f} (trial {best.trial.number}), {row['core_seconds']:.0f} s")
    return row


def _controls(plan: Plan, space: SearchSpace) -> dict[str, ModuleGraph]:
    """Graphs that a search must beat, by kind and number."""
    constraints = space.constraints
    drawn = [("random_control", FamilyDraw(family="random_density"))] * plan.random
    graphs = {
        f"{kind}-{index}": make_family(draw.family, constraints, generator("strategies", kind, index))
        for index, (kind, draw) in enumerate(drawn)
    }
    workspace = make_family("global_workspace", constraints, generator("strategies", "global workspace"))
    graphs["global_workspace-0"] = workspace
    for index in range(3):
        graphs[f"global_workspace_filled-{index}"] = _filled(workspace, space, index)
    graphs["all_edges-0"] = ModuleGraph(constraints.areas, constraints.allowed_edges)
    return graphs


def _filled(graph: ModuleGraph, space: SearchSpace, index: int) -> ModuleGraph:
    """The graph with random edges added up to the budget."""
    missing = [edge for edge in space.constraints.allowed_edges if edge not in graph.edges]
    more = max(0, space.constraints.edge_budget - graph.n_edges)
    chosen = generator("strategies", "filled", index).choice(len(missing), min(more, len(missing)), replace=False)
    return graph.with_edges([*graph.edges, *(missing[i] for i in chosen)])


def _parameters(space: SearchSpace, task: Task, graph: ModuleGraph) -> int:
    return candidate_network(space, task, graph, seed=0).n_parameters


def _shrunk_space(setup: Setup) -> SearchSpace | None:
    """The space with areas so small that all allowed edges take as many parameters as the budget does here."""
    space, task = setup.space, setup.task
    sizes = {group.size for group in space.areas}
    if len(sizes) != 1 or space.constraints.edge_budget == len(space.constraints.allowed_edges):
        return None
    wanted = _parameters(space, task, make_family("random_density", space.constraints, generator(0, "parameters")))

    def shrunk(size: int) -> SearchSpace:
        groups = tuple(group.model_copy(update={"size": size}) for group in space.areas)
        edges = space.edges.model_copy(update={"max_edges": None})
        return SearchSpace.model_validate(
            {**space.model_dump(), "areas": [g.model_dump() for g in groups], "edges": edges.model_dump()}
        )

    def distance(size: int) -> int:
        smaller = shrunk(size)
        graph = ModuleGraph(smaller.constraints.areas, smaller.constraints.allowed_edges)
        return abs(_parameters(smaller, task, graph) - wanted)

    return shrunk(min(range(2, sizes.pop()), key=distance))


def _train(
    plan: Plan, space: SearchSpace, graphs: dict[str, ModuleGraph], pool: Pool, say: Say
) -> list[dict[str, Any]]:
    """Full training of every graph with every seed: rows."""
    keys = [(name, graph, seed) for name, graph in graphs.items() for seed in plan.full_seeds]
    # Two searches may have found one graph: it is trained once.
    unique = list({(graph.key, seed): (graph, seed) for _, graph, seed in keys}.values())
    requests = [
        (Request(graph.to_json(), space.training.epochs, seed, use_best=True, read_test=True), graph.key)
        for graph, seed in unique
    ]
    say(f"full training: {len(requests)} trainings of {len(graphs)} graphs")
    results = pool.run_all(requests, lambda _: None)
    found = {(graph.key, seed): result for (graph, seed), result in zip(unique, results, strict=True)}
    rows = []
    for name, graph, seed in keys:
        result = found[graph.key, seed]
        rows.append(
            {
                "name": name.rpartition("-")[0],
                "index": int(name.rpartition("-")[2]),
                "graph_key": graph.key,
                "seed": seed,
                "edges": graph.n_edges,
                "parameters": result.parameters,
                "validation": None if result.failed else result.best_score,
                "test": result.test_accuracy,
                "seconds": result.seconds,
            }
        )
    return rows


def table_of(rows: Sequence[dict[str, Any]], name: str, column: str) -> list[list[float]]:
    """Scores of all graphs of one name, graphs by seeds; graphs of which a training diverged are left out."""
    graphs: dict[int, list[float | None]] = {}
    for row in rows:
        if row["name"] == name:
            graphs.setdefault(row["index"], []).append(row[column])
    return [[value for value in scores if value is not None] for scores in graphs.values() if None not in scores]
