"""Downloads of the IDX data sets, on explicit request only."""

from __future__ import annotations

import tempfile
from http.client import HTTPException
from pathlib import Path

from topo_search.errors import InputError
from topo_search.tasks.idx import find_idx

__all__ = ["download_idx"]


def download_idx(dataset: str, folder: Path) -> None:
    """Fetches what is missing of the four IDX files of a data set, from torchvision's mirrors, checked by its MD5 sums.

    torchvision's own data set classes are not instantiated: they unpickle a legacy file where they find one. A file
    appears in ``folder`` only when it is complete.

    Args:
        dataset: ``"MNIST"`` or ``"FashionMNIST"``.
        folder: Where the files go; made where missing.

    Raises:
        InputError: The folder cannot be written, or no mirror gives the file.
    """
    from torchvision import datasets
    from torchvision.datasets.utils import download_and_extract_archive

    catalogue = getattr(datasets, dataset)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as scratch:
            for archive, md5 in catalogue.resources:
                name = archive.removesuffix(".gz")
                if find_idx(folder, name) is not None:
                    continue
                for mirror in (mirrors := list(catalogue.mirrors)):
                    try:
                        download_and_extract_archive(mirror + archive, download_root=scratch, filename=archive, md5=md5)
                        break
                    except (OSError, RuntimeError, HTTPException):
                        if mirror == mirrors[-1]:
                            raise
                (Path(scratch) / name).replace(folder / name)
    except (OSError, RuntimeError, HTTPException) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"download of {dataset} into {folder} failed: {reason}") from error
