"""``certify`` and ``export``: saved networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from topo_search.cli.app import app
from topo_search.cli.options import (
    JsonOption,
    OutOption,
)
from topo_search.cli.output import print_json, say
from topo_search.errors import InputError

if TYPE_CHECKING:
    from topo_search.model import Certificate

__all__ = ["certify", "export"]


@app.command()
def certify(
    path: Annotated[Path | None, typer.Argument(help="Folder of a saved network.")] = None,
    as_released: Annotated[
        Path | None,
        typer.Option("--as-released", help="Judge W, L and M of an .npz file instead, as another program made them."),
    ] = None,
    standalone: Annotated[
        bool, typer.Option("--standalone", help="Print a script that verifies a saved network with NumPy alone.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Judge a saved network from its files alone. Exit status: 0 certified, 1 not certified, 2 cannot be judged.

    Example: python -m topo_search certify outputs/NAME/winners/1
    """
    if [path is not None, as_released is not None, standalone].count(True) != 1:
        raise InputError("certify: expected one of a folder, --as-released FILE and --standalone")
    if standalone:
        from importlib.resources import files

        script = files("topo_search.model.certificate").joinpath("verify_standalone.py")
        print(script.read_text(encoding="utf-8"), end="")
        return
    from topo_search import api

    certificate = api.certify(path) if path is not None else api.certify_arrays(str(as_released))
    if as_json:
        print_json(certificate.as_dict())
    else:
        _print_certificate(certificate)
    for note in certificate.notes:
        say(f"note: {note}")
    if not certificate.certified:
        raise typer.Exit(1)


def _print_certificate(certificate: Certificate) -> None:
    if certificate.certified:
        print(
            f"certified: factor {certificate.rho:.9f} a step at dt {certificate.dt:g} ({certificate.integrator}, bound "
            f"{certificate.bound}), margin {certificate.margin:.3g}"
        )
        print(f"a hundredth is left of any distance after {certificate.memory_steps} steps")
    else:
        print(f"not certified: {certificate.reason}")
    print(
        f"between {certificate.rho_lower:.9f}, found for a pattern of active units, and {certificate.rho:.9f}, proved "
        f"for all; continuous-time rate {certificate.rate:.6f} (at most {certificate.rate_upper:.6f}); coupling norm "
        f"{certificate.coupling_norm:.4f}"
    )
    word = "would be" if certificate.euler_certified else "would not be"
    print(f"forward Euler at this dt {word} certified; it is up to dt {certificate.euler_largest_dt:.4g} at least")


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="Folder of a saved network.")],
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a saved network for other programs. As .npz, its adjacency as CSV, and a picture of its graph.

    Example: python -m topo_search export outputs/NAME/winners/1 --out exported
    """
    from topo_search import api

    folder = api.export(path, out)
    if as_json:
        print_json({"folder": str(folder), "files": sorted(file.name for file in folder.iterdir())})
    else:
        print(f"wrote network.npz, adjacency.csv and graph.svg to {folder}")
