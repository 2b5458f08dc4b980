"""Folders of image files, one folder a class."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from topo_search.errors import InputError
from topo_search.tasks.scaling import area_average
from topo_search.tasks.source import ImagePart

__all__ = ["ImageListing", "list_images", "open_folder"]

_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp")
# Named, so that a file that pretends to be an image cannot reach a decoder that starts other programs.
_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")


@dataclass(frozen=True)
class ImageListing:
    """The image files of a tree, not opened yet.

    Attributes:
        classes: Names of the class folders, sorted; a label is a place in it.
        files: Paths, sorted within each class.
        labels: ``(len(files),)`` int64.
    """

    classes: tuple[str, ...]
    files: tuple[str, ...]
    labels: NDArray[np.int64]


def list_images(folder: Path) -> ImageListing:
    """Lists ``folder/<class>/**/<image>`` in the order of ``torchvision.datasets.ImageFolder``.

    Unlike it, names that begin with a dot are skipped, as are folders below a class that are symbolic links.

    Raises:
        InputError: The folder is missing or holds no class folders, or a class folder holds no images.
    """
    if not folder.is_dir():
        raise InputError(f"expected a folder of class folders: {folder}")
    try:
        classes = tuple(sorted(e.name for e in folder.iterdir() if e.is_dir() and not e.name.startswith(".")))
    except OSError as error:
        raise InputError(f"cannot list {folder}: {error.strerror}") from error
    if not classes:
        raise InputError(f"expected at least one class folder, found none: {folder}")
    files: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = _image_files(folder / name)
        if not found:
            raise InputError(f"class folder without images (expected {', '.join(_EXTENSIONS)}): {folder / name}")
        files.extend(found)
        labels.extend([label] * len(found))
    return ImageListing(classes=classes, files=tuple(files), labels=np.array(labels, dtype=np.int64))


def _image_files(folder: Path) -> list[str]:
    found: list[tuple[str, str]] = []
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found.extend((parent, n) for n in names if n.lower().endswith(_EXTENSIONS) and not n.startswith("."))
    return [str(Path(parent, name)) for parent, name in sorted(found)]


def _raise(error: OSError) -> None:
    raise InputError(f"cannot list {error.filename}: {error.strerror}") from error


def open_folder(
    listing: ImageListing,
    *,
    grey: bool = False,
    image_size: int | None = None,
    expected_size: tuple[int, int] | None = None,
) -> ImagePart:
    """Makes a part of listed files; an image is decoded when it is read.

    Args:
        listing: The files.
        grey: Whether colour becomes grey (1 channel, ITU-R 601 luma); else all become RGB (3 channels).
        image_size: Side to which every image is scaled down by area averaging. None: all must have one size.
        expected_size: Height and width that every image must have. None: those of the first one read.

    Returns:
        The part. Its ``read`` raises InputError, with the file's name, for a file that is not a readable 8-bit image
        or whose size is not the expected one.
    """
    return ImagePart(
        labels=listing.labels,
        read=partial(_decode_all, listing.files, grey=grey, image_size=image_size, expected_size=expected_size),
    )


def _decode_all(
    files: tuple[str, ...],
    indices: NDArray[np.int64],
    *,
    grey: bool,
    image_size: int | None,
    expected_size: tuple[int, int] | None,
) -> NDArray[np.uint8]:
    images: NDArray[np.uint8] | None = None
    for place, index in enumerate(indices):
        path = files[index]
        image = _decode(path, grey=grey)
        size = image.shape[:2]
        if image_size is not None:
            image = area_average(image[None], image_size, source=path)[0]
        elif expected_size is None:
            expected_size = size
        if expected_size is not None and size != expected_size:
            wanted = f"{expected_size[0]} x {expected_size[1]}"
            raise InputError(f"expected an image of {wanted} (or set image_size), got {size[0]} x {size[1]}: {path}")
        if images is None:
            images = np.empty((len(indices), *image.shape), dtype=np.uint8)
        images[place] = image
    if images is None:
        raise ValueError("indices: expected at least one")
    return images


def _decode(path: str, *, grey: bool) -> NDArray[np.uint8]:
    """One image as ``(height, width, 1 or 3)``."""
    from PIL import Image

    try:
        with Image.open(path, formats=_FORMATS) as image:
            if image.mode.startswith(("I", "F")):
                raise InputError(f"expected an image of 8 bits a channel, got mode {image.mode}: {path}")
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot read image {path}: {' '.join(str(error).split())}") from error
    return pixels[..., None] if grey else pixels
