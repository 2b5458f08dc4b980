import csv
import errno
import io
import json
import os
import re
import shutil

import optuna
import pytest
from safetensors.torch import load_file, save_file
from support.tiny import tiny_space

from topo_search import __version__
from topo_search.cli import main
from topo_search.config import load_space, space_to_yaml
from topo_search.graph import Area, ModuleGraph, make_family
from topo_search.seeds import generator


def run(monkeypatch, capsys, *arguments):
    """Exit status, standard output and standard error of a command, run in this process."""
    monkeypatch.setattr("sys.argv", ["topo_search", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    captured = capsys.readouterr()
    return caught.value.code or 0, captured.out, captured.err


@pytest.fixture(scope="module")
def space_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("space") / "tiny.yaml"
    path.write_text(space_to_yaml(tiny_space()))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory, space_file):
    """A finished run of 12 candidates with one worker."""
    from topo_search import evolve

    folder = tmp_path_factory.mktemp("run") / "finished"
    evolve(space_file, budget=12, workers=1, out=folder)
    return folder


@pytest.fixture
def winner(finished, tmp_path):
    return shutil.copytree(finished / "winners" / "1", tmp_path / "winner")


def read_rows(path, without=()):
    with path.open() as file:
        return [{k: v for k, v in row.items() if k not in without} for row in csv.DictReader(file)]


def test_evolve_leaves_what_the_documentation_says(finished):
    assert {path.name for path in finished.iterdir()} >= {
        "space.yaml",
        "study.journal",
        "trials.csv",
        "winners",
        "comparison.csv",
        "summary.json",
    }
    assert {path.name for path in (finished / "winners" / "1").iterdir()} == {
        "graph.json",
        "graph.graphml",
        "model.safetensors",
        "certificate.json",
        "metrics.json",
    }
    trials = read_rows(finished / "trials.csv")
    assert [int(row["number"]) for row in trials] == list(range(12))
    assert {row["state"] for row in trials} == {"COMPLETE"}
    kinds = [row["kind"] for row in read_rows(finished / "comparison.csv")]
    assert set(kinds) == {"winner", "random", "rewired", "global_workspace", "all_edges"}


def test_evolve_from_the_command_line_with_two_workers_gives_the_same_bits(
    monkeypatch, capsys, tmp_path, space_file, finished
):
    folder = tmp_path / "two"
    status, out, err = run(
        monkeypatch, capsys, "evolve", "--space", space_file, "--budget", 12, "--workers", 2, "--out", folder, "--json"
    )
    assert status == 0
    assert json.loads(out)["complete"] == 12
    assert str(folder) in err
    assert "search 12/12" in err
    ours, theirs = (read_rows(path / "trials.csv", without=("seconds",)) for path in (folder, finished))
    assert ours == theirs
    assert (folder / "comparison.csv").read_bytes() == (finished / "comparison.csv").read_bytes()
    models = [path / "winners" / "1" / "model.safetensors" for path in (folder, finished)]
    assert models[0].read_bytes() == models[1].read_bytes()


def test_a_finished_run_says_so_and_can_be_extended(monkeypatch, capsys, tmp_path, finished):
    folder = shutil.copytree(finished, tmp_path / "run")
    status, _, err = run(monkeypatch, capsys, "resume", folder)
    assert (status, "is finished" in err) == (0, True)
    before = read_rows(folder / "trials.csv")
    status, out, _ = run(monkeypatch, capsys, "resume", folder, "--budget", 15, "--workers", 1, "--quiet")
    assert status == 0
    after = read_rows(folder / "trials.csv")
    assert after[:12] == before
    assert len(after) == 15
    assert "winner 1" in out


def test_resuming_a_finished_run_from_python_evaluates_nothing(tmp_path, finished):
    from topo_search import resume

    folder = shutil.copytree(finished, tmp_path / "run")
    before = {path: path.read_bytes() for path in (folder / "winners").rglob("*") if path.is_file()}
    result = resume(folder, workers=1)
    assert result.evaluated == 0
    assert len(result.trials) == 12
    assert [winner.rank for winner in result.winners] == [1, 2]
    assert result.best.certified
    assert (folder / "comparison.csv").read_bytes() == (finished / "comparison.csv").read_bytes()
    assert {path: path.read_bytes() for path in (folder / "winners").rglob("*") if path.is_file()} == before


def test_a_graph_over_the_edge_budget_may_be_trained_but_not_one_with_a_forbidden_edge(
    monkeypatch, capsys, tmp_path, space_file
):
    from topo_search.config import load_space
    from topo_search.graph import ModuleGraph

    areas = load_space(space_file).constraints.areas
    dense = ModuleGraph(areas, [(i, j) for i in range(5) for j in range(i + 1, 6) if (i, j) not in ((0, 5), (1, 5))])
    dense.save(tmp_path / "dense.json")
    dense.with_edges([*dense.edges, (0, 5)]).save(tmp_path / "direct.json")
    arguments = ("--space", space_file, "--seeds", 1, "--workers", 1, "--quiet")
    graph = ("--graph", tmp_path / "dense.json", "--out", tmp_path / "a")
    assert run(monkeypatch, capsys, "train", *arguments, *graph)[0] == 0
    graph = ("--graph", tmp_path / "direct.json", "--out", tmp_path / "b")
    status, _, err = run(monkeypatch, capsys, "train", *arguments, *graph)
    assert (status, "does not fit space tiny" in err) == (2, True)


def test_evolve_table_shows_winners_and_controls(monkeypatch, capsys, tmp_path, space_file):
    status, out, _ = run(
        monkeypatch, capsys, "evolve", "--space", space_file, "--budget", 4, "--workers", 1, "--out", tmp_path / "r"
    )
    assert status == 0
    for text in (
        "winner 1",
        "random, same number of edges",
        "global workspace",
        "all allowed edges",
        "n = 2 seeds",
        "certified",
    ):
        assert text in " ".join(out.split())


def test_strategy_random_is_random_only(monkeypatch, capsys, tmp_path, space_file):
    status, _, _ = run(
        monkeypatch,
        capsys,
        *("evolve", "--space", space_file, "--budget", 5, "--workers", 1, "--out", tmp_path / "r"),
        *("--strategy", "random", "--quiet"),
    )
    assert status == 0
    assert {row["strategy"] for row in read_rows(tmp_path / "r" / "trials.csv")} == {"random"}


def test_dry_run_prints_the_space_and_the_cost_and_writes_nothing(monkeypatch, capsys, tmp_path, space_file):
    monkeypatch.chdir(tmp_path)
    status, out, _ = run(monkeypatch, capsys, "evolve", "--space", space_file, "--dry-run", "--workers", 1)
    assert status == 0
    assert "name: tiny" in out
    assert "a search of 200 candidates with 1 workers: about" in out
    assert list(tmp_path.iterdir()) == []


def test_probe_prints_signal_noise_and_tau(monkeypatch, capsys, space_file):
    status, out, _ = run(monkeypatch, capsys, "probe", "--space", space_file, "--workers", 1, "--json", "--quiet")
    assert status == 0
    result = json.loads(out)
    assert result["graphs"] == 4
    assert [rung["epochs"] for rung in result["rungs"]] == [1, 2, 3]
    status, out, _ = run(monkeypatch, capsys, "probe", "--space", space_file, "--workers", 1, "--quiet")
    assert "signal / noise" in out


def test_train_a_family_and_a_winner(monkeypatch, capsys, tmp_path, space_file, finished):
    graphs = ["global_workspace", finished / "winners" / "1", finished / "winners" / "1" / "graph.graphml"]
    for index, graph in enumerate(graphs):
        folder = tmp_path / str(index)
        status, out, _ = run(
            monkeypatch,
            capsys,
            *("train", "--space", space_file, "--graph", graph, "--seeds", 2, "--workers", 1, "--out", folder),
            *("--json", "--quiet"),
        )
        assert status == 0
        assert [run_["certified"] for run_ in json.loads(out)["runs"]] == [True, True]
        assert run(monkeypatch, capsys, "certify", folder / "seed-0")[0] == 0


def test_the_unconstrained_control_is_refused(monkeypatch, capsys, tmp_path, space_file):
    status, out, _ = run(
        monkeypatch,
        capsys,
        *("train", "--space", space_file, "--graph", "all_to_all", "--seeds", 1, "--workers", 1, "--quiet"),
        *("--set", "stability=unconstrained", "--out", tmp_path / "t"),
    )
    assert status == 0
    assert "not certified" in out
    status, out, _ = run(monkeypatch, capsys, "certify", tmp_path / "t" / "seed-0")
    assert status == 1
    assert "not negative feedback" in out


def test_a_training_that_diverges_is_a_failed_run(monkeypatch, capsys, tmp_path, space_file):
    status, out, _ = run(
        monkeypatch,
        capsys,
        *("train", "--space", space_file, "--graph", "ring", "--seeds", 1, "--workers", 1, "--quiet"),
        *("--set", "divergence_loss=0.001", "--out", tmp_path / "t"),
    )
    assert (status, "FAIL, diverged" in out) == (1, True)


def test_certify_says_what_holds(monkeypatch, capsys, winner):
    status, out, _ = run(monkeypatch, capsys, "certify", winner)
    assert (status, out.startswith("certified: factor 0.9")) == (0, True)
    status, out, _ = run(monkeypatch, capsys, "certify", winner / "model.safetensors", "--json")
    assert (status, json.loads(out)["certified"]) == (0, True)


def test_certify_refuses_a_tampered_network_with_status_1(monkeypatch, capsys, winner):
    import hashlib

    tensors = load_file(winner / "model.safetensors")
    tensors["area_weights"] *= 10
    save_file(tensors, winner / "model.safetensors")
    assert run(monkeypatch, capsys, "certify", winner)[0] == 2
    record = json.loads((winner / "certificate.json").read_text())
    record["model_sha256"] = hashlib.sha256((winner / "model.safetensors").read_bytes()).hexdigest()
    (winner / "certificate.json").write_text(json.dumps(record))
    status, out, _ = run(monkeypatch, capsys, "certify", winner)
    assert (status, out.startswith("not certified: ")) == (1, True)


def test_export_writes_arrays_adjacency_and_picture(monkeypatch, capsys, tmp_path, winner):
    import numpy as np

    from topo_search import load

    status, _, _ = run(monkeypatch, capsys, "export", winner, "--out", tmp_path / "out")
    assert status == 0
    adjacency = np.loadtxt(tmp_path / "out" / "adjacency.csv", delimiter=",")
    network = load(winner)
    assert (adjacency == network.graph.adjacency()).all()
    with np.load(tmp_path / "out" / "network.npz", allow_pickle=False) as arrays:
        assert np.allclose(arrays["L"], -arrays["L"].T)
        assert arrays["W"].shape == (24, 24)
    assert "<svg" in (tmp_path / "out" / "graph.svg").read_text()


def test_a_probe_of_networks_that_diverge_is_a_failed_run(monkeypatch, capsys, space_file):
    status, _, err = run(
        monkeypatch,
        capsys,
        *("probe", "--space", space_file, "--workers", 1, "--quiet", "--set", "divergence_loss=0.001"),
    )
    assert (status, "only 0 of 4 graphs could be trained (diverged)" in err) == (1, True)


def test_a_run_killed_before_it_wrote_anything_can_be_begun_again(monkeypatch, capsys, tmp_path, space_file):
    folder = tmp_path / "run"
    (folder / "rungs").mkdir(parents=True)
    (folder / ".lock").touch()
    status, _, _ = run(
        monkeypatch,
        capsys,
        *("evolve", "--space", space_file, "--budget", 3, "--workers", 1, "--out", folder, "--quiet"),
    )
    assert status == 0


def test_a_study_in_a_database_is_searched_and_resumed(monkeypatch, capsys, tmp_path, space_file, finished):
    folder, storage = tmp_path / "run", f"sqlite:///{tmp_path}/study.db"
    arguments = ("--workers", 1, "--quiet")
    begin = ("evolve", "--space", space_file, "--budget", 6, "--out", folder, "--storage", storage)
    assert run(monkeypatch, capsys, *begin, *arguments)[0] == 0
    assert run(monkeypatch, capsys, "resume", folder, "--budget", 12, *arguments)[0] == 0
    stored = optuna.load_study(study_name="run", storage=storage)
    assert len(stored.trials) == 12
    first = read_rows(finished / "trials.csv", without=("seconds",))[:6]
    assert read_rows(folder / "trials.csv", without=("seconds",))[:6] == first


def write_weights(path, space):
    """Weights for every pair of areas, largest between neighbours."""
    count = len(space.constraints.areas)
    rows = ([0.0 if i == j else 1 / abs(i - j) + 0.1 * (i + j) for j in range(count)] for i in range(count))
    path.write_text("\n".join(",".join(map(str, row)) for row in rows))


def test_a_search_starts_from_graphs_and_keeps_them_in_its_space(monkeypatch, capsys, tmp_path, space_file, finished):
    space = load_space(space_file)
    winners = [ModuleGraph.load(finished / "winners" / name / "graph.json") for name in ("1", "2")]
    ring = make_family("ring", space.constraints, generator(0))
    ring.save(tmp_path / "ring.graphml")
    write_weights(tmp_path / "weights.csv", space)
    starts = (finished, tmp_path / "ring.graphml", tmp_path / "weights.csv", finished / "winners" / "1")
    given = [argument for start in starts for argument in ("--start", start)]
    options = ("--space", space_file, *given, "--set", "ladder.rungs=[1]", "--quiet", "--workers", 1)
    folder = tmp_path / "run"
    assert run(monkeypatch, capsys, "evolve", *options, "--budget", 5, "--out", folder)[0] == 0
    kept = load_space(folder / "space.yaml").search.start
    assert kept[:3] == (winners[0].edges, winners[1].edges, ring.edges)
    assert [row["strategy"] for row in read_rows(folder / "trials.csv")[:4]] == ["start"] * 4
    assert [row["graph_key"] for row in read_rows(folder / "trials.csv")][:2] == [graph.key for graph in winners]
    # The files that it started from are not needed any more.
    (tmp_path / "weights.csv").unlink()
    assert run(monkeypatch, capsys, "resume", folder, "--budget", 6, "--quiet", "--workers", 1)[0] == 0
    assert load_space(folder / "space.yaml").search.start == kept


def test_a_dry_run_shows_the_graphs_that_it_would_start_from(monkeypatch, capsys, tmp_path, space_file):
    space = load_space(space_file)
    write_weights(tmp_path / "weights.csv", space)
    status, out, _ = run(
        monkeypatch, capsys, "evolve", "--space", space_file, "--start", tmp_path / "weights.csv", "--dry-run", "--json"
    )
    (edges,) = json.loads(out)["space"]["search"]["start"]
    assert (status, len(edges)) == (0, space.constraints.edge_budget)


BAD_STARTS = {
    "no file": (None, "no start .*START.csv': expected a .json, .graphml or .csv file, or the folder"),
    "asymmetric": ("0,1\n2,0", r"START.csv: entries \(0, 1\) and \(1, 0\) are 1 and 2, expected a symmetric matrix"),
    "text": ("a,b\nc,d", "START.csv, line 1: expected numbers separated by commas, got 'a'"),
    "too small": ("0,1\n1,0", "START.csv: the matrix must have 6 rows, one an area, got 2"),
    "over the budget": (
        [(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4), (2, 5)],
        r"does not fit space tiny: the graph may have at most 7 edges, got 8 \(edges.max_edges; a .csv",
    ),
    "forbidden edge": ([(0, 5), (1, 2), (2, 5)], r"does not fit space tiny: edge \(0, 5\) joins a forbidden pair"),
    "no way out": ([(0, 2), (1, 2)], "does not fit space tiny: output area 5 cannot be reached from input area 0"),
}


@pytest.mark.parametrize("case", BAD_STARTS)
def test_a_bad_start_is_one_line_and_status_2(monkeypatch, capsys, tmp_path, space_file, case):
    content, message = BAD_STARTS[case]
    path = tmp_path / "START.csv"
    if isinstance(content, list):
        matrix = ModuleGraph(load_space(space_file).constraints.areas, content).adjacency()
        content = "\n".join(",".join(map(str, row)) for row in matrix.tolist())
    if content is not None:
        path.write_text(content)
    status, out, err = run(
        monkeypatch, capsys, "evolve", "--space", space_file, "--start", path, "--out", tmp_path / "x"
    )
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert re.search(message, err), err
    assert not (tmp_path / "x").exists()


def test_starts_of_other_areas_and_folders_without_graphs_are_refused(monkeypatch, capsys, tmp_path, space_file):
    areas = load_space(space_file).constraints.areas
    graphs = {
        "other.json": (ModuleGraph([Area(5, is_input=True), *areas[1:]], []), "area 0 must be input of 4 units as in"),
        "fewer.json": (ModuleGraph(areas[:3], []), "the graph must have 6 areas, got 3"),
    }
    for name, (graph, _) in graphs.items():
        graph.save(tmp_path / name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "graph.txt").write_text("0,1")
    messages = {name: message for name, (_, message) in graphs.items()}
    messages |= {"empty": "holds neither graph.json nor winners", "graph.txt": "ends in '.txt': expected a .json"}
    for name, message in messages.items():
        arguments = ("--space", space_file, "--start", tmp_path / name, "--out", tmp_path / "x")
        status, _, err = run(monkeypatch, capsys, "evolve", *arguments)
        assert (status, err.count("\n")) == (2, 1)
        assert message in err


def test_starts_in_a_space_must_be_valid(monkeypatch, capsys, space_file):
    for start, message in (
        ("[[[0, 5]]]", "search.start[0]: edge (0, 5)"),
        ("[[[0, 9]]]", "search.start[0]: area index"),
    ):
        override = f"search.start={start}"
        status, _, err = run(monkeypatch, capsys, "evolve", "--space", space_file, "--set", override, "--dry-run")
        assert (status, err.count("\n")) == (2, 1)
        assert message in err


@pytest.mark.parametrize("what", ["spaces", "tasks", "strategies", "families"])
def test_list_gives_names(monkeypatch, capsys, what):
    status, out, _ = run(monkeypatch, capsys, "list", what, "--json")
    names = json.loads(out)
    assert status == 0
    assert names == sorted(names)
    expected = {"spaces": "digits", "tasks": "seq_mnist", "strategies": "evolution", "families": "global_workspace"}
    assert expected[what] in names
    assert expected[what] in run(monkeypatch, capsys, "list", what)[1]


def test_doctor_finds_nothing_wrong(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    status, out, _ = run(monkeypatch, capsys, "doctor")
    assert (status, "FAIL" in out) == (0, False)
    assert json.loads(run(monkeypatch, capsys, "doctor", "--json")[1])["engine"]["ok"]


def test_version_and_help(monkeypatch, capsys):
    assert run(monkeypatch, capsys, "--version")[1].strip() == __version__
    for command in ("evolve", "resume", "probe", "train", "certify", "export", "list", "dashboard", "doctor"):
        status, out, _ = run(monkeypatch, capsys, command, "--help")
        assert (status, "Example: python -m topo_search" in " ".join(out.split())) == (0, True), command


@pytest.mark.parametrize("group", [(), ("bench",)])
def test_a_group_without_a_command_prints_its_help(monkeypatch, capsys, group):
    status, out, err = run(monkeypatch, capsys, *group)
    assert (status, err) == (0, "")
    assert out.startswith("Usage: ")
    assert out == run(monkeypatch, capsys, *group, "--help")[1]


@pytest.mark.parametrize("group", [(), ("bench",)])
def test_the_commands_of_a_help_are_said_in_whole_sentences(monkeypatch, capsys, group):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run(monkeypatch, capsys, *group, "--help")
    lines = out.split("Commands:\n")[1].splitlines()
    assert len(lines) >= 3
    assert [line for line in lines if not line.endswith(".") or line.endswith("..")] == []


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_an_interruption_before_a_run_begins_is_said(monkeypatch, capsys):
    monkeypatch.setattr("topo_search.listing.listing", interrupt)
    assert run(monkeypatch, capsys, "list", "tasks") == (130, "", "interrupted\n")


def test_an_interruption_of_a_run_is_said_once_with_a_command_for_the_shell(monkeypatch, capsys, tmp_path, space_file):
    monkeypatch.setattr("topo_search.api.searching.run_search", interrupt)
    folder = tmp_path / "my run"
    arguments = ("evolve", "--space", space_file, "--workers", 1, "--out", folder)
    status, out, err = run(monkeypatch, capsys, *arguments)
    command = f"python -m topo_search resume '{folder}'"
    begun, ended = (line for line in err.splitlines() if "go on with" in line)
    assert (status, out, begun.endswith(f"{command})")) == (130, "", True)
    assert ended == f"interrupted: what was finished is kept; go on with: {command}"
    assert err.count("interrupted") == 1


class FullDisk(io.StringIO):
    """A stream that holds back what it is given, or does not, and has no place for it."""

    def __init__(self, file, number, *, buffered):
        super().__init__()
        self.file, self.number, self.buffered, self.waiting = file, number, buffered, False

    def write(self, text):
        self.waiting = True
        if not self.buffered:
            self.flush()
        return len(text)

    def flush(self):
        if self.waiting:
            self.waiting = self.buffered
            raise OSError(self.number, os.strerror(self.number))

    def fileno(self):
        return self.file.fileno()


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPIPE])
def test_a_standard_output_that_cannot_be_written_to_is_one_line(monkeypatch, capsys, tmp_path, buffered, number):
    error = BrokenPipeError if number == errno.EPIPE else OSError
    with (tmp_path / "out").open("w") as file, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", FullDisk(file, number, buffered=buffered))
        patch.setattr("sys.argv", ["topo_search", "list", "tasks"])
        with pytest.raises(SystemExit) as caught:
            main()
    assert caught.value.code == 1
    said = "failed: standard output cannot be written to: No space left on device\n"
    assert capsys.readouterr().err == ("" if error is BrokenPipeError else said)


