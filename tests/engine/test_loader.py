import sys
from types import ModuleType

import pytest

from topo_search.engine.native import loader
from topo_search.engine.native.loader import INTERFACE, MODULE, NativeStatus, native_status
from topo_search.errors import InputError


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Every test asks anew; the answer of the machine at hand is asked for again afterwards."""
    monkeypatch.delenv("TOPO_SEARCH_ENGINE", raising=False)
    native_status.cache_clear()
    yield
    native_status.cache_clear()


def install(monkeypatch, *, interface=INTERFACE, levels=("avx512", "avx2"), usable=("avx512", "avx2")):
    module = ModuleType(MODULE)
    module.INTERFACE, module.LEVELS, module.usable_levels = interface, tuple(levels), lambda: list(usable)
    monkeypatch.setitem(sys.modules, MODULE, module)
    return module


def remove(monkeypatch):
    monkeypatch.setitem(sys.modules, MODULE, None)  # An import of it raises ModuleNotFoundError.


def test_the_best_level_of_the_processor_is_taken(monkeypatch):
    module = install(monkeypatch)
    assert native_status() == NativeStatus(module, "avx512", "")
    assert native_status().engine == "native avx512"
    native_status.cache_clear()
    install(monkeypatch, usable=("avx2",))
    assert native_status().engine == "native avx2"


def test_the_module_is_loaded_once(monkeypatch):
    calls = []
    install(monkeypatch).usable_levels = lambda: calls.append(1) or ["avx2"]
    assert native_status() is native_status()
    assert len(calls) == 1


def test_an_engine_that_was_not_built(monkeypatch):
    remove(monkeypatch)
    status = native_status()
    assert (status.module, status.level, status.engine) == (None, "", "reference")
    assert status.reason.startswith("the compiled engine was not built: install a C++ compiler")
    assert status.reason.endswith("and run pip install again")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ImportError("undefined symbol:\n _ZN5"), "cannot be loaded: undefined symbol: _ZN5"),
        (ModuleNotFoundError("No module named 'other'", name="other"), "cannot be loaded: No module named 'other'"),
    ],
)
def test_an_engine_that_cannot_be_loaded(monkeypatch, error, text):
    def fail(name):
        raise error

    monkeypatch.setattr(loader.importlib, "import_module", fail)
    assert native_status().module is None
    assert native_status().reason == f"the compiled engine {text}"


@pytest.mark.parametrize("built", [INTERFACE - 1, INTERFACE + 1, None])
def test_an_engine_of_another_interface(monkeypatch, built):
    install(monkeypatch, interface=built)
    status = native_status()
    assert status.module is None
    assert f"was built for interface {built}, this source needs {INTERFACE}: run pip install again" in status.reason


def test_a_processor_without_the_levels_that_were_built(monkeypatch):
    install(monkeypatch, levels=("avx512", "avx2"), usable=())
    status = native_status()
    assert (status.module, status.level) == (None, "")
    assert "needs avx512 or avx2, which this processor lacks" in status.reason


def test_an_architecture_without_levels(monkeypatch):
    install(monkeypatch, levels=(), usable=())
    assert native_status().reason == "the compiled engine needs a processor with AVX2, or a 64-bit ARM"


def test_the_environment_switches_it_off(monkeypatch):
    install(monkeypatch)
    monkeypatch.setenv("TOPO_SEARCH_ENGINE", "reference")
    assert native_status() == NativeStatus(None, "", "switched off by TOPO_SEARCH_ENGINE=reference")


@pytest.mark.parametrize("value", ["", "auto", "native"])
def test_the_environment_lets_it_serve(monkeypatch, value):
    module = install(monkeypatch)
    monkeypatch.setenv("TOPO_SEARCH_ENGINE", value)
    assert native_status().module is module


def test_native_by_force_is_an_error_where_it_is_missing(monkeypatch):
    remove(monkeypatch)
    monkeypatch.setenv("TOPO_SEARCH_ENGINE", "native")
    for _ in range(2):  # A failure is not kept as the answer.
        with pytest.raises(InputError, match=r"^TOPO_SEARCH_ENGINE is native, but the compiled engine was not built"):
            native_status()


@pytest.mark.parametrize("value", ["Native", "gpu", "1"])
def test_any_other_value_is_refused(monkeypatch, value):
    install(monkeypatch)
    monkeypatch.setenv("TOPO_SEARCH_ENGINE", value)
    with pytest.raises(InputError, match=f"must be auto, native or reference, got '{value}'"):
        native_status()


def test_reasons_are_one_line(monkeypatch):
    remove(monkeypatch)
    assert "\n" not in native_status().reason
