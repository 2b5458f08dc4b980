"""scikit-learn's 8x8 digits: the embedded data set."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from topo_search.tasks.base import Task, TaskConfig
from topo_search.tasks.source import HOLD_OUT_STREAM, ImageSource, build_task, in_memory, random_stream
from topo_search.tasks.splits import stratified_split

__all__ = ["load_digits"]

_TEST_FRACTION = 0.2


def load_digits(config: TaskConfig, data_dir: Path, download: bool) -> Task:
    """The 1,797 digits of 8x8 pixels with values 0 to 16 that scikit-learn ships.

    They have no official test part: a stratified 20 % (359), fixed by ``config.seed`` alone, is set aside first and
    the "training part" is the other 1,438. ``data_dir`` and ``download`` are not used.

    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998
    (its test part).

    Raises:
        InputError: Sizes larger than available.
    """
    del data_dir, download
    from sklearn import datasets

    digits = datasets.load_digits()
    images = digits.images.astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int64)
    train, test = stratified_split(
        labels, validation_size=_TEST_FRACTION, rng=random_stream(config.seed, HOLD_OUT_STREAM)
    )
    source = ImageSource(
        label="digits 8x8",
        classes=10,
        max_value=16,
        train=in_memory(images[train], labels[train]),
        open_test=partial(in_memory, images[test], labels[test]),
    )
    return build_task(config, source)
