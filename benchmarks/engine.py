"""Speed and memory of the engine: one training step of known networks, against two other ways to compute it.

A step is forward pass, cross-entropy on the last state, backward pass and Adam. Three contenders take turns in one
process, on the same weights and data: ``engine`` (the compiled engine; the reference where there is none),
``reference`` (the same mathematics in PyTorch, with a hand-written backward pass) and ``autograd`` (dense masked
matrices in a Python loop, what the field's code does). Seconds are the least of the repeats. Useful work is what the
block-sparse network needs, counted in ``bench/work.py``: for Euler 6 multiply-adds an entry of an edge's block, time
step and sequence. The peak of dense products (sgemm) is measured all along with the same threads.
Peak memory is that of a step in a process of its own, beyond the weights and the data.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.cases import CASES
from bench.command import command_parser, cores, exit_status, positive, say

from topo_search.errors import InputError

EXAMPLES = """examples:
  python benchmarks/engine.py                                 all rows, euler
  python benchmarks/engine.py --only gw16 --only small8       two rows
  python benchmarks/engine.py --integrator cayley --json      one array of rows on the last line
  python benchmarks/engine.py --scaling                       time against the number of edges
  python benchmarks/engine.py --memory                        states within 64 MB against states kept in full
  python benchmarks/engine.py --population                    small networks in one call, and one by one
  python benchmarks/engine.py --epoch seq_cifar10 --epochs 3  whole epochs; data from TOPO_SEARCH_DATA
"""


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("benchmarks/engine.py", __doc__, EXAMPLES)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--only", action="append", metavar="NAME", help=f"only this row: {', '.join(CASES)}")
    what.add_argument("--scaling", action="store_true", help="time against edges at degree 4, 16 to 256 areas")
    what.add_argument("--memory", action="store_true", help="half24 with states limited to 64 MB, and unlimited")
    what.add_argument("--population", action="store_true", help="8 small networks in one call, and one by one")
    what.add_argument("--epoch", metavar="TASK", help="whole epochs of a task, 16x32 global workspace")
    parser.add_argument("--integrator", default="euler", help="of the steps (default: euler)")
    parser.add_argument("--threads", type=positive, default=cores(), help="threads (default: one a core)")
    parser.add_argument("--repeats", type=positive, default=15, help="rounds at most (default: 15)")
    parser.add_argument("--engine-only", action="store_true", help="leave the two slow contenders out")
    parser.add_argument("--epochs", type=positive, default=1, help="with --epoch: how many (default: 1)")
    parser.add_argument("--sequences", type=positive, help="with --epoch: train on so many only (default: all)")
    parser.add_argument("--data-dir", type=Path, help="with --epoch: data sets (default: TOPO_SEARCH_DATA)")
    parser.add_argument("--json", action="store_true", help="print one array of rows on the last line")
    return parser


def _compare(names: Sequence[str], settings: Any) -> list[dict[str, Any]]:
    from bench.rows import comparison_row, finish
    from bench.tables import COMPARISON, table
    from bench.timing import SgemmPeak

    peak, rows = SgemmPeak(), []
    for name in names:
        say(f"{name}: {CASES[name].title}")
        rows.append(comparison_row(CASES[name], settings, peak))
    finish(rows, peak)
    print(table(COMPARISON, rows))
    print(f"integrator {settings.integrator}; sgemm peak {peak.gflops:.1f} GFLOP/s")
    for row in rows:
        for contender in ("engine", "reference", "autograd"):
            steps = row[f"{contender}_steps"]
            if steps is not None and steps < row["steps"]:
                print(f"* {row['name']}, {contender}: timed on {steps} and {steps // 2} of {row['steps']} time steps")
            if steps is None and not settings.engine_only:
                print(f"- {row['name']}, {contender}: needs more time or memory than there is")
    return rows


def _claims(arguments: argparse.Namespace, settings: Any) -> list[dict[str, Any]]:
    from bench.claims import memory_rows, population_rows, scaling_rows
    from bench.tables import MEMORY, POPULATION, SCALING, table

    if arguments.memory:
        rows = memory_rows(settings)
        print(table(MEMORY, rows))
        return rows
    if arguments.population:
        rows = population_rows(settings)
        print(table(POPULATION, rows))
        return rows
    rows = scaling_rows(settings)
    print(table(SCALING, rows))
    print(f"largest deviation from linear: {max(row['deviation'] for row in rows):.1%}")
    return rows


def _epochs(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    from bench.epochs import EPOCH_TASKS, epoch_rows
    from bench.tables import EPOCHS, table

    if arguments.epoch not in EPOCH_TASKS:
        raise InputError(f"--epoch {arguments.epoch!r}: expected one of {', '.join(EPOCH_TASKS)}")
    rows = epoch_rows(
        arguments.epoch,
        arguments.integrator,
        epochs=arguments.epochs,
        data_dir=arguments.data_dir,
        sequences=arguments.sequences,
        on_row=lambda row: say(f"epoch {row['epoch']}: {row['seconds']:.1f} s, loss {row['loss']:.4f}"),
    )
    print(table(EPOCHS, rows))
    first = rows[0]
    print(
        f"{first['task']}, integrator {arguments.integrator}: trained on {first['trained']} sequences and validated "
        f"on {first['validated']} an epoch"
    )
    return rows


def _run(arguments: argparse.Namespace) -> None:
    names = list(dict.fromkeys(arguments.only or CASES))
    for name in names:
        if name not in CASES:
            raise InputError(f"--only {name!r}: expected one of {', '.join(CASES)}")
    import torch
    from bench.contenders import engine_in_use
    from bench.rows import Settings
    from bench.tables import machine

    from topo_search.engine import INTEGRATORS

    if arguments.integrator not in INTEGRATORS:
        raise InputError(f"--integrator {arguments.integrator!r}: expected one of {', '.join(INTEGRATORS)}")
    torch.set_num_threads(arguments.threads)
    engine, description = engine_in_use()
    print(machine(arguments.threads, description), flush=True)
    settings = Settings(
        arguments.integrator, engine, arguments.threads, arguments.repeats, engine_only=arguments.engine_only
    )
    if arguments.epoch:
        rows = _epochs(arguments)
    elif arguments.memory or arguments.scaling or arguments.population:
        rows = _claims(arguments, settings)
    else:
        rows = _compare(names, settings)
    if arguments.json:
        print(json.dumps(rows, allow_nan=False))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; the exit status is 0, 1 for a run that failed, 2 for bad input, 130 after Ctrl-C."""
    return exit_status(_run, _parser(), arguments)


if __name__ == "__main__":
    sys.exit(main())
