"""Which strategy finds the best graph at an equal budget? Searches of one space, judged by training on fresh seeds.

Every strategy searches the space with the same budget and the same seeds of the search; its best candidates are scored
again on validation data, as `evolve` does, and the best of them is trained in full on seeds that no search saw, the
same for all graphs. Controls are trained beside them: random graphs of the full edge budget, the global workspace, the
global workspace filled up at random to the budget (so that parameters match), all allowed edges, and all allowed edges
between areas so small that parameters match. The test part is read once for each training, with the parameters of the
epoch that was best on validation data; it chooses nothing.

Everything is taken up again where it was left. --report computes nothing and makes the table of what is there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.command import command_parser, cores, exit_status, positive, say

EXAMPLES = """examples:
  python benchmarks/strategies.py --set edges.max_edges=13              the default space, 13 edges
  python benchmarks/strategies.py --space mnist_rows --budget 60        row-by-row MNIST, 16 areas
  python benchmarks/strategies.py --strategies evolution,tpe,random     these strategies
  python benchmarks/strategies.py --out outputs/strategies --report     the table of what is there
"""


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("benchmarks/strategies.py", __doc__, EXAMPLES)
    parser.add_argument("--space", default="digits", help="name or file of the space (default: digits)")
    parser.add_argument("--set", dest="overrides", action="append", default=[], help="override one entry: key=value")
    parser.add_argument("--strategies", metavar="LIST", help="comma-separated (default: all)")
    parser.add_argument("--budget", type=positive, default=100, help="candidates of each search (default: 100)")
    parser.add_argument("--searches", type=positive, default=3, help="searches of each strategy (default: 3)")
    parser.add_argument("--seeds", type=positive, default=5, help="fresh seeds of full training (default: 5)")
    parser.add_argument("--random", type=positive, default=8, help="random control graphs (default: 8)")
    parser.add_argument("--workers", type=positive, default=cores(), help="evaluations side by side (default: cores)")
    parser.add_argument("--data-dir", type=Path, help="data sets (default: TOPO_SEARCH_DATA)")
    parser.add_argument("--out", type=Path, help="folder (default: outputs/strategies/SPACE)")
    parser.add_argument("--report", action="store_true", help="run nothing; the table of what is there")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    from bench.strategy_report import report
    from bench.strategy_runs import Plan, compare_strategies

    out = arguments.out or Path("outputs") / "strategies" / Path(arguments.space).stem
    if not arguments.report:
        plan = Plan(
            space=arguments.space,
            overrides=tuple(arguments.overrides),
            strategies=tuple(arguments.strategies.split(",")) if arguments.strategies else (),
            budget=arguments.budget,
            searches=arguments.searches,
            seeds=arguments.seeds,
            random=arguments.random,
        )
        compare_strategies(plan, out, workers=arguments.workers, data_dir=arguments.data_dir, say=say)
    print(report(out))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; the exit status is 0, 2 for bad input, 130 after Ctrl-C."""
    return exit_status(_run, _parser(), arguments, interrupted="interrupted; the same command goes on")


if __name__ == "__main__":
    sys.exit(main())
