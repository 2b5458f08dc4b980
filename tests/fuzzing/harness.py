"""Runs damaged files past a reader, and says which of them it met with anything but a refusal or sense.

A case is named by its target, a seed and a number, and made from these alone: what fails can be made again. Run as a
program, ``python -m fuzzing.harness TARGET``, it prints one JSON object; the tests run it so, each target in a process
of its own, since a reader may also end its interpreter.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from topo_search.errors import InputError

Files = dict[str, bytes]

SECONDS_PER_CASE = 10.0
LONGEST_MESSAGE = 1000
# What one case may add to the memory of a process that has imported everything.
MEMORY = 1 << 30
MOST_FINDINGS = 20


@dataclass(frozen=True)
class Case:
    """Files as a reader meets them. ``forged``: digests in them were made anew after the damage."""

    files: Files
    forged: bool = False


@dataclass(frozen=True)
class Target:
    """One reader.

    Attributes:
        seeds: valid files by name, as the package itself writes them; made once a process.
        mutate: one more damage to the files.
        read: reads them from a folder; raises InputError, or returns what was read.
        check: raises AssertionError if what was read makes no sense.
        forge: makes digests fit again, where files have some.
    """

    seeds: Callable[[], list[Files]]
    mutate: Callable[[Files, random.Random, list[Files]], Files]
    read: Callable[[Path], Any]
    check: Callable[[Any, Case], None]
    forge: Callable[[Files], Files] | None = None


@dataclass
class Report:
    """What came of a run."""

    target: str
    seed: int
    cases: int = 0
    accepted: int = 0
    refused: int = 0
    findings: list[dict[str, Any]] = field(default_factory=list)


class HangError(BaseException):
    """A case took too long. Not an ``Exception``, so that no reader swallows it."""


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise HangError(f"more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def make_case(target: Target, name: str, seeds: list[Files], seed: int, number: int) -> Case:
    """The case of this number; the first are the seeds, as they are."""
    if number < len(seeds):
        return Case(seeds[number])
    rng = random.Random(f"{name}:{seed}:{number}")
    files = dict(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        files = target.mutate(files, rng, seeds)
    if target.forge is None or rng.random() < 0.4:
        return Case(files)
    try:
        return Case(target.forge(files), forged=True)
    except Exception:
        return Case(files)  # too damaged to have a digest


def _message_fault(text: str, *, is_seed: bool) -> str:
    if is_seed:
        return f"a valid file was refused: {text!r}"
    if not text.isprintable():
        return f"the message is not one printable line: {text[:400]!r}"
    return f"the message has {len(text)} characters: {text[:200]!r}" if len(text) > LONGEST_MESSAGE else ""


def _fault(target: Target, folder: Path, case: Case, *, is_seed: bool) -> tuple[str, str]:
    """``accepted`` or ``refused``, and what is wrong with that, if anything."""
    for name, content in case.files.items():
        (folder / name).write_bytes(content)
    try:
        with _alarm(SECONDS_PER_CASE):
            value = target.read(folder)
    except InputError as error:
        return "refused", _message_fault(str(error), is_seed=is_seed)
    except (Exception, HangError):
        return "refused", traceback.format_exc(limit=-6)
    try:
        with _alarm(6 * SECONDS_PER_CASE):
            target.check(value, case)
    except (Exception, HangError):
        return "accepted", "accepted, but: " + traceback.format_exc(limit=-4)
    return "accepted", ""


def run_cases(
    name: str, target: Target, *, seed: int, cases: int, seconds: float, only: int | None, out: Path
) -> Report:
    """Run cases until there were so many, or for so long; findings are kept in ``out``, each with its files."""
    report, seeds, kinds = Report(name, seed), target.seeds(), set()
    end = time.monotonic() + seconds
    numbers = range(cases) if only is None else range(only, only + 1)
    (out / "printed").touch()
    for number in numbers:
        if time.monotonic() > end:
            break
        (out / "current").write_text(f"{name}:{seed}:{number}\n")
        case = make_case(target, name, seeds, seed, number)
        before = (out / "printed").stat().st_size
        with tempfile.TemporaryDirectory(dir=out) as folder:
            outcome, fault = _fault(target, Path(folder), case, is_seed=number < len(seeds))
        sys.stdout.flush()
        if not fault and (out / "printed").stat().st_size != before:
            fault = "something was printed: " + (out / "printed").read_text()[before:][:400]
        report.cases += 1
        setattr(report, outcome, getattr(report, outcome) + 1)
        # Faults of one kind end in the same line of code; one of each is enough.
        kind = fault[:60] if fault.startswith(("the message", "something")) else "\n".join(fault.splitlines()[-3:-1])
        if fault and kind not in kinds:
            kinds.add(kind)
            kept = out / f"{name}-{seed}-{number}"
            kept.mkdir(exist_ok=True)
            for file, content in case.files.items():
                (kept / file).write_bytes(content)
            report.findings.append({"replay": f"{name}:{seed}:{number}", "fault": fault})
            if len(report.findings) >= MOST_FINDINGS:
                break
    return report


def _limit_memory() -> None:
    status = Path("/proc/self/status")
    if status.exists():
        used = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmData"))
        resource.setrlimit(resource.RLIMIT_DATA, (used * 1024 + MEMORY, resource.RLIM_INFINITY))
    # Readers may be led to write: not much.
    resource.setrlimit(resource.RLIMIT_FSIZE, (MEMORY, resource.RLIM_INFINITY))


def main() -> None:
    from fuzzing.targets import TARGETS

    parser = argparse.ArgumentParser()
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=10**9)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--only", type=int, help="Run the case of this number alone.")
    parser.add_argument("--out", type=Path, required=True, help="Folder for what failed.")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    _limit_memory()
    warnings.simplefilter("ignore")
    # What a reader prints goes to a file, where it is noticed.
    result = os.dup(1)
    with (arguments.out / "printed").open("wb") as printed:
        os.dup2(printed.fileno(), 1)
    report = run_cases(
        arguments.target,
        TARGETS[arguments.target],
        seed=arguments.seed,
        cases=arguments.cases,
        seconds=arguments.seconds,
        only=arguments.only,
        out=arguments.out,
    )
    os.write(result, json.dumps(vars(report)).encode() + b"\n")


if __name__ == "__main__":
    main()
