"""The project's files agree with the code."""

import dataclasses
import json
import re
import shlex
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

import topo_search
from topo_search.config import shipped_spaces
from topo_search.graph import make_family
from topo_search.model import Certificate
from topo_search.search import SearchSpace
from topo_search.search.run_folder import COMPARISON_COLUMNS, TRIAL_COLUMNS, RunFolder
from topo_search.seeds import generator
from topo_search.tasks import TASKS, resolve_config

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "runners/README.md")]
PAGES += [ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = [*PAGES, ROOT / "pyproject.toml", ROOT / "CITATION.cff", *sorted((ROOT / "search_spaces").glob("*.yaml"))]
SPACES = ("digits", "mnist_rows", "ps_mnist", "seq_cifar10", "seq_cifar10_24", "seq_mnist")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def pyproject() -> dict:
    return tomllib.loads(read("pyproject.toml"))


def shell_lines(path: Path) -> list[str]:
    """Commands in a page: the lines of its ```sh blocks, without comments, continuations joined."""
    blocks = re.findall(r"^```sh\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def test_the_shipped_spaces_are_these() -> None:
    assert tuple(shipped_spaces()) == SPACES


@pytest.mark.parametrize("name", SPACES)
def test_every_shipped_space_is_valid_and_holds_graphs(name: str) -> None:
    space = topo_search.load_space(name)
    assert space.name == name
    resolve_config(space.task)
    for draw in space.search.evolution.start:
        graph = make_family(draw.family, space.constraints, generator(0, "start"), **draw.parameters)
        assert space.constraints.violation(graph) is None


@pytest.mark.parametrize("name", SPACES)
def test_every_shipped_space_is_commented(name: str) -> None:
    lines = read(f"search_spaces/{name}.yaml").splitlines()
    assert re.fullmatch(r"# .{20,}\.", lines[0]), "the first line is what `list spaces` shows"
    bare = [
        line
        for line in lines
        # A line that only opens a section, or names it, needs no remark.
        if line.strip() and not line.lstrip().startswith("#") and " # " not in line and not line.endswith(":")
    ]
    assert len(bare) <= 4, bare
    assert max(map(len, lines)) <= 120


def test_the_sequential_cifar_spaces_are_the_papers() -> None:
    for name, areas, edges in (("seq_cifar10", 16, 15), ("seq_cifar10_24", 24, 129)):
        space = topo_search.load_space(name)
        sizes = [area.size for area in space.constraints.areas]
        assert sizes == [32] * areas
        assert space.constraints.edge_budget == edges
        assert (space.training.batch_size, space.training.learning_rate, space.training.epochs) == (128, 0.002, 250)
        assert (space.network.dt, space.network.tau, space.network.activation) == (0.03, 1.0, "relu")
    # Parameters: n_i n_j an edge, and 14 a unit and 10 with 3 channels and 10 classes.
    assert 15 * 32 * 32 + 14 * 16 * 32 + 10 == 22_538
    assert 129 * 32 * 32 + 14 * 24 * 32 + 10 == 142_858


def test_versions_agree() -> None:
    version = pyproject()["project"]["version"]
    assert topo_search.__version__ == version
    assert yaml.safe_load(read("CITATION.cff"))["version"] == version
    assert f"## [{version}]" in read("CHANGELOG.md")


def test_the_citation_has_what_the_format_asks_for() -> None:
    citation = yaml.safe_load(read("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert len(citation["references"]) == 2


def test_supported_python_is_said_once_and_the_same() -> None:
    project = pyproject()["project"]
    versions = [c.rpartition(" ")[2] for c in project["classifiers"] if re.fullmatch(r".* :: 3\.\d+", c)]
    assert project["requires-python"] == f">={versions[0]}"
    assert f"Python {versions[0]} to {versions[-1]}" in read("README.md")


def test_the_readme_has_the_two_commands() -> None:
    lines = shell_lines(ROOT / "README.md")
    assert (
        "python3 -m venv .venv && . .venv/bin/activate && pip install . && python -m topo_search evolve --budget 200"
        in lines
    )
    tests = (
        "python3 -m venv .venv && . .venv/bin/activate && pip install -e '.[dev]' && python -m pytest -m \"not slow\""
    )
    assert tests in lines
    # The command that the README gives is the command that CI runs.
    assert 'python -m pytest -m "not slow"' in read(".ci/run")


def commands_of(page: Path) -> list[list[str]]:
    found = []
    for line in shell_lines(page):
        for part in re.split(r"&&|\|\|?|;", line):
            words = shlex.split(part, comments=True)
            if words[:3] == ["python", "-m", "topo_search"]:
                found.append(words[3:])
    return found


@pytest.fixture(scope="module")
def options() -> dict[str, set[str]]:
    """Every command and its flags, from the parser itself; those of a group under both words."""
    import typer

    from topo_search.cli import app

    group = typer.main.get_command(app)
    commands = dict(group.commands)  # type: ignore[attr-defined]
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            del commands[name]
            commands |= {f"{name} {inner}": found for inner, found in command.commands.items()}

    def flags_of(command: Any) -> set[str]:
        own = {option for parameter in command.params for option in parameter.opts}
        return own.union(*(flags_of(inner) for inner in getattr(command, "commands", {}).values()))

    flags = {name: flags_of(command) for name, command in commands.items()}
    return {"": {o for p in group.params for o in p.opts} | {"--help"}, **flags}


def named_command(words: list[str], options: dict[str, set[str]]) -> str:
    if words[0].startswith("-"):
        return ""
    both = " ".join(words[:2])
    return both if both in options else words[0]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_pages_exist(page: Path, options: dict[str, set[str]]) -> None:
    for words in commands_of(page):
        name = named_command(words, options)
        assert name in options, words
        flags = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert flags <= options[name] | {"--help"}, words


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_overrides_in_pages_are_valid(page: Path) -> None:
    def values(words: list[str], flag: str) -> list[str]:
        return [following for word, following in pairwise(words) if word == flag]

    for words in commands_of(page):
        if overrides := values(words, "--set"):
            topo_search.load_space([*values(words, "--space"), "digits"][0], overrides=overrides)
    for override in re.findall(r"`--set ([\w.]+=[^`]+)`", page.read_text(encoding="utf-8")):
        if override != "key=value":
            topo_search.load_space("digits", overrides=[override])


def test_the_readme_names_every_command(options: dict[str, set[str]]) -> None:
    named = {named_command(words, options) for words in commands_of(ROOT / "README.md")}
    assert set(options) - {""} <= named


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_texts_are_finished_and_speak_of_the_project_alone(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    unfinished = "TO" + "DO|FIX" + "ME|XX" + "X"
    assert not re.search(rf"\b({unfinished})\b", text)
    assert not re.search(r"/(work|home|root|Users|tmp)/", text)


@pytest.mark.parametrize("path", sorted((ROOT / "topo_search").rglob("*.py")), ids=name_of)
def test_code_is_finished(path: Path) -> None:
    unfinished = "TO" + "DO|FIX" + "ME|XX" + "X"
    assert not re.search(rf"\b({unfinished})\b", path.read_text(encoding="utf-8"))


def entries(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Dotted names of all entries of a model, through its sections."""
    found = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += entries(inner, f"{prefix}{name}.")
        else:
            found.append(f"{prefix}{name}")
    return found


def test_every_entry_of_a_space_is_documented() -> None:
    page = read("docs/search_spaces.md")
    missing = [name for name in entries(SearchSpace) if f"`{name}`" not in page]
    assert not missing, missing


def test_every_task_is_documented() -> None:
    page = read("docs/search_spaces.md")
    assert not [name for name in TASKS if f"`{name}`" not in page]


def test_every_column_is_documented() -> None:
    page = read("docs/runs.md")
    assert not [name for name in (*TRIAL_COLUMNS, *COMPARISON_COLUMNS) if f"`{name}`" not in page]


def test_every_file_of_a_run_is_documented() -> None:
    page = read("docs/runs.md")
    names = [path.name for path in vars(RunFolder(Path("run"))).values() if isinstance(path, Path)]
    assert "report.html" in names
    assert not [name for name in names if f"    {name}" not in page and name != "run"]


def test_every_field_of_a_certificate_is_documented() -> None:
    page = read("docs/certificate.md")
    assert not [field.name for field in dataclasses.fields(Certificate) if f"`{field.name}`" not in page]


def test_names_of_the_interface_are_documented() -> None:
    page = read("docs/python.md")
    assert not [name for name in topo_search.__all__ if name not in page]


def test_list_prints_an_array_of_names() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "topo_search", "list", "spaces", "--json"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert json.loads(done.stdout) == list(SPACES)
