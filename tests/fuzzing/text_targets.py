"""Spaces and graphs, as people write them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
from support.tiny import tiny_graph, tiny_space

from fuzzing.damage import damage
from fuzzing.harness import Case, Files, Target
from fuzzing.mutators import COMMON, YAML_ONLY, damage_bytes
from topo_search.config import load_space, parse_run, read_space_file, shipped_spaces, space_to_yaml
from topo_search.graph import GraphConstraints, ModuleGraph, make_family
from topo_search.graph.adjacency_file import graph_of_matrix, read_adjacency
from topo_search.graph.repair import repair
from topo_search.graph.steiner import EXACT_TERMINALS
from topo_search.search import SearchSpace

# Of more areas than this no graph is made here: it takes long, and says nothing new.
MANY_AREAS = 200


def check_space(space: SearchSpace, case: Case) -> None:
    """A space is its own dump's, and there is a graph in it."""
    del case
    text = space_to_yaml(space)
    folder = Path("space.yaml").resolve()
    assert load_text(text) == space, folder
    constraints = space.constraints
    if len(constraints.areas) > MANY_AREAS or len(constraints.terminals) > EXACT_TERMINALS:
        return
    everything = make_family("all_to_all", constraints, np.random.default_rng(0), ignore_budget=True)
    constraints.check(everything, ignore_budget=True)
    edges = repair(set(), constraints, np.random.default_rng(0))
    assert constraints.violation(ModuleGraph(constraints.areas, edges)) is None


def load_text(text: str) -> SearchSpace:
    from topo_search.config import _read_yaml, parse_space

    return parse_space(_read_yaml(text.encode(), "dump"), where="dump")


def _spaces() -> list[Files]:
    tiny = space_to_yaml(tiny_space()).encode()
    return [{"space.yaml": content} for content in (tiny, *(path.read_bytes() for path in shipped_spaces().values()))]


SPACE = Target(_spaces, damage(), lambda folder: load_space(folder / "space.yaml"), check_space)

RUN = {
    "seed": 0, "budget": 20, "study": "tiny-1", "storage": None, "device": "cpu", "engine": "native",
    "data_dir": None, "versions": {"python": "3.11"},
}  # fmt: skip


def _damage_run(files: Files, rng: random.Random, seeds: list[Files]) -> Files:
    head, mark, tail = files["space.yaml"].partition(b"\nrun:")
    if not mark or rng.random() < 0.2:
        return damage()(files, rng, seeds)
    changed = damage()({"run.yaml": b"run:" + tail}, rng, [{"run.yaml": b"run:" + tail}])["run.yaml"]
    return {"space.yaml": head + b"\n" + changed}


def _check_run(run: dict[str, Any], case: Case) -> None:
    del case
    assert isinstance(run["seed"], int)
    assert run["seed"] >= 0
    assert run["budget"] >= 1
    assert all(run.get(name) is None or isinstance(run[name], str) for name in ("storage", "device", "data_dir"))
    assert run["study"]


RUN_SECTION = Target(
    lambda: [
        {"space.yaml": space_to_yaml(tiny_space(), run).encode()}
        for run in (RUN, {**RUN, "storage": "postgresql://user:***@host/db", "data_dir": "/data"})
    ],
    _damage_run,
    lambda folder: parse_run(*read_space_file(folder / "space.yaml")),
    _check_run,
)

_OVERRIDES = (
    b"training.batch_size=32\nstability=unconstrained", b"areas.0.count=2", b"search.start=[[[0, 1]]]",
    b"network.recipe={kind: sparse}\nedges.max_edges=null", b"network.areas={0: {activation: tanh}}",
    b"ladder.rungs=[1, 2]\nepochs=24",
)  # fmt: skip


