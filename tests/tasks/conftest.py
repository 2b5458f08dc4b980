"""Tiny data sets in the formats that the tasks read, and the real data where a machine has it."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from topo_search.tasks import Task


@pytest.fixture(autouse=True)
def _no_data_from_outside(request, monkeypatch):
    if "real_data" not in request.fixturenames:
        monkeypatch.delenv("TOPO_SEARCH_DATA", raising=False)


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = os.environ.get("TOPO_SEARCH_DATA")
    if not folder:
        pytest.skip("TOPO_SEARCH_DATA is not set: it names the folder with the unpacked MNIST and CIFAR-10")
    return Path(folder)


@pytest.fixture(scope="session")
def slow_batch() -> Callable[[Task, torch.Tensor], list]:
    """What a batch must be, by plain loops over steps, channels and images, as nested lists [T][B][C]."""

    def build(task: Task, images: torch.Tensor) -> list:
        pixels = images.tolist()
        height, width, colours = images.shape[1:]
        order = range(height * width) if task.permutation is None else task.permutation.tolist()

        def value(image: int, place: int, colour: int) -> float:
            row, column = divmod(order[place], width)
            return (pixels[image][row][column][colour] - task.offset[colour]) / task.scale[colour]

        steps = []
        places = height * width if task.config.presentation == "pixels" else height
        for step in range(places):
            if task.config.presentation == "pixels":
                channels = [(step, colour) for colour in range(colours)]
            else:
                channels = [(step * width + column, colour) for column in range(width) for colour in range(colours)]
            frame = [[value(image, place, colour) for place, colour in channels] for image in range(len(images))]
            steps.extend([frame] * task.config.hold)
        return steps

    return build


@pytest.fixture(scope="session")
def idx_bytes() -> Callable[[np.ndarray], bytes]:
    def build(array: np.ndarray) -> bytes:
        return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()

    return build


@pytest.fixture
def mnist_tree(tmp_path, idx_bytes) -> Callable[..., Path]:
    """Writes 60 train and 20 test images, classes in turn; returns the data folder."""

    def build(*, dataset: str = "MNIST", compressed: bool = False) -> Path:
        raw = tmp_path / dataset / "raw"
        raw.mkdir(parents=True)
        rng = np.random.default_rng(1)
        for part, count in (("train", 60), ("t10k", 20)):
            images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
            labels = (np.arange(count) % 10).astype(np.uint8)
            for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
                data = idx_bytes(array)
                path = raw / (f"{name}.gz" if compressed else name)
                path.write_bytes(gzip.compress(data) if compressed else data)
        return tmp_path

    return build


@pytest.fixture
def cifar_binary_tree(tmp_path) -> tuple[Path, np.ndarray, np.ndarray]:
    """Writes five train files and a test file of 8 records; returns the data folder, train images and labels."""
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (48, 32, 32, 3), dtype=np.uint8)
    labels = (np.arange(48) % 4).astype(np.uint8)
    for number in range(6):
        chosen = slice(8 * number, 8 * number + 8)
        planes = images[chosen].transpose(0, 3, 1, 2).reshape(8, -1)
        records = np.concatenate([labels[chosen, None], planes], axis=1)
        name = "test_batch.bin" if number == 5 else f"data_batch_{number + 1}.bin"
        (folder / name).write_bytes(records.tobytes())
    return tmp_path, images[:40], labels[:40].astype(np.int64)


@pytest.fixture(scope="session")
def write_images() -> Callable[..., dict[str, np.ndarray]]:
    """Writes ``root/part/class/N.png``; returns path below root -> ``(height, width, 3)``."""

    def build(root: Path, classes: tuple[str, ...], *, per_class: int, size: tuple[int, int], parts=("train", "test")):
        rng = np.random.default_rng(3)
        written = {}
        for part in parts:
            for name in classes:
                (root / part / name).mkdir(parents=True)
                for number in range(per_class):
                    pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
                    path = f"{part}/{name}/{number}.png"
                    Image.fromarray(pixels).save(root / path)
                    written[path] = pixels
        return written

    return build
