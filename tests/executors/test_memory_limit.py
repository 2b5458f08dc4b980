import sys

import numpy as np
import pytest
import torch

from topo_search.executors import machine_memory
from topo_search.executors.guard import guarded
from topo_search.executors.memory_limit import _cgroup_limits, memory_limit

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory")
MB = 1_000_000


def limits():
    import resource

    return resource.getrlimit(resource.RLIMIT_DATA)


@LINUX
def test_an_allocation_beyond_the_limit_fails_and_the_limit_goes_with_the_block():
    before = limits()
    with memory_limit(50 * MB):
        np.ones(10 * MB, dtype=np.uint8)
        with pytest.raises(MemoryError):
            np.ones(100 * MB, dtype=np.uint8)
    assert limits() == before
    assert np.ones(100 * MB, dtype=np.uint8).sum() == 100 * MB


@LINUX
def test_torch_out_of_memory_is_known_as_such():
    def evaluate(request):
        with memory_limit(50 * MB):
            torch.zeros(100 * MB, dtype=torch.uint8)

    assert guarded(evaluate, None)["loss"] == "out of memory"
    assert torch.zeros(100 * MB, dtype=torch.uint8).numel() == 100 * MB


@LINUX
def test_a_limit_never_raises_one_that_is_there():
    with memory_limit(20 * MB):
        inner = limits()
        with memory_limit(10_000 * MB):
            assert limits() == inner
        assert limits() == inner


def test_no_limit_changes_nothing():
    with memory_limit(None):
        assert np.ones(100 * MB, dtype=np.uint8).sum() == 100 * MB


def test_the_machine_has_some_memory():
    assert machine_memory() > 100 * MB


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        ("0::/\n", {"memory.max": "5000\n"}, [5000]),
        ("0::/job/step\n", {"memory.max": "9", "job/memory.max": "7", "job/step/memory.max": "max"}, [7, 9]),
        ("0::/of/the/host\n", {"memory.max": "5000"}, [5000]),
        ("3:cpu:/\n4:memory:/a\n0::/\n", {"memory/a/memory.limit_in_bytes": "3"}, [3]),
        ("4:cpu,memory:/a\n", {"memory/memory.limit_in_bytes": "8"}, [8]),
        ("0::/\n", {"memory.max": "max\n"}, []),
        ("3:cpu:/\n", {"memory.max": "5000"}, []),
        (None, {"memory.max": "5000"}, []),
    ],
)
def test_limits_of_control_groups(tmp_path, cgroup, files, expected):
    (tmp_path / "proc").mkdir()
    if cgroup is not None:
        put(tmp_path / "proc" / "cgroup", cgroup)
    for name, text in files.items():
        put(tmp_path / "cgroups" / name, text)
    assert sorted(_cgroup_limits(tmp_path / "proc", tmp_path / "cgroups")) == expected
