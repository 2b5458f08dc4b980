"""Any tree of image files with a train and a test part."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from topo_search.errors import InputError
from topo_search.tasks.base import Task, TaskConfig
from topo_search.tasks.folders import list_images, open_folder
from topo_search.tasks.source import ImagePart, ImageSource, build_task

__all__ = ["load_image_folder"]


def load_image_folder(config: TaskConfig, data_dir: Path, download: bool) -> Task:
    """Images from ``FOLDER/train/<class>/*`` and ``FOLDER/test/<class>/*``, trees as for torchvision's ``ImageFolder``.

    Args:
        config: A resolved configuration; ``folder`` is FOLDER, ``grey`` and ``image_size`` apply.
        data_dir: What a relative FOLDER is relative to.
        download: Not used: there is nothing to download.

    Raises:
        InputError: No such folder, an unreadable image, images of several sizes where ``image_size`` is not set, test
            classes other than train's (noticed by ``test()``), or sizes larger than available.
    """
    del download
    if config.folder is None:
        raise InputError(f"folder: expected the folder that holds train and test, got none, in task {config.name}")
    root = data_dir / Path(config.folder).expanduser()
    if not (root / "train").is_dir():
        raise InputError(
            f"{config.name}: expected train/<class>/* and test/<class>/* in {root}; a relative folder is looked for in "
            "--data-dir or TOPO_SEARCH_DATA"
        )
    if not (root / "test").is_dir():
        raise InputError(f"{config.name}: expected the test part at {root / 'test'}, found no folder there")
    listing = list_images(root / "train")
    source = ImageSource(
        label=f"image folder {root.name}{' (grey)' if config.grey else ''}",
        classes=len(listing.classes),
        max_value=255,
        train=open_folder(listing, grey=config.grey, image_size=config.image_size),
        open_test=partial(_open_test, root / "test", listing.classes, config),
    )
    return build_task(config, source)


def _open_test(folder: Path, classes: tuple[str, ...], config: TaskConfig) -> ImagePart:
    listing = list_images(folder)
    if listing.classes != classes:
        differing = sorted(set(classes) ^ set(listing.classes))
        raise InputError(
            f"expected the same classes in train and test, {', '.join(differing)} is in one only: {folder}"
        )
    return open_folder(listing, grey=config.grey, image_size=config.image_size)
