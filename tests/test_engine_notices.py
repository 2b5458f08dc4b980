"""What commands say and record of the engine that serves."""

import importlib
import json
import re
import shutil
import sys

import pytest
import yaml
from support.tiny import tiny_space

from topo_search.cli import main
from topo_search.config import space_to_yaml
from topo_search.engine.native import native_status

OFF = "engine: reference (switched off by TOPO_SEARCH_ENGINE=reference)"


def run(monkeypatch, capsys, *arguments):
    """Exit status, standard output and standard error of a command, run in this process."""
    monkeypatch.setattr("sys.argv", ["topo_search", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    captured = capsys.readouterr()
    return caught.value.code or 0, captured.out, captured.err


@pytest.fixture
def reference(monkeypatch):
    """The reference engine serves, by request."""
    monkeypatch.setenv("TOPO_SEARCH_ENGINE", "reference")
    native_status.cache_clear()
    yield
    native_status.cache_clear()


@pytest.fixture
def space_file(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(space_to_yaml(tiny_space()))
    return path


def recorded(folder):
    return yaml.safe_load((folder / "space.yaml").read_text())["run"]["engine"]


def commands(space_file, folder):
    common = ("--space", space_file, "--workers", 1)
    return {
        "evolve": ("evolve", *common, "--budget", 2, "--out", folder),
        "train": ("train", *common, "--graph", "ring", "--seeds", 1, "--out", folder),
        "probe": ("probe", *common),
    }


@pytest.mark.parametrize("name", ["evolve", "train", "probe"])
def test_long_commands_say_once_that_the_reference_serves(monkeypatch, capsys, tmp_path, space_file, reference, name):
    command = commands(space_file, tmp_path / "run")[name]
    status, _, err = run(monkeypatch, capsys, *command)
    assert status == 0
    assert [line for line in err.splitlines() if "engine" in line] == [OFF]
    if name != "probe":
        assert recorded(tmp_path / "run") == "reference"


@pytest.mark.parametrize("name", ["evolve", "train", "probe"])
def test_quiet_commands_say_nothing(monkeypatch, capsys, tmp_path, space_file, reference, name):
    command = commands(space_file, tmp_path / "run")[name]
    status, out, err = run(monkeypatch, capsys, *command, "--quiet", "--json")
    assert (status, err) == (0, "")
    json.loads(out)


def test_bad_input_stays_one_line(monkeypatch, capsys, reference):
    assert run(monkeypatch, capsys, "evolve", "--space", "nowhere")[2].count("\n") == 1


def test_a_bad_value_of_the_variable_is_bad_input(monkeypatch, capsys, tmp_path, space_file, reference):
    monkeypatch.setenv("TOPO_SEARCH_ENGINE", "fast")
    native_status.cache_clear()
    status, _, err = run(monkeypatch, capsys, *commands(space_file, tmp_path / "run")["evolve"])
    assert (status, err) == (
        2,
        "error: environment variable TOPO_SEARCH_ENGINE must be auto, native or reference, got 'fast'\n",
    )
    assert not (tmp_path / "run").exists()


def test_a_run_says_and_records_its_engine_only_where_the_reference_serves(monkeypatch, capsys, tmp_path, space_file):
    status, _, err = run(monkeypatch, capsys, *commands(space_file, tmp_path / "run")["evolve"])
    serves = native_status()
    assert status == 0
    assert recorded(tmp_path / "run") == serves.engine
    assert len(re.findall(r"^engine: ", err, re.MULTILINE)) == (serves.module is None)


def test_going_on_with_another_engine_is_warned_of(monkeypatch, capsys, tmp_path, space_file, reference):
    folder = tmp_path / "run"
    assert run(monkeypatch, capsys, *commands(space_file, folder)["evolve"], "--quiet")[0] == 0
    other = shutil.copytree(folder, tmp_path / "other")
    text = (other / "space.yaml").read_text()
    (other / "space.yaml").write_text(text.replace("engine: reference", "engine: native avx2"))
    for path, warnings in ((folder, 0), (other, 1)):
        status, _, err = run(monkeypatch, capsys, "resume", path, "--budget", 3, "--workers", 1)
        assert status == 0
        found = [line for line in err.splitlines() if line.startswith("warning: ")]
        assert len(found) == warnings
        assert all("was begun with engine native avx2 and goes on with reference" in line for line in found)


def test_doctor_says_which_engine_serves(monkeypatch, capsys, reference):
    status, out, _ = run(monkeypatch, capsys, "doctor")
    assert (status, "ok    engine: reference: switched off by TOPO_SEARCH_ENGINE=reference" in out) == (0, True)
    assert "ok    agreement: nothing to compare: the reference engine serves" in out


@pytest.mark.skipif(native_status().module is None, reason=native_status().reason or "it serves")
@pytest.mark.parametrize("wrong", [1.001, float("nan")])
def test_doctor_holds_the_native_engine_against_the_reference(monkeypatch, capsys, wrong):
    engine = native_status().engine
    agrees = f"ok    agreement: {engine} agrees with the reference engine, states and gradients: relative error "
    assert agrees in run(monkeypatch, capsys, "doctor")[1]
    entry = importlib.import_module("topo_search.engine.rollout")
    run_native = entry.native_rollouts
    monkeypatch.setattr(entry, "native_rollouts", lambda *a, **k: [wrong * state for state in run_native(*a, **k)])
    status, out, _ = run(monkeypatch, capsys, "doctor")
    assert (status, f"FAIL  agreement: {engine} differs from the reference engine" in out) == (1, True)


def test_doctor_fails_where_a_wanted_engine_is_missing(monkeypatch, capsys, reference):
    monkeypatch.setenv("TOPO_SEARCH_ENGINE", "native")
    monkeypatch.setitem(sys.modules, "_topo_search_native", None)
    native_status.cache_clear()
    status, out, _ = run(monkeypatch, capsys, "doctor")
    assert (status, "FAIL  engine: TOPO_SEARCH_ENGINE is native, but" in out) == (1, True)