def test_another_error_of_the_system_is_not_taken_for_one_of_standard_output(monkeypatch):
    def fail(_):
        raise OSError(errno.EIO, "of a disk")

    monkeypatch.setattr("topo_search.listing.listing", fail)
    monkeypatch.setattr("sys.argv", ["topo_search", "list", "tasks"])
    with pytest.raises(OSError, match="of a disk"):
        main()


@pytest.mark.parametrize("arguments", [("evolve",), ("evolve", "--dry-run")])
def test_a_dry_run_refuses_the_study_that_the_search_would(monkeypatch, capsys, tmp_path, space_file, arguments):
    storage = f"sqlite:///{tmp_path}/study.db"
    optuna.create_study(study_name="taken", storage=storage)
    given = ("--space", space_file, "--workers", 1, "--storage", storage, "--out", tmp_path / "taken")
    status, _, err = run(monkeypatch, capsys, *arguments, *given)
    assert (status, err) == (
        2,
        "error: study 'taken' exists in the storage: give --out with another name, or --join it\n",
    )


def test_a_dry_run_takes_a_storage_that_is_not_there_yet_and_makes_none(monkeypatch, capsys, tmp_path, space_file):
    given = (
        "--space",
        space_file,
        "--workers",
        1,
        "--storage",
        f"sqlite:///{tmp_path}/new.db",
        "--out",
        tmp_path / "r",
    )
    assert run(monkeypatch, capsys, "evolve", "--dry-run", *given)[0] == 0
    assert list(tmp_path.iterdir()) == []


