"""From labelled images, wherever they are from, to a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from topo_search.errors import InputError
from topo_search.tasks.base import Split, Task, TaskConfig
from topo_search.tasks.scaling import area_average
from topo_search.tasks.splits import stratified_split, stratified_subset

__all__ = ["HOLD_OUT_STREAM", "ImagePart", "ImageSource", "build_task", "in_memory", "random_stream"]

# Each use of the configured seed draws from a stream of its own, so that none depends on another's draws.
HOLD_OUT_STREAM, _VALIDATION_STREAM, _TEST_STREAM, _PERMUTATION_STREAM = range(1, 5)

_CHUNK = 4096


@dataclass(frozen=True)
class ImagePart:
    """The official train or test part of a data set.

    Attributes:
        labels: ``(n,)`` int64, from 0 to classes - 1.
        read: Images ``(k, height, width, colours)`` uint8 for ``(k,)`` indices; reads no more than it needs to.
    """

    labels: NDArray[np.int64]
    read: Callable[[NDArray[np.int64]], NDArray[np.uint8]]


@dataclass(frozen=True)
class ImageSource:
    """A data set of labelled images.

    Attributes:
        label: Name for people.
        classes: Number of classes.
        max_value: Largest value that a pixel can have.
        train: The training part.
        open_test: Opens the test part; it alone touches test files. A module-level function or a ``partial`` of one,
            so that tasks can be pickled to worker processes.
        permuted: Whether the pixels are shown in one fixed random order.
    """

    label: str
    classes: int
    max_value: int
    train: ImagePart
    open_test: Callable[[], ImagePart]
    permuted: bool = False


def random_stream(seed: int, stream: int) -> np.random.Generator:
    """The generator of one use (a ``*_STREAM`` number) of a configured seed."""
    return np.random.default_rng([seed, stream])


def in_memory(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> ImagePart:
    """A part whose images ``(n, height, width, colours)`` are in memory already."""
    return ImagePart(labels=labels, read=images.__getitem__)


def build_task(config: TaskConfig, source: ImageSource) -> Task:
    """Splits, scales down and wraps up a data set.

    Args:
        config: A resolved configuration.
        source: The data set.

    Returns:
        The task. Only the train and validation images asked for have been read.

    Raises:
        InputError: Sizes larger than available, images that cannot be scaled down to ``image_size``, or what reading
            the images raises.
    """
    labels = source.train.labels
    train, validation = stratified_split(
        labels,
        validation_size=config.validation_size,
        train_size=config.train_size,
        rng=random_stream(config.seed, _VALIDATION_STREAM),
    )
    chosen = np.concatenate([train, validation])
    images = torch.from_numpy(_scaled(source.train.read(chosen), config))
    targets = torch.from_numpy(labels[chosen])
    train_split = Split(images[: len(train)], targets[: len(train)])
    colours = images.shape[-1]
    if config.normalise == "unit":
        offset, scale = (0.0,) * colours, (float(source.max_value),) * colours
    else:
        offset, scale = _mean_and_deviation(train_split.inputs)
    permutation = None
    if source.permuted:
        pixels = images.shape[1] * images.shape[2]
        permutation = torch.from_numpy(random_stream(config.seed, _PERMUTATION_STREAM).permutation(pixels))
    size = config.image_size
    return Task(
        config=config,
        label=source.label if size is None else f"{source.label} at {size}x{size}",
        classes=source.classes,
        train=train_split,
        validation=Split(images[len(train) :], targets[len(train) :]),
        offset=offset,
        scale=scale,
        permutation=permutation,
        read_test=partial(_read_test, config, source.open_test, tuple(images.shape[1:])),
    )


def _read_test(config: TaskConfig, open_test: Callable[[], ImagePart], shape: tuple[int, ...]) -> Split:
    part = open_test()
    chosen = stratified_subset(
        part.labels, config.test_size, rng=random_stream(config.seed, _TEST_STREAM), name="test_size"
    )
    images = _scaled(part.read(chosen), config)
    if images.shape[1:] != shape:
        raise InputError(
            f"test images of task {config.name}: expected shape {shape} as in train, got {images.shape[1:]}"
        )
    return Split(torch.from_numpy(images), torch.from_numpy(part.labels[chosen]))


def _scaled(images: NDArray[np.uint8], config: TaskConfig) -> NDArray[np.uint8]:
    if config.image_size is None:
        return images
    return area_average(images, config.image_size, source=f"task {config.name}")


def _mean_and_deviation(images: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Exact mean and (population) standard deviation of each colour over ``(n, height, width, colours)`` uint8."""
    colours = images.shape[-1]
    histograms = torch.zeros(colours, 256, dtype=torch.int64)
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK]
        for colour in range(colours):
            histograms[colour] += torch.bincount(chunk[..., colour].reshape(-1), minlength=256)
    counts = histograms.numpy().astype(np.float64)
    values = np.arange(256.0)
    total = counts.sum(axis=1)
    mean = counts @ values / total
    variance = (counts * (values - mean[:, None]) ** 2).sum(axis=1) / total
    # A colour that never varies carries nothing; dividing it by 1 keeps it at zero instead of NaN.
    deviation = np.where(variance > 0.0, np.sqrt(variance), 1.0)
    return tuple(mean.tolist()), tuple(deviation.tolist())
