import sys

import numpy as np
import pytest
import torch

from topo_search.executors import machine_memory
from topo_search.executors.guard import guarded
from topo_search.executors.memory_limit import memory_limit

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
