"""Installing from a clone, with a compiler and without one."""

import json

import pytest
from support.installing import ROOT, Environment, missing_for_a_build
from support.tiny import tiny_space

from topo_search.config import space_to_yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

NOWHERE = {"CC": "/nowhere/cc", "CXX": "/nowhere/c++"}

REPORT = """
import json
import _topo_search_native, topo_search
from topo_search.engine.native import native_status
status = native_status()
print(json.dumps([topo_search.__file__, _topo_search_native.__file__, status.engine, status.reason]))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    if reason := missing_for_a_build():
        pytest.skip(reason)
    return Environment(tmp_path_factory.mktemp("install") / "venv")


@pytest.fixture(scope="module", params=["editable", "plain"])
def installed(request, environment, tmp_path_factory):
    """The environment with a compiled engine; both ways of installing share a build folder."""
    build = f"build-dir={environment.path.parent / 'build'}"
    environment.install("-C", build, *(["--editable", "."] if request.param == "editable" else ["."]))
    return request.param, environment


@pytest.fixture
def folder(request, tmp_path):
    return ROOT if request.param == "clone" else tmp_path


@pytest.mark.parametrize("folder", ["clone", "elsewhere"], indirect=True)
def test_the_native_engine_serves(installed, folder):
    kind, environment = installed
    package, module, engine, reason = json.loads(environment.run("-c", REPORT, cwd=folder).stdout)
    assert engine.startswith("native "), reason
    assert module.startswith(str(environment.site))
    # The clone's package hides the installed one: the engine must be found all the same.
    from_clone = kind == "editable" or folder == ROOT
    assert package.startswith(str(ROOT if from_clone else environment.site))


@pytest.mark.parametrize("folder", ["clone", "elsewhere"], indirect=True)
def test_doctor_reports_the_native_engine(installed, folder):
    _, environment = installed
    checks = json.loads(environment.run("-m", "topo_search", "doctor", "--json", cwd=folder).stdout)
    assert checks["engine"]["detail"].startswith("native "), checks["engine"]
    assert all(check["ok"] for check in checks.values()), checks


def test_without_a_compiler_the_package_is_installed_and_the_reference_serves(environment, tmp_path):
    environment.install(".", **NOWHERE)
    assert not list(environment.site.glob("_topo_search_native*"))
    checks = json.loads(environment.run("-m", "topo_search", "doctor", "--json", cwd=tmp_path).stdout)
    detail = checks["engine"]["detail"]
    assert checks["engine"]["ok"]
    assert detail.startswith("reference: the compiled engine was not built: install a C++ compiler")

    (tmp_path / "tiny.yaml").write_text(space_to_yaml(tiny_space()))
    search = ("evolve", "--space", "tiny.yaml", "--budget", 2, "--workers", 1, "--out", "run", "--json")
    done = environment.run("-m", "topo_search", *search, cwd=tmp_path)
    assert json.loads(done.stdout)["complete"] == 2
    said = [line for line in done.stderr.splitlines() if "engine" in line]
    assert said == [f"engine: reference ({detail.removeprefix('reference: ')})"]


def test_without_a_compiler_the_native_engine_cannot_be_forced(environment, tmp_path):
    environment.install(".", **NOWHERE)
    done = environment.run("-m", "topo_search", "evolve", cwd=tmp_path, check=False, TOPO_SEARCH_ENGINE="native")
    assert done.returncode == 2
    assert done.stderr.startswith("error: TOPO_SEARCH_ENGINE is native, but the compiled engine was not built")
    assert done.stderr.count("\n") == 1
