"""What the driver of a search costs: time and memory a trial, and going on with a long study.

Evaluations are a formula and their time is taken off: what is left is proposals, decisions, the study (a journal file),
the evaluation log and the tables, as in any search on this disk. ``--throughput`` compares Ray with processes instead,
on trainings of milliseconds.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.command import command_parser, exit_status, positive, say

WORKERS, ROUNDS = 2, 3
EXAMPLES = """examples:
  python benchmarks/overhead.py                          10,000 trials of the default space: a few minutes
  python benchmarks/overhead.py --trials 1000 --json     a short run; one object on the last line
  python benchmarks/overhead.py --set search.strategies='{random: 1}'
  python benchmarks/overhead.py --throughput             Ray and processes, 2 workers each
"""


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("benchmarks/overhead.py", __doc__, EXAMPLES)
    parser.add_argument(
        "--trials", type=positive, help="of the search (default: 10,000); with --throughput evaluations (300)"
    )
    parser.add_argument("--space", default="digits", help="name or file (default: digits, the default space)")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--seed", type=int, default=0, help="of the search (default: 0)")
    parser.add_argument("--dir", type=Path, help="disk to measure on: a temporary folder is made in it and removed")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep trials.csv here")
    parser.add_argument("--throughput", action="store_true", help="compare executors instead")
    parser.add_argument("--json", action="store_true", help="print one object on the last line")
    return parser


def _throughput(arguments: argparse.Namespace) -> None:
    if importlib.util.find_spec("ray") is None:
        say("left out: Ray is not installed (pip install 'topo_search[ray]')")
        return
    from bench.overhead_throughput import SPACES, THROUGHPUT, measure_throughput
    from bench.tables import machine, table

    rows = [measure_throughput(name, count=arguments.trials or 300, workers=WORKERS, rounds=ROUNDS) for name in SPACES]
    print(f"{machine(1, 'none')}; workers: {WORKERS}\n\n{table(THROUGHPUT, rows)}")
    if arguments.json:
        print(json.dumps(rows, allow_nan=False))


def _search(arguments: argparse.Namespace) -> None:
    from bench.overhead_search import STAGES, measure_search
    from bench.tables import machine, table

    from topo_search.config import load_space

    space = load_space(arguments.space, overrides=arguments.overrides)
    found = measure_search(
        space,
        trials=arguments.trials or 10_000,
        seed=arguments.seed,
        parent=arguments.dir,
        keep=arguments.keep,
        on_stage=lambda row: say(f"{row['trials']} trials: {row['wall_ms']:.1f} ms a trial, {row['rss_mb']:.0f} MB"),
    )
    print(f"{machine(1, 'none')}\n\n{table(STAGES, found['stages'])}\n")
    whole, again = found["whole"], found["resume"]
    print(
        f"all {whole['trials']} trials: {whole['wall_ms']:.2f} ms a trial ({whole['cpu_ms']:.2f} of the processor, "
        f"{whole['fsync_ms']:.2f} in {whole['fsyncs']:.2f} fsyncs); resident memory {found['rss_growth_mb']:+.0f} MB "
        f"from trial {found['rss_from']} on"
    )
    print(
        f"resume of the finished study: {again['seconds']:.1f} s, {again['open_seconds']:.1f} s of it to read it; "
        f"{again['evaluations']} evaluations"
    )
    if arguments.json:
        print(json.dumps(found, allow_nan=False))


def _run(arguments: argparse.Namespace) -> None:
    if arguments.throughput:
        _throughput(arguments)
    else:
        _search(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; the exit status is 0, 2 for bad input, 130 after Ctrl-C."""
    return exit_status(_run, _parser(), arguments)


if __name__ == "__main__":
    sys.exit(main())
