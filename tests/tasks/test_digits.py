"""The embedded digits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from topo_search.errors import InputError
from topo_search.tasks import TaskConfig, load_task


def rows(images: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


@pytest.fixture(scope="module")
def task():
    return load_task(TaskConfig(name="digits", hold=3))


def test_shape(task):
    assert (task.name, task.label, task.classes) == ("digits", "digits 8x8", 10)
    assert (task.steps, task.channels) == (24, 8)
    assert task.config.presentation == "rows"
    inputs, labels = task.batch(task.train, slice(0, 5))
    assert inputs.shape == (24, 5, 8)
    assert labels.shape == (5,)
    pixels = load_task(TaskConfig(name="digits", presentation="pixels"))
    assert (pixels.steps, pixels.channels) == (64, 1)


def test_parts_are_the_whole_data_set(task):
    from sklearn.datasets import load_digits

    data = load_digits()
    parts = (task.train, task.validation, task.test())
    assert [len(part) for part in parts] == [1150, 288, 359]
    for part in parts:
        share = part.labels.bincount(minlength=10) / len(part)
        assert (share - torch.from_numpy(np.bincount(data.target) / 1797)).abs().max() < 1 / len(part)
    together = torch.cat([part.inputs for part in parts]).numpy()
    labels = torch.cat([part.labels for part in parts]).tolist()
    found = sorted((image.tobytes(), label) for image, label in zip(together, labels, strict=True))
    wanted = sorted(
        (i.astype(np.uint8).tobytes(), int(label)) for i, label in zip(data.images, data.target, strict=True)
    )
    assert found == wanted


def test_parts_are_disjoint(task):
    parts = [rows(part.inputs) for part in (task.train, task.validation, task.test())]
    assert not parts[0] & parts[1]
    assert not parts[2] & (parts[0] | parts[1])


def test_test_part_depends_on_the_seed_alone(task):
    other = load_task(TaskConfig(name="digits", validation_size=100, train_size=200, presentation="pixels"))
    assert torch.equal(other.test().inputs, task.test().inputs)
    assert (len(other.train), len(other.validation)) == (200, 100)
    reseeded = load_task(TaskConfig(name="digits", seed=1))
    assert rows(reseeded.test().inputs) != rows(task.test().inputs)


def test_same_configuration_same_bytes(task):
    again = load_task(TaskConfig(name="digits", hold=3))
    for one, two in ((task.train, again.train), (task.validation, again.validation)):
        assert torch.equal(one.inputs, two.inputs)
        assert torch.equal(one.labels, two.labels)
    assert (task.offset, task.scale) == (again.offset, again.scale)


def test_unit_range_is_sixteen():
    task = load_task(TaskConfig(name="digits", normalise="unit"))
    assert task.scale == (16.0,)
    assert task.batch(task.train)[0].max() == 1.0


def test_no_data_folder_is_looked_at(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TOPO_SEARCH_DATA", str(tmp_path / "file"))
    assert len(load_task(TaskConfig(name="digits", test_size=10)).test()) == 10


def test_sizes_beyond_the_data_name_both_numbers():
    with pytest.raises(InputError, match="train_size: 1200 images asked for, 1150 available"):
        load_task(TaskConfig(name="digits", train_size=1200))
    with pytest.raises(InputError, match="validation_size: 1438 of 1438 images"):
        load_task(TaskConfig(name="digits", validation_size=1438))
    with pytest.raises(InputError, match="test_size: 400 images asked for, 359 available"):
        load_task(TaskConfig(name="digits", test_size=400)).test()
