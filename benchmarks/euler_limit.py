"""Does accuracy collapse where forward Euler stops contracting? All-to-all networks on both sides of its limit.

At dt = 0.03 and tau = 1 no metric makes forward Euler contract above a coupling norm of 8.10: there the step with all
units off, ``(1 - h) I + h K``, expands. All-to-all coupling of p areas, drawn N(0, 1/n), starts at ``2 sqrt(p - 1)``:
8 and 16 areas begin below, 20 and 24 above. Networks of each size are trained on sequential MNIST, pixel by pixel,
under the published construction as released (also with its area weights times 0.3, because without a factor it
diverges at once), forward Euler with and without the certified cap, and the integrators
that contract at any coupling strength. Runs of one seed share weights and batches. Judged on images of the training
part; the test part is not read.

Runs are taken up again where they were left, with the same numbers. --report certifies the kept couplings and makes
table and figure.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.command import command_parser, cores, exit_status, positive, say

EXAMPLES = """examples:
  python benchmarks/euler_limit.py                              all runs; data from TOPO_SEARCH_DATA
  python benchmarks/euler_limit.py --only 24:cayley             one run
  python benchmarks/euler_limit.py --order '24:*,16:*'          these, in this order
  python benchmarks/euler_limit.py --budget-minutes 60          stop after an hour; the same command goes on
  python benchmarks/euler_limit.py --report                     certificates, table and figure of what is there
"""


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("benchmarks/euler_limit.py", __doc__, EXAMPLES)
    parser.add_argument("--out", type=Path, default=Path("outputs/euler_limit"), help="default: outputs/euler_limit")
    parser.add_argument("--steps", type=positive, default=600, help="training steps of a run (default: 600)")
    parser.add_argument("--seeds", type=positive, default=1, help="seeds, all runs of one before the next")
    parser.add_argument("--order", metavar="LIST", help="AREAS:ARM, comma-separated, * for all on either side")
    parser.add_argument("--only", action="append", default=[], metavar="AREAS:ARM", help="only these runs")
    parser.add_argument("--budget-minutes", type=float, help="stop cleanly after so many minutes")
    parser.add_argument("--threads", type=positive, default=cores(), help="threads (default: one a core)")
    parser.add_argument("--data-dir", type=Path, help="data sets (default: TOPO_SEARCH_DATA)")
    parser.add_argument("--task", default="seq_mnist", help="name of the task (default: seq_mnist)")
    parser.add_argument("--units", type=positive, default=32, help="units of an area (default: 32)")
    parser.add_argument("--batch", type=positive, default=64, help="sequences of a training step (default: 64)")
    parser.add_argument("--validation", type=positive, default=2000, help="images that judge the end (default: 2000)")
    parser.add_argument("--glance", type=positive, default=512, help="of these, on the way (default: 512)")
    parser.add_argument("--report", action="store_true", help="train nothing; certificates, table and figure of --out")
    parser.add_argument("--figure", type=Path, help="with --report: where the figure goes (default: in --out)")
    return parser


def _train(arguments: argparse.Namespace) -> None:
    from bench.limit_runs import Settings, network_of, parse_runs, reason_of
    from bench.limit_state import Record, RunFiles
    from bench.limit_training import LimitTraining

    from topo_search.tasks import load_task

    deadline = None if arguments.budget_minutes is None else time.monotonic() + 60 * arguments.budget_minutes
    settings = Settings(
        task=arguments.task,
        units=arguments.units,
        batch=arguments.batch,
        validation=arguments.validation,
        glance=min(arguments.glance, arguments.validation),
    )
    runs = parse_runs(arguments.order, arguments.only, arguments.seeds)
    task = load_task(settings.task_config(), data_dir=arguments.data_dir)

    def show(record: Record) -> None:
        parts = [f"step {record.step}"]
        parts += [] if record.loss is None else [f"loss {record.loss:.4f}"]
        parts += [] if record.validation_accuracy is None else [f"accuracy {record.validation_accuracy:.4f}"]
        parts += [] if record.coupling_norm is None else [f"norm {record.coupling_norm:.3f}"]
        say(f"  {', '.join(parts)}, {record.seconds:.1f} s")

    def out_of_time() -> bool:
        return deadline is not None and time.monotonic() >= deadline

    for run in runs:
        say(run.name)
        try:
            network = network_of(run, settings, channels=task.channels, classes=task.classes)
        except ValueError as error:
            print(f"{run.name}: not run: {reason_of(error)}", flush=True)
            continue
        files = RunFiles(arguments.out / run.name)
        files.create(run.identity(settings))
        training = LimitTraining(files, network, task, settings, seed=run.seed)
        status = training.train(arguments.steps, out_of_time=out_of_time, on_record=show)
        print(f"{run.name}: {status}", flush=True)
        if out_of_time():
            break


def _report(arguments: argparse.Namespace) -> None:
    from bench.limit_report import report

    print(report(arguments.out, figure=arguments.figure or arguments.out / "euler_limit.png"))


def _run(arguments: argparse.Namespace) -> None:
    import torch

    torch.set_num_threads(arguments.threads)
    if arguments.report:
        _report(arguments)
    else:
        _train(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; the exit status is 0, 2 for bad input, 130 after Ctrl-C."""
    return exit_status(_run, _parser(), arguments, interrupted="interrupted; the same command goes on")


if __name__ == "__main__":
    sys.exit(main())
