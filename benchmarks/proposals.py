"""How long strategies take to propose graphs, late in a long search.

12 areas (4 input, 7 hidden, 1 output; inputs and the output are not joined), at most 16 edges. The history holds
random trials when the clock starts, and each proposal enters it as a finished trial with a score that has nothing to
do with its graph. The time covers what a search does for a proposal: ask the strategy, again where the graph is known,
check the graph, and take the trial in.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from bench.command import command_parser, exit_status, positive, say

STRATEGIES = ("evolution", "gw_seeded", "local_search", "nsga2", "random")
EXAMPLES = """examples:
  python benchmarks/proposals.py                                 10,000 proposals of each strategy: a minute
  python benchmarks/proposals.py --strategies nsga2 --history 1000 --proposals 1000
  python benchmarks/proposals.py --json                          one array of rows on the last line
"""


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("benchmarks/proposals.py", __doc__, EXAMPLES)
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES), metavar="NAME")
    parser.add_argument("--history", type=positive, default=10_000, help="trials before (default: 10,000)")
    parser.add_argument("--proposals", type=positive, default=10_000, help="that are timed (default: 10,000)")
    parser.add_argument("--seed", type=int, default=0, help="of the proposals (default: 0)")
    parser.add_argument("--json", action="store_true", help="print one array of rows on the last line")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    from bench.proposing import PROPOSALS, filled_history, proposal_row
    from bench.tables import machine, table

    from topo_search.search import find_strategies

    found = find_strategies(dict.fromkeys(arguments.strategies))
    rows: list[dict[str, Any]] = []
    for name, strategy in found.items():
        begin = time.perf_counter()
        history = filled_history(arguments.history)
        rows.append(proposal_row(strategy, history, count=arguments.proposals, seed=arguments.seed))
        say(f"{name}: {time.perf_counter() - begin:.1f} s with its history")
    print(f"{machine(1, 'none')}\n\n{table(PROPOSALS, rows)}")
    if arguments.json:
        print(json.dumps(rows, allow_nan=False))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; the exit status is 0, 2 for bad input, 130 after Ctrl-C."""
    return exit_status(_run, _parser(), arguments)


if __name__ == "__main__":
    sys.exit(main())
