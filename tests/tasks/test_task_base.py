"""Configuration and batches."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from topo_search.errors import InputError
from topo_search.tasks import Split, Task, TaskConfig
from topo_search.tasks.source import ImageSource, build_task, in_memory, random_stream


def part(count: int, shape: tuple[int, int, int], seed: int):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    return in_memory(images, np.arange(count, dtype=np.int64) % 3)


def make(*, shape=(3, 4, 2), permuted=False, max_value=255, **options) -> Task:
    config = TaskConfig(name="made_up", **{"presentation": "pixels", **options})
    source = ImageSource(
        label="made up",
        classes=3,
        max_value=max_value,
        train=part(30, shape, 1),
        open_test=partial(part, 12, shape, 2),
        permuted=permuted,
    )
    return build_task(config, source)


@pytest.mark.parametrize(
    "entries",
    [
        {"hold": 0},
        {"hold": -1},
        {"hold": 1.5},
        {"hold": True},
        {"hold": "2"},
        {"hold": float("nan")},
        {"train_size": 0},
        {"train_size": -5},
        {"test_size": 0},
        {"test_size": float("inf")},
        {"validation_size": 0},
        {"validation_size": -3},
        {"validation_size": 0.0},
        {"validation_size": 1.0},
        {"validation_size": 300.0},
        {"validation_size": -0.2},
        {"validation_size": float("nan")},
        {"validation_size": float("inf")},
        {"validation_size": True},
        {"validation_size": "0.2"},
        {"validation_size": None},
        {"seed": -1},
        {"seed": 0.5},
        {"seed": "zero"},
        {"image_size": 0},
        {"presentation": "columns"},
        {"normalise": "none"},
        {"grey": "yes"},
        {"holds": 2},
    ],
)
def test_config_refuses(entries):
    with pytest.raises(ValidationError) as caught:
        TaskConfig(name="digits", **entries)
    assert caught.value.error_count() == 1
    assert caught.value.errors()[0]["loc"][0] == next(iter(entries))


def test_config_is_frozen_and_round_trips():
    config = TaskConfig(name="digits", validation_size=7, hold=3)
    with pytest.raises(ValidationError):
        config.hold = 2
    assert TaskConfig.model_validate_json(config.model_dump_json()) == config
    assert TaskConfig(**config.model_dump()) == config


@pytest.mark.parametrize("shape", [(3, 4, 2), (5, 2, 1)])
@pytest.mark.parametrize("presentation", ["rows", "pixels"])
@pytest.mark.parametrize("hold", [1, 3])
@pytest.mark.parametrize("options", [{}, {"permuted": True}, {"normalise": "unit"}])
def test_batch_equals_plain_loops(slow_batch, shape, presentation, hold, options):
    task = make(shape=shape, presentation=presentation, hold=hold, **options)
    chosen = torch.tensor([5, 0, 5, 11])
    inputs, labels = task.batch(task.train, chosen, dtype=torch.float64)
    height, width, colours = shape
    steps, channels = (height, width * colours) if presentation == "rows" else (height * width, colours)
    assert inputs.shape == (steps * hold, 4, channels) == (task.steps, 4, task.channels)
    expected = torch.tensor(slow_batch(task, task.train.inputs[chosen]), dtype=torch.float64)
    torch.testing.assert_close(inputs, expected, rtol=1e-15, atol=1e-15)
    assert labels.tolist() == task.train.labels[chosen].tolist()
    assert inputs.is_contiguous()


def test_batch_by_slice_mask_and_all():
    task = make()
    everything, labels = task.batch(task.validation)
    assert everything.shape[1] == len(labels) == len(task.validation) == 6
    part, _ = task.batch(task.validation, slice(1, 4))
    assert torch.equal(part, everything[:, 1:4])
    mask = torch.tensor([True, False, False, True, False, False])
    masked, _ = task.batch(task.validation, mask)
    assert torch.equal(masked, everything[:, mask])
    empty, none = task.batch(task.validation, slice(0, 0))
    assert empty.shape == (12, 0, 2)
    assert none.shape == (0,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_batch_types(dtype):
    task = make(hold=2)
    exact, _ = task.batch(task.train, dtype=torch.float64)
    inputs, labels = task.batch(task.train, dtype=dtype, device="cpu")
    assert (inputs.dtype, labels.dtype) == (dtype, torch.int64)
    torch.testing.assert_close(inputs.double(), exact, rtol=4 * torch.finfo(dtype).eps, atol=1e-6)


def test_batch_leaves_the_data_alone():
    task = make()
    before = task.train.inputs.clone()
    inputs, _ = task.batch(task.train)
    inputs.zero_()
    assert torch.equal(task.train.inputs, before)
    assert task.train.inputs.dtype == torch.uint8


def test_batch_refuses():
    task = make()
    with pytest.raises(InputError, match=r"floating-point type, got torch\.int64"):
        task.batch(task.train, dtype=torch.int64)
    with pytest.raises(InputError, match="expected 1 dimension, got 0"):
        task.batch(task.train, torch.tensor(3))
    with pytest.raises(IndexError):
        task.batch(task.train, torch.tensor([24]))
    with pytest.raises(InputError, match=r"expected images of shape \(3, 4, 2\), got \(5, 2, 1\)"):
        task.batch(make(shape=(5, 2, 1)).train)


def test_standard_normalisation_uses_the_train_split_alone():
    task = make(train_size=9)
    inputs, _ = task.batch(task.train, dtype=torch.float64)
    assert len(task.train) == 9
    torch.testing.assert_close(inputs.mean((0, 1)), torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(inputs.std((0, 1), correction=0), torch.ones(2, dtype=torch.float64))
    raw = task.train.inputs.numpy().reshape(-1, 2).astype(np.float64)
    np.testing.assert_allclose(task.offset, raw.mean(0), rtol=1e-13)
    np.testing.assert_allclose(task.scale, raw.std(0), rtol=1e-13)
    other, _ = task.batch(task.validation, dtype=torch.float64)
    assert other.mean((0, 1)).abs().min() > 1e-6


def test_unit_normalisation_divides_by_the_largest_possible_value():
    task = make(normalise="unit", max_value=255)
    inputs, _ = task.batch(task.train)
    assert torch.equal(inputs[0], task.train.inputs[:, 0, 0].float() / 255)
    assert inputs.min() >= 0
    assert inputs.max() <= 1


def test_a_constant_colour_becomes_zero():
    images = np.full((8, 2, 2, 1), 7, dtype=np.uint8)
    labels = np.arange(8, dtype=np.int64) % 2
    source = ImageSource("flat", 2, 255, in_memory(images, labels), partial(in_memory, images, labels))
    task = build_task(TaskConfig(name="flat", presentation="pixels"), source)
    assert torch.equal(task.batch(task.train)[0], torch.zeros(4, len(task.train), 1))


def test_permutation_is_one_fixed_bijection():
    tasks = [make(permuted=True, seed=seed) for seed in (3, 3, 4)]
    orders = [task.permutation.tolist() for task in tasks]
    assert sorted(orders[0]) == list(range(12))
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != list(range(12))
    in_order, _ = make(seed=3).batch(make(seed=3).test())
    permuted, _ = tasks[0].batch(tasks[0].test())
    assert torch.equal(permuted, in_order[orders[0]])
    assert make(permuted=True, seed=3, train_size=9, validation_size=3).permutation.tolist() == orders[0]


def test_each_use_of_the_seed_has_its_own_stream():
    draws = {tuple(random_stream(seed, stream).permutation(20)) for seed in range(3) for stream in range(1, 5)}
    assert len(draws) == 12


def test_test_part_is_opened_once_and_late():
    opened = []

    def open_test():
        opened.append(True)
        return part(12, (3, 4, 2), 2)

    source = ImageSource("counted", 3, 255, part(30, (3, 4, 2), 1), open_test)
    task = build_task(TaskConfig(name="counted", presentation="rows", test_size=6), source)
    task.batch(task.train)
    task.batch(task.validation)
    repr(task)
    assert opened == []
    first = task.test()
    assert task.test() is first
    assert opened == [True]
    assert len(first) == 6
    assert first.labels.bincount().tolist() == [2, 2, 2]


def test_test_images_of_another_shape_are_refused():
    source = ImageSource("odd", 3, 255, part(30, (3, 4, 2), 1), partial(part, 12, (4, 4, 2), 2))
    task = build_task(TaskConfig(name="odd", presentation="rows"), source)
    with pytest.raises(InputError, match=r"expected shape \(3, 4, 2\) as in train, got \(4, 4, 2\)"):
        task.test()


def test_tasks_can_be_sent_to_worker_processes():
    task = make(permuted=True)
    copy = pickle.loads(pickle.dumps(task))
    assert torch.equal(copy.batch(copy.train)[0], task.batch(task.train)[0])
    assert torch.equal(copy.test().inputs, task.test().inputs)


@pytest.mark.parametrize(
    ("inputs", "labels"),
    [
        (torch.zeros(2, 3, 3, 1), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(2, 9, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(2, 3, 3, 1, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)),
        (torch.zeros(2, 3, 3, 1, dtype=torch.uint8), torch.zeros(2, dtype=torch.int32)),
    ],
)
def test_split_checks_its_tensors(inputs, labels):
    with pytest.raises(ValueError, match="expected"):
        Split(inputs, labels)
