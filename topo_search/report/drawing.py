"""Empty figures, and figures as files: without a display, and the same bytes for the same content."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from topo_search.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "ROLE_COLOURS", "blank_figure", "picture", "write_picture"]

# Okabe and Ito's palette without its yellow, told apart by colour-blind readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
ROLE_COLOURS = {"input": "#56B4E9", "hidden": "#D9D9D9", "output": "#E69F00", "input+output": "#009E73"}


def blank_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches that needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def picture(figure: Figure, kind: str = "svg") -> bytes:
    """A figure as ``svg``, ``png`` or ``pdf``; ids are fixed, dates and versions left out of SVG."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if kind == "svg" else None
    with mpl.rc_context({"svg.hashsalt": "topo_search"}):
        figure.savefig(buffer, format=kind, metadata=metadata, dpi=160)
    return buffer.getvalue()


def write_picture(figure: Figure, path: Path) -> None:
    """Write a figure; the format goes by the suffix (``.svg``, ``.png``, ``.pdf``)."""
    write_atomically(path, picture(figure, path.suffix.lstrip(".") or "svg"))
