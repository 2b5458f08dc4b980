"""Who may import whom: a later stage may import an earlier one, never the reverse."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "topo_search"

BOTTOM = {"errors", "files", "npz", "seeds"}

# What each stage may import of the package, beside itself and the bottom. The interface (api, cli, config, dashboard,
# doctor, listing and the entry files) may import anything and is imported by nothing here.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "seeds": set(),
    "files": {"errors"},
    "npz": set(),
    "graph": set(),
    "engine": set(),
    "tasks": set(),
    "model": {"graph", "engine"},
    "training": {"graph", "engine", "model", "tasks"},
    "search": {"graph", "engine", "model", "tasks", "training"},
    "executors": {"graph", "engine", "model", "tasks", "training", "search"},
    "analysis": {"graph", "engine", "model", "tasks", "training"},
    "topobench": {"graph", "engine", "model", "tasks", "training", "search", "executors", "analysis"},
    "report": {"graph", "engine", "model", "tasks", "training", "search", "analysis", "topobench"},
    "testing": {"graph", "training", "search"},
}
INTERFACE = {"api", "cli", "config", "dashboard", "doctor", "listing", "__init__", "__main__"}

# Packages that only some files may import: a file, or a folder with everything in it.
ONLY_IN: dict[str, set[str]] = {
    "optuna": {
        "search/storage",
        "search/stored_trials.py",
        "search/study.py",
        "search/strategies/optuna_nsga2.py",
        "search/strategies/optuna_sampler.py",
        "search/strategies/optuna_tpe.py",
    },
    "optuna_dashboard": {"dashboard.py"},
    "jinja2": {"report/page"},
    "matplotlib": {"report"},
    "ray": {"executors/ray_cluster", "doctor/ray_probe.py"},
    "sklearn": {"tasks"},
    "torchvision": {"tasks"},
    "typer": {"cli"},
    "rich": {"cli", "report"},
    "safetensors": {"model/saved.py", "training/checkpoint.py"},
    "torch": {"engine", "model", "tasks", "training", "search", "executors", "analysis", "api", "doctor"},
}

# Formats that run code when read, and the ways in torch and NumPy to read them.
FORBIDDEN = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}

HEAVY = ("torch", "torchvision", "optuna", "optuna_dashboard", "sklearn", "matplotlib", "scipy", "networkx", "jinja2")

FILES = sorted(PACKAGE.rglob("*.py"))


def place(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def stage(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a file imports, wherever in it; relative imports are resolved."""
    package = ("topo_search", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            parts = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*parts, *([node.module] if node.module else [])])
            if module == "topo_search":
                for alias in node.names:
                    yield node.lineno, f"topo_search.{alias.name}"
            else:
                yield node.lineno, module


def allowed_in(path: Path, places: set[str]) -> bool:
    return any(place(path) == entry or place(path).startswith(f"{entry}/") for entry in places)


@pytest.mark.parametrize("path", FILES, ids=place)
def test_a_stage_imports_earlier_stages_only(path: Path) -> None:
    own = stage(path)
    if own in INTERFACE:
        return
    assert own in MAY_IMPORT, f"{place(path)} belongs to no stage: name it in MAY_IMPORT"
    allowed = MAY_IMPORT[own] | BOTTOM | {own} if own not in BOTTOM else MAY_IMPORT[own]
    breaches = [
        f"{place(path)}:{line} imports {name}"
        for line, name in imports(path)
        if name.split(".")[0] == "topo_search" and f"{name}.".split(".")[1] not in allowed
    ]
    assert not breaches, breaches


@pytest.mark.parametrize("path", FILES, ids=place)
def test_packages_stay_where_they_belong(path: Path) -> None:
    breaches = [
        f"{place(path)}:{line} imports {name}"
        for line, name in imports(path)
        if name.split(".")[0] in ONLY_IN and not allowed_in(path, ONLY_IN[name.split(".")[0]])
    ]
    assert not breaches, breaches


@pytest.mark.parametrize("path", FILES, ids=place)
def test_nothing_unpickles(path: Path) -> None:
    breaches = [f"line {line} imports {name}" for line, name in imports(path) if name.split(".")[0] in FORBIDDEN]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load":
            breaches.append(f"line {node.lineno} calls torch.load")
        loads = isinstance(node, ast.Call) and ast.unparse(node.func) in {"np.load", "numpy.load"}
        if loads and not any(keyword.arg == "allow_pickle" for keyword in node.keywords):
            breaches.append(f"line {node.lineno} does not forbid pickles")
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            breaches.append(f"line {node.value.lineno} allows pickles")
    assert not breaches, breaches


def test_the_certificate_shares_nothing_with_training() -> None:
    certificate = sorted((PACKAGE / "model" / "certificate").glob("*.py"))
    metric = PACKAGE / "model" / "subnetworks" / "diagonal_metric.py"
    assert len(certificate) > 5
    for path in (*certificate, metric):
        names = {name for _, name in imports(path)}
        assert not [name for name in names if name.split(".")[0] == "torch"], path
        own = {name for name in names if name.startswith("topo_search.")}
        allowed = (
            "topo_search.errors",
            "topo_search.npz",
            "topo_search.seeds",
            "topo_search.model.certificate",
            "topo_search.model.subnetworks",
        )
        assert not [name for name in own if not name.startswith(allowed)], path


def test_the_standalone_check_needs_numpy_alone() -> None:
    names = {name.split(".")[0] for _, name in imports(PACKAGE / "model" / "certificate" / "verify_standalone.py")}
    assert names <= {"hashlib", "json", "numpy", "pathlib", "sys"}


def test_the_command_line_starts_light() -> None:
    """Heavy packages are imported inside commands: --help and errors of the parser must be quick."""
    code = "import sys, json, topo_search, topo_search.cli; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert not [name for name in HEAVY if name in loaded]


def test_the_walk_sees_relative_and_late_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    file = tmp_path / "model" / "example.py"
    file.parent.mkdir()
    file.write_text("from . import config\nfrom ..search import study\n\ndef f():\n    from topo_search import api\n")
    assert sorted(imports(file)) == [(1, "topo_search.model"), (2, "topo_search.search"), (5, "topo_search.api")]
