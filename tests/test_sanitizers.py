"""The native engine's tests once more, under the address and undefined-behaviour sanitizers."""

import subprocess
import sys

import pytest
from support.installing import ROOT, Environment, compiler, missing_for_a_build

TESTS = sorted((ROOT / "tests" / "engine").glob("test_native*.py"))


def runtime() -> list[str]:
    """Libraries to load before Python: the interpreter itself is built without sanitizers."""
    if sys.platform != "linux":
        pytest.skip("loading the sanitizers before Python is known to work on Linux only")
    if reason := missing_for_a_build():
        pytest.skip(reason)
    ask = [compiler(), "--version"]
    if "Free Software Foundation" not in subprocess.run(ask, capture_output=True, text=True, check=True).stdout:
        pytest.skip("the sanitizers are run with GCC, whose runtime is a shared library")
    # The C++ library too: the address sanitizer looks for the function that throws when it is loaded.
    asked = [[compiler(), f"-print-file-name={name}"] for name in ("libasan.so", "libstdc++.so.6")]
    found = [subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip() for ask in asked]
    if not all("/" in path for path in found):
        pytest.skip("GCC's sanitizer libraries are not installed")
    return found


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_native_engine_under_sanitizers(tmp_path):
    assert TESTS
    preload = runtime()
    environment = Environment(tmp_path / "venv")
    environment.install("-C", "cmake.define.TOPO_SEARCH_SANITIZE=ON", "-C", "install.strip=false", ".")
    (module,) = environment.site.glob("_topo_search_native*.so")
    assert b"__asan_report" in module.read_bytes()
    done = environment.run(
        # Not captured: what a sanitizer writes as it ends the process would be lost.
        *("-m", "pytest", "-m", "not slow", "--capture=no", "-p", "no:cacheprovider", "--timeout", 1200, *TESTS),
        timeout=2900,
        check=False,
        LD_PRELOAD=" ".join(preload),
        # Python and torch keep what they allocate.
        ASAN_OPTIONS="detect_leaks=0",
        UBSAN_OPTIONS="print_stacktrace=1",
        TOPO_SEARCH_ENGINE="native",
    )
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-8000:]}"
