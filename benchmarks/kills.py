"""Kills runs at random moments, goes on with them, and looks whether anything was lost.

Real ``evolve`` and ``resume`` processes on a small space get SIGKILL: the driver alone, one of its workers (Ray: also
its raylet), or all processes of the run. After each kill no trial or result that was there may be missing, changed or
doubled, no file may be half-written, and no process may be left over; a lost worker must not end a run. The end of each
run must be that of the same run without interruption, whatever the executor: the budget, every row, every network.

Moments and kinds of kills are drawn from the seed; what they meet depends on the machine. Linux only.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.command import command_parser, exit_status, positive, say

from topo_search.errors import InputError, RunFailedError

EXAMPLES = """examples:
  python benchmarks/kills.py                                    200 kills: about half an hour on two cores
  python benchmarks/kills.py --kills 8 --executors serial,processes
  python benchmarks/kills.py --seed 1 --minutes-limit 10 --json
"""


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("benchmarks/kills.py", __doc__, EXAMPLES)
    parser.add_argument("--kills", type=positive, default=200, help="that are delivered in all (default: 200)")
    parser.add_argument("--executors", default="serial,processes,ray", help="comma between (default: all three)")
    parser.add_argument("--seed", type=int, default=0, help="of kills and searches (default: 0)")
    parser.add_argument("--minutes-limit", type=positive, help="no further kill after so long; status 1 then")
    parser.add_argument("--dir", type=Path, help="folder for the runs (default: a temporary one)")
    parser.add_argument("--json", action="store_true", help="print one object on the last line")
    return parser


def _executors(text: str) -> list[str]:
    """Executors that were asked for, less Ray where it is not installed.

    Raises:
        InputError: if a name is unknown, or nothing is left.
    """
    from bench.killing_kinds import EXECUTORS

    names = list(dict.fromkeys(text.split(",")))
    unknown = [name for name in names if name not in EXECUTORS]
    if unknown:
        raise InputError(f"unknown executors {unknown}: expected some of {', '.join(EXECUTORS)}")
    if "ray" in names and importlib.util.find_spec("ray") is None:
        say("ray: left out, it is not installed (pip install 'topo_search[ray]')")
        names.remove("ray")
    if not names:
        raise InputError("no executor is left: expected at least one that is installed")
    return names


def _run(arguments: argparse.Namespace) -> None:
    if not Path("/proc/self/stat").exists():
        raise InputError("kills.py finds processes in /proc: expected Linux")
    if arguments.dir is not None and not arguments.dir.is_dir():
        raise InputError(f"no folder {arguments.dir}: expected one for the runs")
    from bench.killing_kinds import KILLS
    from bench.killing_runs import Killing, References
    from bench.tables import machine, table

    names = _executors(arguments.executors)
    deadline = math.inf if arguments.minutes_limit is None else time.monotonic() + 60 * arguments.minutes_limit
    scratch = Path(tempfile.mkdtemp(prefix="kills-", dir=arguments.dir))
    # Short, since Ray's sockets lie in it.
    temporary = Path(tempfile.mkdtemp(prefix="k-", dir="/tmp"))
    references = References(scratch, temporary)
    rows, violations = [], []
    for index, name in enumerate(names):
        share = arguments.kills // len(names) + (index < arguments.kills % len(names))
        killing = Killing(name, references=references, seed=arguments.seed, deadline=deadline, say=say)
        rows.append(killing.deliver(share))
        violations += killing.violations
    shutil.rmtree(temporary, ignore_errors=True)
    print(f"{machine(1, 'none')}\n\n{table(KILLS, rows)}")
    if arguments.json:
        print(json.dumps({"rows": rows, "violations": violations}, allow_nan=False))
    delivered = sum(row["kills"] for row in rows)
    if violations:
        raise RunFailedError(f"{len(violations)} violations, the runs are in {scratch}; the first: {violations[0]}")
    shutil.rmtree(scratch)
    if delivered < arguments.kills:
        raise RunFailedError(f"{delivered} of {arguments.kills} kills were delivered within the limit")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; the exit status is 0, 1 on any violation, 2 for bad input, 130 after Ctrl-C."""
    return exit_status(_run, _parser(), arguments)


if __name__ == "__main__":
    sys.exit(main())
