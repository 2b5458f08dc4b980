"""The sequential image benchmarks: MNIST (in order and permuted), Fashion-MNIST and CIFAR-10."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from topo_search.errors import InputError
from topo_search.tasks.base import Task, TaskConfig
from topo_search.tasks.cifar_binary import BATCHES_FOLDER, TEST_FILE, TRAIN_FILES, open_binary
from topo_search.tasks.download import download_idx
from topo_search.tasks.folders import list_images, open_folder
from topo_search.tasks.idx import find_idx, read_idx
from topo_search.tasks.source import ImagePart, ImageSource, build_task, in_memory

__all__ = ["load_cifar10", "load_idx_task"]

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_CLASSES = 10
_SIDE = 28
_HINT = "point --data-dir or TOPO_SEARCH_DATA at the folder that holds"


def load_idx_task(
    config: TaskConfig, data_dir: Path, download: bool, *, dataset: str, label: str, permuted: bool = False
) -> Task:
    """MNIST or Fashion-MNIST from IDX files, plain or gzipped: 60,000 + 10,000 grey images of 28x28.

    Sources: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
    1998; H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST", 2017. Pixel by pixel, in order and permuted: Q. V. Le,
    N. Jaitly, G. E. Hinton, "A simple way to initialize recurrent networks of rectified linear units", 2015.

    Args:
        config: A resolved configuration.
        data_dir: The folder that holds ``{dataset}/raw``.
        download: Whether to fetch what is missing.
        dataset: ``"MNIST"`` or ``"FashionMNIST"``, torchvision's name and folder.
        label: Name of the task for people.
        permuted: Whether the pixels are shown in one fixed random order.

    Raises:
        InputError: Files missing or corrupt, a download that failed, or sizes larger than available.
    """
    folder = data_dir / dataset / "raw"
    if download:
        download_idx(dataset, folder)
    train = _open_idx(folder, "train", config.name)
    # The test part is read at the end of a search; that it is not there must be known at its beginning.
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        _require_idx(folder, name, config.name)
    source = ImageSource(
        label=label,
        classes=_CLASSES,
        max_value=255,
        train=train,
        open_test=partial(_open_idx, folder, "t10k", config.name),
        permuted=permuted,
    )
    return build_task(config, source)


def _open_idx(folder: Path, part: str, task: str) -> ImagePart:
    images_file = _require_idx(folder, f"{part}-images-idx3-ubyte", task)
    labels_file = _require_idx(folder, f"{part}-labels-idx1-ubyte", task)
    labels = read_idx(labels_file)
    if int(labels.max()) >= _CLASSES:
        raise InputError(f"label out of range: expected 0 to {_CLASSES - 1}, got {labels.max()}: {labels_file}")
    images = read_idx(images_file, shape=(_SIDE, _SIDE))
    if len(images) != len(labels):
        raise InputError(f"expected as many labels as images, got {len(labels)} and {len(images)}: {labels_file}")
    return in_memory(images[..., None], labels.astype(np.int64))


def _require_idx(folder: Path, name: str, task: str) -> Path:
    path = find_idx(folder, name)
    if path is None:
        below = f"{folder.parent.name}/{folder.name}"
        raise InputError(f"{task}: expected {name} or {name}.gz in {folder}; pass --download, or {_HINT} {below}")
    return path


def load_cifar10(config: TaskConfig, data_dir: Path, download: bool) -> Task:
    """CIFAR-10, 50,000 + 10,000 colour images of 32x32, from its binary version or from folders of image files.

    The binary version (``cifar-10-batches-bin/*.bin``) is preferred. Folders (``cifar10/{train,test}/<class>/*``) are
    labelled "(JPEG)", since the known copies are JPEG, which is lossy: compare with published figures loosely. The
    version in pickles is never read.

    Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.

    Args:
        config: A resolved configuration.
        data_dir: The folder that holds ``cifar-10-batches-bin`` or ``cifar10``.
        download: Changes nothing but the error for missing data: there is no download without pickles.

    Raises:
        InputError: Files missing or corrupt, or sizes larger than available.
    """
    binary, folders = data_dir / BATCHES_FOLDER, data_dir / "cifar10"
    test = binary / TEST_FILE if binary.is_dir() else folders / "test"
    if (binary.is_dir() or folders.is_dir()) and not test.exists():
        raise InputError(f"{config.name}: expected the test part at {test}, found nothing there")
    if binary.is_dir():
        source = ImageSource(
            label="sequential CIFAR-10",
            classes=_CLASSES,
            max_value=255,
            train=open_binary([binary / name for name in TRAIN_FILES]),
            open_test=partial(open_binary, [binary / TEST_FILE]),
        )
    elif folders.is_dir():
        source = ImageSource(
            label="sequential CIFAR-10 (JPEG)",
            classes=_CLASSES,
            max_value=255,
            train=_open_cifar_folder(folders / "train"),
            open_test=partial(_open_cifar_folder, folders / "test"),
        )
    else:
        refusal = "--download cannot fetch it (only pickles are offered); " if download else ""
        raise InputError(
            f"{config.name}: expected {BATCHES_FOLDER}/*.bin or cifar10/train/<class>/*.jpg in {data_dir}; {refusal}"
            f"fetch its binary version by hand (cs.toronto.edu/~kriz/cifar.html), or {_HINT} either"
        )
    return build_task(config, source)


def _open_cifar_folder(folder: Path) -> ImagePart:
    listing = list_images(folder)
    if listing.classes != CIFAR10_CLASSES:
        raise InputError(
            f"expected the class folders {', '.join(CIFAR10_CLASSES)}, got {', '.join(listing.classes)}: {folder}"
        )
    return open_folder(listing, expected_size=(32, 32))