def test_a_matrix_is_a_graph_to_train(monkeypatch, capsys, tmp_path, space_file):
    space = load_space(space_file)
    write_weights(tmp_path / "weights.csv", space)
    given = ("--space", space_file, "--graph", tmp_path / "weights.csv", "--seeds", 1, "--workers", 1)
    status, out, _ = run(monkeypatch, capsys, "train", *given, "--out", tmp_path / "t", "--json", "--quiet")
    assert (status, json.loads(out)["edges"]) == (0, space.constraints.edge_budget)


# What a search refuses before it begins, a dry run refuses in the same words.
DRY = {
    "budget": (["--budget", "0"], "budget must be an integer from 1, got 0"),
    "seed": (["--seed", "-1"], "seed must be an integer from 0, got -1"),
    "device": (["--device", "cuda"], "device cuda is not available here"),
    "cores": (["--trial-cpus", "0"], "cpus"),
    "GPUs without Ray": (["--trial-gpus", "1"], "trial gpus are reserved by Ray"),
    "address": (["--ray", "nonsense"], "ray must be auto, local or HOST:PORT, got 'nonsense'"),
    "folder": (["--out", "FULL"], "is not empty"),
    "no folder": (["--out", ""], "Invalid value for '--out': expected a folder, got ''"),
    "storage": (["--storage", "nosuchdb://x"], "cannot be opened"),
    "join": (["--join"], "expected a PostgreSQL or MySQL URL"),
}


