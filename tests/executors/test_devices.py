import pytest

from topo_search.executors.devices import worker_device


@pytest.mark.parametrize(
    ("count", "devices"),
    [
        (1, ["cuda:0", "cuda:0", "cuda:0", "cuda:0", "cuda:0"]),
        (2, ["cuda:0", "cuda:1", "cuda:0", "cuda:1", "cuda:0"]),
        (8, ["cuda:0", "cuda:1", "cuda:2", "cuda:3", "cuda:4"]),
        (0, ["cuda", "cuda", "cuda", "cuda", "cuda"]),  # Torch then says what is wrong.
    ],
)
def test_gpus_are_dealt_out_in_turn(count, devices):
    assert [worker_device("cuda", worker, count) for worker in range(5)] == devices


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_other_devices_are_every_workers(device):
    assert {worker_device(device, worker, 4) for worker in range(5)} == {device}
