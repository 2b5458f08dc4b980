"""How tight the bounds on forward Euler are at initialisation, and how large a coupling each of them certifies.

dt = 0.03, tau = 1, areas of 32 units, coupling drawn N(0, 1/n) in metric coordinates. The first table has areas
rescaled to norm 0.998: the norm of the coupling, and four upper bounds and a lower bound of the factor a step. The
second has areas of norm s: the largest coupling norm certified by the bound ``tri`` and by the S-procedure with a
diagonal multiplier, both by rescaling the coupling, and the norm from which a pattern of active units is found that
expands. ``ratio`` is the S-procedure's norm relative to that at initialisation.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Sequence
from typing import Any

from bench.command import command_parser, exit_status, positive, say

ROWS = ("16-all", "16-workspace", "24-workspace", "24-half", "24-all")
NORMS = (0.3, 0.5, 0.9, 0.97)
EXAMPLES = """examples:
  python benchmarks/stability_tables.py                          all rows, both tables: ten minutes
  python benchmarks/stability_tables.py --rows 16-workspace 8-all --seeds 3
  python benchmarks/stability_tables.py --norms 0.9 --json       one array of rows on the last line
"""


def _norm(text: str) -> float:
    value = float(text) if re.fullmatch(r"0?\.\d+", text) else 0.0
    if value <= 0:
        raise argparse.ArgumentTypeError(f"expected a norm between 0 and 1, got {text!r}")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("benchmarks/stability_tables.py", __doc__, EXAMPLES)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), metavar="ROW", help="AREAS-all, -workspace or -half")
    parser.add_argument("--norms", nargs="*", type=_norm, default=list(NORMS), help="norms s of the second table")
    parser.add_argument("--seeds", type=positive, default=1, help="networks of each row (default: 1)")
    parser.add_argument("--units", type=positive, default=32, help="of each area (default: 32)")
    parser.add_argument("--json", action="store_true", help="print one array of rows on the last line")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    from bench.stability_rows import CAPS, TIGHTNESS, cap_row, row_of, tightness_row
    from bench.tables import table

    names = [row_of(name) for name in dict.fromkeys(arguments.rows)]
    tightness: list[dict[str, Any]] = []
    caps: list[dict[str, Any]] = []
    for row in names:
        for seed in range(arguments.seeds):
            begin = time.perf_counter()
            tightness.append(tightness_row(row, units=arguments.units, seed=seed))
            caps += [cap_row(row, units=arguments.units, seed=seed, area_norm=s) for s in arguments.norms]
            say(f"{row.name}, seed {seed}: {time.perf_counter() - begin:.1f} s")
    print(table(TIGHTNESS, tightness))
    if caps:
        print(f"\n{table(CAPS, caps)}")
    if arguments.json:
        print(json.dumps([*tightness, *caps], allow_nan=False))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; the exit status is 0, 2 for bad input, 130 after Ctrl-C."""
    return exit_status(_run, _parser(), arguments)


if __name__ == "__main__":
    sys.exit(main())
