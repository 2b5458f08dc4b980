"""Progress of a run: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from topo_search.report.tables import duration
from topo_search.search import Progress, ProgressCallback

__all__ = ["show_progress"]

LINE_SECONDS = 10.0


class _Clock:
    """Speed and time left of a phase, from what ran since it began in this session."""

    def __init__(self) -> None:
        self.phase = ""
        self.begin = 0.0
        self.first = 0

    def describe(self, progress: Progress) -> str:
        now = time.monotonic()
        if progress.phase != self.phase:
            self.phase, self.begin, self.first = progress.phase, now, progress.done
        done, elapsed = progress.done - self.first, now - self.begin
        if done < 1 or elapsed <= 0:
            return ""
        left = (progress.total - progress.done) * elapsed / done
        unit = "trials" if progress.phase == "search" else "trainings"
        return f"{60 * done / elapsed:.1f} {unit}/min, {duration(left)} left"


def _details(progress: Progress) -> str:
    parts = []
    if progress.best is not None:
        parts.append(f"best {progress.best:.3f} (trial {progress.best_trial}, {progress.best_epochs} epochs)")
    if progress.rungs:
        parts.append("rungs " + "/".join(map(str, progress.rungs)))
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    return ", ".join(parts)


class _Lines:
    """Plain lines: at the start and the end of a phase, and every ten seconds between."""

    def __init__(self, console: Console, clock: _Clock) -> None:
        self.console, self.clock = console, clock
        self.phase, self.done, self.printed = "", -1, 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        speed = self.clock.describe(progress)
        ended = progress.done == progress.total and progress.done != self.done
        self.done = progress.done
        if progress.phase == self.phase and not ended and now - self.printed < LINE_SECONDS:
            return
        self.phase, self.printed = progress.phase, now
        text = ", ".join(part for part in (_details(progress), speed) if part)
        self.console.print(
            f"{progress.phase} {progress.done}/{progress.total}  {text}".rstrip(), highlight=False, soft_wrap=True
        )


@contextmanager
def show_progress() -> Iterator[ProgressCallback]:
    """A callback that shows what it is told, on standard error."""
    console = Console(stderr=True)
    clock = _Clock()
    if not console.is_terminal:
        yield _Lines(console, clock)
        return
    bar = RichProgress(
        TextColumn("{task.description:<13}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[details]}"),
        console=console,
        transient=False,
    )
    tasks: dict[str, TaskID] = {}
    with bar:

        def live(progress: Progress) -> None:
            if progress.phase not in tasks:
                tasks[progress.phase] = bar.add_task(progress.phase, total=progress.total, details="")
            text = ", ".join(part for part in (_details(progress), clock.describe(progress)) if part)
            bar.update(tasks[progress.phase], completed=progress.done, total=progress.total, details=text)

        yield live