@pytest.mark.parametrize("case", DRY)
def test_a_dry_run_refuses_what_the_search_would(monkeypatch, capsys, tmp_path, space_file, case):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (tmp_path / "FULL").mkdir()
    (tmp_path / "FULL" / "thing").write_text("something")
    arguments, message = DRY[case]
    given = ("evolve", "--space", space_file, *arguments)
    status, out, err = run(monkeypatch, capsys, *given, "--dry-run")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert run(monkeypatch, capsys, *given) == (status, out, err)


BAD_INPUT = {
    "unknown command": (["evolv"], "No such command"),
    "unknown option": (["evolve", "--budgt", "3"], "No such option"),
    "negative budget": (["evolve", "--budget", "-5"], "budget must be an integer from 1, got -5"),
    "zero budget": (["evolve", "--budget", "0"], "budget must be an integer from 1, got 0"),
    "budget that is no number": (["evolve", "--budget", "many"], "got 'many'"),
    "seed that is no integer": (["evolve", "--seed", "1.5"], "Invalid value for '--seed'"),
    "negative seed": (["evolve", "--seed", "-1"], "seed must be an integer from 0, got -1"),
    "no workers": (["evolve", "--workers", "0"], "workers must be at least 1, got 0"),
    "unknown space": (["evolve", "--space", "digts"], "no search space 'digts'"),
    "unknown strategy": (
        ["evolve", "--strategy", "magic"],
        "unknown strategy 'magic': expected one of delta_weight,",
    ),
    "unknown device": (["evolve", "--device", "tpu"], "device must be auto, cpu or cuda, got 'tpu'"),
    "no cuda": (["evolve", "--device", "cuda"], "device cuda is not available here"),
    "unknown override": (["evolve", "--set", "epohcs=3"], "did you mean 'epochs'"),
    "override of a bad value": (["evolve", "--set", "training.epochs=0"], "training.epochs"),
    "no areas": (["evolve", "--set", "areas=[]"], "got 0 areas"),
    "unknown family in the space": (
        ["evolve", "--set", "search.random=[{family: clique}]"],
        "unknown family 'clique': expected one of",
    ),
    "output unreachable": (
        ["evolve", "--set", "edges.forbidden_roles=[[input, hidden], [input, output]]"],
        "no valid graph exists",
    ),
    "edge budget below the need": (["evolve", "--set", "max_edges=2"], "max_edges must be at least 5"),
    "unknown task": (["evolve", "--set", "task.name=imagenet"], "unknown task 'imagenet'"),
    "channel that is not there": (["evolve", "--set", "areas.0.channels=[8]"], "sees channels [8]"),
    "missing data folder": (
        ["evolve", "--space", "seq_mnist", "--data-dir", "NOWHERE"],
        "train-images-idx3-ubyte",
    ),
    "data where a file is": (
        ["evolve", "--space", "seq_mnist", "--data-dir", "FILE"],
        "expected a folder, found a file",
    ),
    "output folder is a file": (["evolve", "--out", "FILE"], "is a file: expected a new or empty folder"),
    "output folder of another run": (["evolve", "--out", "RUN"], "holds a run of space 'tiny': resume it"),
    "output folder with something else": (["evolve", "--out", "FULL"], "is not empty"),
    "bad storage": (["evolve", "--storage", "nosuchdb://x"], "cannot be opened"),
    "study that exists": (["evolve", "--storage", "sqlite:///db.sqlite", "--out", "taken"], "study 'taken' exists"),
    "resume of an unknown study": (
        ["resume", "RUN", "--budget", "20", "--storage", "sqlite:///db.sqlite"],
        "unknown study 'finished'",
    ),
    "resume of nothing": (["resume", "NOWHERE"], "is not a run"),
    "resume with less": (["resume", "RUN", "--budget", "3"], "budget 3 is below the run's 12"),
    "train without a graph": (["train"], "Missing option '--graph'"),
    "train an unknown family": (["train", "--graph", "clique"], "no graph 'clique': expected a file or one of"),
    "train a corrupt graph": (["train", "--graph", "FILE"], ""),
    "train a graph of another space": (["train", "--graph", "RUN/winners/1"], "does not fit space digits"),
    "no seeds": (["train", "--graph", "ring", "--seeds", "0"], "seeds must be at least 1"),
    "certify nothing": (["certify", "NOWHERE"], "no saved network at"),
    "certify a run": (["certify", "RUN"], "RUN is a run: give RUN/winners/1"),
    "export a run": (["export", "RUN"], "RUN is a run: give RUN/winners/1"),
    "train a run": (["train", "--graph", "RUN"], "RUN is a run: give RUN/winners/1"),
    "doctor of a private Ray": (["doctor", "--ray", "local"], "a private Ray starts and ends with its run"),
    "export nothing": (["export", "NOWHERE"], "no saved network at"),
    "unknown list": (["list", "planets"], "unknown list 'planets': expected one of spaces"),
    "dashboard of nothing": (["dashboard", "NOWHERE"], "is not a run"),
    "port out of range": (["dashboard", "RUN", "--port", "99999"], "Invalid value for '--port'"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_status_2(monkeypatch, capsys, tmp_path, finished, case):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOPO_SEARCH_DATA", raising=False)
    (tmp_path / "FILE").write_text("something")
    (tmp_path / "FULL").mkdir()
    (tmp_path / "FULL" / "thing").write_text("something")
    shutil.copytree(finished, tmp_path / "RUN")
    optuna.create_study(study_name="taken", storage="sqlite:///db.sqlite")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    arguments, message = BAD_INPUT[case]
    status, out, err = run(monkeypatch, capsys, *arguments)
    assert status == 2, err
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert message in err
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before, "bad input must leave everything as it was"
