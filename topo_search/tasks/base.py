"""What a task is: its configuration, its splits, and batches of sequences made from them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator

from topo_search.errors import InputError

__all__ = ["Presentation", "Split", "Task", "TaskConfig"]

Presentation = Literal["rows", "pixels"]
Count = Annotated[int, Field(ge=1)]


class TaskConfig(BaseModel):
    """Which task, how its images become sequences, and how its images are split.

    Types are strict (``"3"`` and ``True`` are not integers) and unknown entries are errors. Which tasks take
    ``image_size``, ``folder`` and ``grey`` is checked by :func:`topo_search.tasks.resolve_config`.

    Attributes:
        name: Key of :data:`topo_search.tasks.TASKS`.
        presentation: ``"rows"`` shows one image row a step, ``"pixels"`` one pixel a step. None: the task's own default
            (rows for digits, pixels for the others).
        hold: Steps for which each row or pixel is shown, at least 1.
        train_size: Images kept for training, at least 1, stratified. None: all that validation leaves.
        validation_size: Images taken from the training part for validation: a count of at least 1, or a fraction in
            (0, 1) of the *whole* training part. It does not depend on ``train_size``.
        test_size: Images kept of the test part, at least 1, stratified. None: all.
        seed: Seed of the splits and of the permutation of ``ps_mnist``, at least 0.
        image_size: Side in pixels to which images are scaled down by area averaging. None: as they are.
        folder: Folder with ``train`` and ``test`` for ``image_folder``, absolute or relative to the data folder.
        grey: Whether ``image_folder`` turns colour into grey.
        normalise: ``"standard"`` subtracts the mean and divides by the standard deviation of the train split (one
            scalar per colour); ``"unit"`` divides by the largest possible value, which gives [0, 1].
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    presentation: Presentation | None = None
    hold: Count = 1
    train_size: Count | None = None
    validation_size: int | float = 0.2
    test_size: Count | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    image_size: Count | None = None
    folder: str | None = None
    grey: bool = False
    normalise: Literal["standard", "unit"] = "standard"

    @field_validator("validation_size", mode="before")
    @classmethod
    def _check_validation_size(cls, value: object) -> object:
        is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        is_fraction = isinstance(value, float) and math.isfinite(value) and 0.0 < value < 1.0
        if not (is_count or is_fraction):
            raise ValueError(f"expected a count of at least 1 or a fraction between 0 and 1, got {value!r}")
        return value