def _damage_override(files: Files, rng: random.Random, seeds: list[Files]) -> Files:
    content = files["overrides.txt"]
    if rng.random() < 0.7:
        key, _, _ = content.partition(b"=")
        content = key + b"=" + rng.choice((*COMMON, *YAML_ONLY)).encode("utf-8", "replace")
    else:
        content = damage_bytes(content, rng, [seed["overrides.txt"] for seed in seeds])
    return {"overrides.txt": content}


def _read_overrides(folder: Path) -> SearchSpace:
    # Arguments of a command are text, with stray bytes as half surrogates.
    text = (folder / "overrides.txt").read_bytes().decode("utf-8", "surrogateescape")
    return load_space(overrides=[line for line in text.split("\n") if line])


OVERRIDES = Target(
    lambda: [{"overrides.txt": b"batch_size=16"}, {"overrides.txt": b"edges.max_edges=14\nladder.keep=4"}],
    lambda files, rng, seeds: _damage_override(
        files if rng.random() < 0.3 else {"overrides.txt": rng.choice(_OVERRIDES)}, rng, seeds
    ),
    _read_overrides,
    check_space,
)


def check_graph(graph: ModuleGraph, case: Case) -> None:
    """Edges join two areas that there are, sizes are positive, and both forms give the same graph again."""
    del case
    matrix = graph.adjacency()
    assert matrix.shape == (graph.n_areas, graph.n_areas)
    assert np.array_equal(matrix, matrix.T)
    assert not np.diagonal(matrix).any()
    assert matrix.sum() == 2 * graph.n_edges
    assert all(0 <= i < j < graph.n_areas for i, j in graph.edges)
    assert min(graph.sizes) >= 1
    for again in (ModuleGraph.from_json(graph.to_json()), ModuleGraph.from_graphml(graph.to_graphml())):
        assert again == graph
        assert again.key == graph.key


def _graphs() -> list[ModuleGraph]:
    space = tiny_space()
    rng = np.random.default_rng(0)
    return [tiny_graph(), make_family("random_density", space.constraints, rng), tiny_graph().with_edges([])]


GRAPH_JSON = Target(
    lambda: [{"graph.json": graph.to_json().encode()} for graph in _graphs()],
    damage(),
    lambda folder: ModuleGraph.load(folder / "graph.json"),
    check_graph,
)
GRAPHML = Target(
    lambda: [{"graph.graphml": graph.to_graphml().encode()} for graph in _graphs()],
    damage(),
    lambda folder: ModuleGraph.load(folder / "graph.graphml"),
    check_graph,
)

_CONSTRAINTS = GraphConstraints.build(tiny_graph().areas, max_edges=4)
_CELLS = (
    b"0",
    b"1",
    b"1e400",
    b"-1",
    b"nan",
    b"1_0",
    b"",
    b" 2 ",
    b"1e-320",
    b"0x1",
    "١".encode(),
    b"9" * 5000,
    b"1e308",
)


def _damage_csv(files: Files, rng: random.Random, seeds: list[Files]) -> Files:
    if rng.random() < 0.5:
        return {"m.csv": damage_bytes(files["m.csv"], rng, [seed["m.csv"] for seed in seeds])}
    rows = [line.split(b",") for line in files["m.csv"].splitlines()]
    for _ in range(rng.choice((1, 2))):
        i, j = rng.randrange(len(rows) or 1), rng.randrange(4)
        cell = rng.choice(_CELLS)
        # Both halves, so that the matrix stays symmetric.
        for row, column in ((i, j), (j, i)):
            if row < len(rows) and column < len(rows[row]):
                rows[row][column] = cell
    return {"m.csv": b"\n".join(b",".join(row) for row in rows)}


def _csv(rows: Any) -> Files:
    return {"m.csv": "\n".join(",".join(f"{value:g}" for value in row) for row in rows).encode()}


ADJACENCY = Target(
    lambda: [_csv(tiny_graph().adjacency()), _csv(tiny_graph().adjacency() * 0.25)],
    _damage_csv,
    lambda folder: graph_of_matrix(read_adjacency(folder / "m.csv"), _CONSTRAINTS),
    check_graph,
)
