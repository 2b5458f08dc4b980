"""From the record of a run to a page of HTML."""

from __future__ import annotations

import base64
import math
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from topo_search.report.drawing import picture
from topo_search.report.figures import graph_figure
from topo_search.report.page import figures, findings
from topo_search.report.page.record import Paired, RunRecord, WinnerRecord
from topo_search.report.tables import KINDS, duration
from topo_search.search import Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["render_page"]

TEMPLATE = "report.html.jinja"


@dataclass(frozen=True)
class _Winner:
    record: WinnerRecord
    picture: str
    lineage: list[Trial]


def render_page(record: RunRecord, *, space_yaml: str) -> str:
    """A self-contained page: no script, no other file, no address of another machine in it.

    Whatever the run holds (names, reasons of failures, notes) is escaped, and figures are images, in which nothing
    runs. Should a browser meet markup all the same, the page's own policy forbids scripts and requests.

    Args:
        record: of the run.
        space_yaml: the space that was searched, as text.
    """
    # Everything is escaped, whatever the name of the template ends in.
    environment = Environment(
        loader=PackageLoader("topo_search.report.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "duration": duration,
        "factor": _factor,
        "number": _number,
        "shell": shlex.quote,
        "signed": _signed,
        "p": _p,
    }
    groups = findings.trained_groups(record)
    use = findings.edge_use(record)
    winners = [
        _Winner(winner, _image(graph_figure(winner.graph)), findings.lineage(record, winner))
        for winner in record.winners
    ]
    return environment.get_template(TEMPLATE).render(
        record=record,
        run=record.run,
        summary=record.summary,
        groups=groups,
        paired=_paired(record),
        winners=winners,
        use=use,
        origins=findings.origins(record),
        rungs=findings.rungs(record),
        failures=findings.failures(record),
        failed=sum(trial.failed for trial in record.trials),
        budget=max((record.run["budget"], *record.budgets)),
        own=_own(record),
        pretrainings=sum(not trial.is_candidate for trial in record.trials),
        attempts=sum(trial.attempts - 1 for trial in record.trials),
        seconds=math.fsum(trial.seconds for trial in record.trials),
        pictures=_pictures(record, groups, use),
        repeat=_repeat(record),
        versions=_versions(record.run.get("versions")),
        space_yaml=space_yaml,
    )


def _repeat(record: RunRecord) -> list[str]:
    """Commands that give the same run; an extended one is not that of its last budget from the start."""
    first, *further = record.budgets or (record.run["budget"],)
    # With a dot: a name may begin with a dash.
    space = shlex.quote(f"./{record.name}/space.yaml")
    begin = f"python -m topo_search evolve --space {space} --seed {record.run['seed']} --budget {first} --out repeated"
    if record.run.get("device"):
        begin += f" --device {shlex.quote(record.run['device'])}"
    return [begin, *(f"python -m topo_search resume repeated --budget {budget}" for budget in further)]


def _own(record: RunRecord) -> int:
    """Trainings of controls that are those of the first winner: control graphs are drawn, and may be its own."""
    if not record.winners:
        return 0
    key = record.winners[0].graph.key
    return sum(row.kind != "winner" and row.graph_key == key for row in record.trainings)


def _pictures(
    record: RunRecord, groups: list[findings.TrainedGroup], use: findings.EdgeUse | None
) -> dict[str, str | None]:
    scored = bool(record.candidates)
    return {
        "progress": _image(figures.progress_figure(record)) if scored else None,
        "edges": _image(figures.edges_figure(record)) if scored else None,
        "curves": _image(figures.curves_figure(record)) if scored else None,
        "use": None if use is None else _image(figures.edge_use_figure(use, record.candidates[0].graph)),
        "trained": _image(figures.trained_figure(groups)) if groups else None,
    }


def _image(figure: Figure) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(picture(figure)).decode()


def _paired(record: RunRecord) -> list[tuple[str, Paired]]:
    """The best winner against each kind of control: label and comparison."""
    known = {} if record.summary is None else {str(kind): entry for kind, entry in record.summary.paired.items()}
    compared = [(label, known.get(kind)) for kind, label in KINDS.items()]
    return [(label, entry) for label, entry in compared if entry is not None]


def _versions(value: Any) -> list[tuple[str, str]]:
    """Versions of packages as they stand in ``space.yaml``, which anyone may have edited."""
    return [(str(name), str(version)) for name, version in value.items()] if isinstance(value, dict) else []


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{round(value, 3) + 0.0:+.3f}"


def _factor(value: float) -> str:
    """A factor a step below 1, however close to it."""
    return f"{value:.6f}" if value < 0.9999995 else f"1 - {1 - value:.1e}"


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