@dataclass(frozen=True, eq=False)
class Split:
    """Labelled images of one split.

    Attributes:
        inputs: ``(n, height, width, colours)`` uint8.
        labels: ``(n,)`` int64, from 0 to classes - 1.

    Raises:
        ValueError: Types or lengths differ from the above.
    """

    inputs: torch.Tensor = field(repr=False)
    labels: torch.Tensor = field(repr=False)

    def __post_init__(self) -> None:
        if self.inputs.dtype != torch.uint8 or self.inputs.ndim != 4:
            raise ValueError(f"inputs: expected 4-d uint8, got {self.inputs.ndim}-d {self.inputs.dtype}")
        if self.labels.dtype != torch.int64 or self.labels.shape != self.inputs.shape[:1]:
            raise ValueError(
                f"labels: expected int64 of shape {tuple(self.inputs.shape[:1])}, "
                f"got {self.labels.dtype} of shape {tuple(self.labels.shape)}"
            )

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """A classification task over sequences made from images.

    The images stay uint8; :meth:`batch` turns a selection into normalised sequences. The order of steps and channels:

    - ``pixels``: step ``row * width + column`` shows that pixel; the channels are its colours.
    - ``rows``: step ``row`` shows that row; channel ``column * colours + colour`` (the colour runs fastest).
    - a permutation reorders the pixels first: place ``p`` of the image then holds pixel ``permutation[p]``.
    - each step is shown ``hold`` times in a row.

    Attributes:
        config: The resolved configuration (its presentation is set).
        label: The task's name for people, for example "sequential CIFAR-10 (JPEG)".
        classes: Number of classes.
        train: Train split, in seeded random order.
        validation: Validation split, in seeded random order, disjoint from train.
        offset: Per colour, what is subtracted from a uint8 value.
        scale: Per colour, what the difference is divided by.
        permutation: ``(height * width,)`` int64, a bijection of the pixels, or None.
        read_test: Reads the test split; use :meth:`test`, which calls it at most once.
    """

    config: TaskConfig
    label: str
    classes: int
    train: Split = field(repr=False)
    validation: Split = field(repr=False)
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    read_test: Callable[[], Split] = field(repr=False)
    permutation: torch.Tensor | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Key of the task in :data:`topo_search.tasks.TASKS`."""
        return self.config.name

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and colours of one image."""
        height, width, colours = self.train.inputs.shape[1:]
        return height, width, colours

    @property
    def channels(self) -> int:
        """Input channels C of a batch."""
        _, width, colours = self.image_shape
        return width * colours if self.config.presentation == "rows" else colours

    @property
    def steps(self) -> int:
        """Steps T of a batch, hold included."""
        height, width, _ = self.image_shape
        return (height if self.config.presentation == "rows" else height * width) * self.config.hold

    def test(self) -> Split:
        """The test split. No test file is opened before the first call; later calls return the same object.

        Raises:
            InputError: The test files are missing or corrupt, or ``test_size`` is larger than they allow.
        """
        return self._test

    @cached_property
    def _test(self) -> Split:
        return self.read_test()

    def batch(
        self,
        split: Split,
        indices: torch.Tensor | slice | None = None,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Turns images of a split into sequences.

        Args:
            split: ``train``, ``validation`` or ``test()`` of this task.
            indices: Which images: 1-d integer or bool tensor, a slice, or None for all.
            device: Where the result goes. None: where the split is.
            dtype: Floating-point type of the inputs. float64 is normalised in float64, all others in float32.

        Returns:
            Inputs ``(T, B, C)``, contiguous, normalised, and labels ``(B,)`` int64.

        Raises:
            InputError: ``dtype`` is not a floating-point type, ``indices`` is not 1-d, or the images of the split
                are not the shape of this task's.
            IndexError: An index is outside the split.
        """
        if not dtype.is_floating_point:
            raise InputError(f"dtype: expected a floating-point type, got {dtype}, in a batch of task {self.name}")
        if isinstance(indices, torch.Tensor) and indices.ndim != 1:
            raise InputError(f"indices: expected 1 dimension, got {indices.ndim}, in a batch of task {self.name}")
        if tuple(split.inputs.shape[1:]) != self.image_shape:
            raise InputError(
                f"split: expected images of shape {self.image_shape}, got {tuple(split.inputs.shape[1:])}, "
                f"in a batch of task {self.name}"
            )
        chosen: torch.Tensor | slice
        if isinstance(indices, torch.Tensor):
            chosen = indices.to(split.inputs.device)
        else:
            chosen = slice(None) if indices is None else indices
        images, labels = split.inputs[chosen], split.labels[chosen]
        pixels = images.flatten(1, 2)
        if self.permutation is not None:
            pixels = pixels[:, self.permutation.to(pixels.device)]
        # Everything that moves data is done on bytes, before the values grow fourfold or eightfold.
        frames = pixels.reshape(len(images), self.steps // self.config.hold, self.channels)
        frames = frames.transpose(0, 1).to(device=device).contiguous()

        working = torch.float64 if dtype == torch.float64 else torch.float32
        repeats = self.channels // len(self.offset)
        offset = torch.tensor(self.offset, dtype=working, device=frames.device).repeat(repeats)
        scale = torch.tensor(self.scale, dtype=working, device=frames.device).repeat(repeats)
        inputs = frames.to(working).sub_(offset).div_(scale).to(dtype)
        if self.config.hold > 1:
            inputs = inputs.repeat_interleave(self.config.hold, dim=0)
        return inputs, labels.to(device=frames.device)
