"""Saved networks: judge, load, export."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from topo_search.api.starting import winner_graphs
from topo_search.errors import InputError
from topo_search.files import write_atomically
from topo_search.model import Certificate, ComboNet, export_arrays, judge_saved, load_network
from topo_search.model.certificate.plain import certify_plain, load_plain

__all__ = ["certify", "certify_arrays", "export", "load"]


def certify(path: str | Path) -> Certificate:
    """Judge a saved network from its files alone; see :func:`topo_search.model.judge_saved`."""
    _check_no_run(path)
    return judge_saved(path)


def certify_arrays(path: str | Path) -> Certificate:
    """Judge matrices that another program made, in their own coordinates and under forward Euler.

    Args:
        path: an ``.npz`` file; see :func:`topo_search.model.certificate.plain.certify_plain` for its arrays.

    Raises:
        InputError: if the file cannot be read, or its arrays cannot be judged.
    """
    return certify_plain(load_plain(path))


def load(path: str | Path) -> ComboNet:
    """A saved network, a ``torch.nn.Module`` that maps ``(T, B, C)`` to logits ``(B, classes)``.

    Raises:
        InputError: if the folder holds no network, or its files are corrupt or do not fit each other.
    """
    _check_no_run(path)
    return load_network(path)


def _check_no_run(path: str | Path) -> None:
    """Raise InputError for the folder of a run, which holds several networks."""
    winners = winner_graphs(Path(path))
    if winners and not (Path(path) / "model.safetensors").exists():
        raise InputError(f"{path} is a run: give {winners[0].parent}")


def export(path: str | Path, out: str | Path | None = None) -> Path:
    """Write a saved network as ``network.npz``, its adjacency as ``adjacency.csv`` and a picture, ``graph.svg``.

    Args:
        path: folder of the network.
        out: folder for the files; ``export`` in the network's folder where not given.

    Returns:
        The folder.

    Raises:
        InputError: as :func:`load`, or if the folder cannot be written to.
    """
    from topo_search.report import draw_graph

    network = load(path)
    folder = Path(path) / "export" if out is None else Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"folder {folder} cannot be made: {error.strerror}") from None
    with tempfile.TemporaryFile() as buffer:
        np.savez_compressed(buffer, allow_pickle=False, **export_arrays(network))
        buffer.seek(0)
        write_atomically(folder / "network.npz", buffer.read())
    rows = "\n".join(",".join(str(int(entry)) for entry in row) for row in network.graph.adjacency())
    write_atomically(folder / "adjacency.csv", rows + "\n")
    draw_graph(network.graph, folder / "graph.svg")
    return folder
