"""What a run leaves behind, as ``report`` reads it and writes it into a page of HTML."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import random
import re
import tempfile
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import yaml
from optuna.distributions import CategoricalDistribution
from support.tiny import tiny_network, tiny_space

from fuzzing.damage import damage
from fuzzing.harness import Case, Files, Target
from fuzzing.mutators import COMMON, change_document
from fuzzing.text_targets import RUN
from topo_search.api import write_report
from topo_search.config import space_to_yaml
from topo_search.graph import ModuleGraph, make_family
from topo_search.model import save_network
from topo_search.report.page import rendering
from topo_search.search import Evaluation, Pretraining, Proposal, SearchStudy, Trial, open_storage
from topo_search.search.run_folder import COMPARISON_COLUMNS

_SPACE = tiny_space(after={"rescored": 3, "rescore_seeds": 2, "winners": 2, "seeds": 3, "random_controls": 3})
_TRIALS = 14
# The winners' graphs are those of these trials.
_WINNERS = (3, 5)
_SEEDS = (11, 12, 13)
# What no page of a run holds unless a template was run.
_PRODUCT = str(7919 * 7907)
MARKUP = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'><svg onload=alert(1)>", "]]>", "<![CDATA[x]]>",
    "{{ 7919*7907 }}", "{% for i in [1] %}{{ 7919*7907 }}{% endfor %}", "<!-- x", "</pre></style></title><b>x</b>",
    "</td></tr></table><iframe src=//x>", "<a href='javascript:alert(1)'>x</a>", "&lt;script&gt;", "<?php x ?>",
    "\" onmouseover=\"alert(1)", "<b>{{ 7919*7907 }}", "<meta http-equiv=refresh content=0>",
)  # fmt: skip
# Entries that a page shows, or that decide what it shows.
_SHOWN = {
    "number", "attempts", "seconds", "reason", "score", "parents", "curve", "best_epoch", "parameters", "strategy",
    "operator", "pretraining", "tau", "low", "high", "n", "epochs", "mean", "p_t", "p_sign_flip", "crossed_low",
    "crossed_high", "graphs", "beaten", "rank", "notes", "winners", "search_score", "rescored_validation_accuracy",
    "test_accuracy", "trial", "saved_seed", "certified", "rho", "rate", "integrator", "model_sha256", "seed",
    "budget", "device", "engine", "versions", "name",
}  # fmt: skip
_SET: tuple[Any, ...] = (
    -1, 0, 1, 3, 0.5, 1.5, 1e308, -1e308, 10**400, 10**4299, True, None, "", "0.5", "\ud800", [], [1], [1, 10**400],
    ["\ud800"], [0.5] * 50, {"rank": 1}, {"\ud800": "x"},
)  # fmt: skip
# The folder's name stands on the page too.
FOLDER = "<b onclick=alert(1)>'{{ 7919*7907 }}\"&amp;"


def _result(number: int, rung: int) -> Evaluation:
    curve = tuple(round(0.2 + 0.02 * number + 0.1 * epoch, 3) for epoch in range(rung + 1))
    return Evaluation(
        curve[-1], curve, tuple(2.0 - 0.1 * epoch for epoch in range(rung + 1)),
        best_epoch=rung + 1, parameters=200 + number, seconds=0.25,
    )  # fmt: skip


def _graph(number: int) -> ModuleGraph:
    return make_family("random_density", _SPACE.constraints, np.random.default_rng(number))


def _trial(number: int, words: tuple[str, ...]) -> Trial:
    results = tuple(_result(number, rung) for rung in range(1 + number % 3 if number not in _WINNERS else 3))
    if number in (4, 9):
        results = (*results[:-1], Evaluation.failure(words[number % len(words)] or "diverged", "loss 1e9", seconds=1.0))
    plan = Pretraining(epochs=1) if number == 10 else None
    parents = (number - 1, number - 2) if number > 1 else ()
    operator = words[number % len(words)] or "rewire_edge"
    return Trial(number, Proposal(_graph(number), "evolution", operator, parents, plan), results, final=True)


def _journal(words: tuple[str, ...]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.journal"
        study = SearchStudy(open_storage(path), RUN["study"], space=_SPACE)
        study.add_budget(RUN["budget"])
        study._operators = CategoricalDistribution(sorted({"rewire_edge", *words} - {""}))
        for number in range(_TRIALS):
            study.add(_trial(number, words))
        return path.read_bytes()


def _comparison() -> bytes:
    graphs = [("winner", _graph(number)) for number in _WINNERS]
    graphs += [("random", _graph(number)) for number in (20, 21, 22)] + [("rewired", _graph(23))]
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(COMPARISON_COLUMNS)
    for place, (kind, graph) in enumerate(graphs):
        for seed in _SEEDS:
            share = round(0.5 + 0.01 * place + 0.003 * seed, 3)
            row = (graph.key, kind, seed, graph.n_edges, 218, share, share - 0.02)
            table.writerow((*row[:4], "", "", "") if (place, seed) == (1, 13) else row)
    return buffer.getvalue().encode()


def _summary(words: tuple[str, ...]) -> bytes:
    paired = {
        "mean": 0.01, "sd": 0.02, "low": -0.03, "high": 0.05, "n": 3, "p_t": 0.4, "p_sign_flip": 0.0005,
        "crossed_low": -0.04, "crossed_high": 0.06, "graphs": [1, 3], "beaten": 0.6667,
    }  # fmt: skip
    agreement = [
        {"epochs": 1, "against": 3, "tau": 0.5, "low": 0.25, "high": 0.75, "n": 12},
        {"epochs": 2, "against": 3, "tau": None, "low": None, "high": None, "n": 12},
    ]
    summary = {
        "folder": "outputs/tiny", "budget": RUN["budget"], "trials": _TRIALS, "space_exhausted": bool(words[0]),
        "notes": [word for word in words if word], "rank_agreement": agreement, "winners": [{"rank": 1}, {"rank": 2}],
        "paired": {"random": paired, "rewired": {**paired, "low": None, "high": None, "p_t": None}, "all_edges": None},
    }  # fmt: skip
    return json.dumps(summary, indent=2).encode()


def _winner(rank: int, words: tuple[str, ...]) -> Files:
    graph = _graph(_WINNERS[rank - 1])
    with tempfile.TemporaryDirectory() as folder:
        save_network(Path(folder), tiny_network(graph=graph, channels=8, classes=10))
        files = {name: (Path(folder) / name).read_bytes() for name in ("certificate.json", "model.safetensors")}
        files["graph.json"] = graph.to_json().encode()
    certificate = {k: v for k, v in json.loads(files["certificate.json"]).items() if not isinstance(v, list | dict)}
    # One is certified, one not; and with markup the first is neither.
    if words[0]:
        certificate |= {"integrator": words[rank], "bound": words[1]}
        certificate["model_sha256"] = words[0] if rank == 1 else certificate["model_sha256"]
    if rank == 2:
        certificate |= {"certified": False, "reason": words[0] or "no bound", "rho": None, "rate": None}
    metrics = {
        "rank": rank, "trial": _WINNERS[rank - 1], "graph_key": graph.key, "search_score": 0.5,
        "rescored_validation_accuracy": [0.5, 0.25], "validation_accuracy": [0.5, 0.25, 0.75],
        "test_accuracy": [0.5, 0.25 if rank == 1 else None, 0.75], "saved_seed": 13, "parameters": 218,
    }  # fmt: skip
    files["certificate.json"] = json.dumps(certificate, indent=2).encode()
    files["metrics.json"] = json.dumps(metrics, indent=2).encode()
    return {_flat(name, rank): content for name, content in files.items()}


def _flat(name: str, rank: int) -> str:
    stem, _, suffix = name.partition(".")
    return f"{stem}-{rank}.{suffix}"


@cache
def _runs() -> list[Files]:
    """A finished run, the same with markup wherever text may stand, and one that is not finished."""
    found = []
    for words in (("", "", ""), MARKUP):
        text = {"device": words[1], "engine": words[2], "versions": {words[3]: words[4]}} if words[0] else {}
        found.append(
            {
                "space.yaml": space_to_yaml(_SPACE, {**RUN, **text}).encode(),
                "study.journal": _journal(words),
                "summary.json": _summary(words),
                "comparison.csv": _comparison(),
                **_winner(1, words),
                **_winner(2, words),
            }
        )
    return [*found, {name: found[0][name] for name in ("space.yaml", "study.journal")}]


_OF_WINNERS = ("metrics.json", "certificate.json", "graph.json")
_DAMAGED = (
    *("space.yaml", "study.journal", "summary.json", "comparison.csv"),
    *(_flat(name, rank) for name in _OF_WINNERS for rank in (1, 2)),
)


def _damage_run(files: Files, rng: random.Random, seeds: list[Files]) -> Files:
    names = [name for name in _DAMAGED if name in files]
    kind = rng.random()
    if kind < 0.02:
        gone = rng.choice(sorted(files))
        return {name: content for name, content in files.items() if name != gone}
    if kind < 0.35:
        return _change(files, rng.choice(names), rng, MARKUP)
    if kind < 0.6:
        return _change(files, rng.choice(names), rng, _SET)
    return damage(*names, bytes_share=0.1)(files, rng, seeds)


def _change_cell(content: bytes, rng: random.Random, values: tuple[str, ...]) -> bytes:
    rows = list(csv.reader(io.StringIO(content.decode(errors="replace"), newline="")))
    row = rng.choice([row for row in rows if row] or [[""]])
    row[rng.randrange(len(row))] = rng.choice(values)
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode("utf-8", "surrogatepass")


def _change(files: Files, name: str, rng: random.Random, values: tuple[Any, ...]) -> Files:
    """One of these in place of a text, where they are texts, or of what a page shows."""
    content = files[name]
    try:
        if name.endswith(".csv"):
            changed = _change_cell(content, rng, MARKUP if values is MARKUP else COMMON)
        elif name.endswith(".yaml"):
            changed = yaml.safe_dump(_put(yaml.safe_load(content), rng, values), sort_keys=False).encode()
        elif name.endswith(".journal"):
            lines = content.splitlines()
            at = rng.choice([at for at, line in enumerate(lines) if b'"user_attrs"' in line or rng.random() < 0.1])
            lines[at] = json.dumps(_put(json.loads(lines[at]), rng, values)).encode()
            changed = b"\n".join([*lines, b""])
        else:
            changed = json.dumps(_put(json.loads(content), rng, values)).encode()
    except Exception:
        # What an earlier damage has left may be no document any more.
        changed = content + rng.choice(MARKUP).encode()
    return {**files, name: changed}


def _put(document: Any, rng: random.Random, values: tuple[Any, ...]) -> Any:
    places = [
        (container, key)
        for container in _containers(document)
        for key, value in (container.items() if isinstance(container, dict) else enumerate(container))
        if (isinstance(value, str) if values is MARKUP else key in _SHOWN)
    ]
    if not places:
        return change_document(document, rng, [], COMMON)
    container, key = rng.choice(places)
    container[key] = rng.choice(values)
    return document


def _containers(value: Any) -> list[Any]:
    if not isinstance(value, dict | list):
        return []
    return [value, *(c for item in (value.values() if isinstance(value, dict) else value) for c in _containers(item))]


def _forge(files: Files) -> Files:
    """Winners whose numbers name the graph and the weights that lie beside them, and a budget that was reached."""
    forged = dict(files)
    for rank in (1, 2):
        graph, weights = files[_flat("graph.json", rank)], files[_flat("model.safetensors", rank)]
        for name, entries in (
            ("metrics.json", {"graph_key": ModuleGraph.from_json(graph.decode()).key}),
            ("certificate.json", {"model_sha256": hashlib.sha256(weights).hexdigest()}),
        ):
            forged[_flat(name, rank)] = json.dumps({**json.loads(files[_flat(name, rank)]), **entries}).encode()
    return forged


_IMAGE = "data:image/svg+xml;base64,"


def _report(folder: Path) -> str:
    """The page of a run whose files lie flat in a folder."""
    run = folder / FOLDER
    for path in [path for path in folder.iterdir() if path.is_file()]:
        found = re.fullmatch(r"([a-z]+)-([0-9]+)(\.[a-z]+)", path.name)
        place = run / "winners" / found[2] / f"{found[1]}{found[3]}" if found else run / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    written = write_report(run)
    assert written == run / "report.html"
    return written.read_text()


def _report_without_figures(folder: Path) -> str:
    # Figures take most of a second a page, and hold no text of the run's own.
    nothing = {name: lambda *_, **__: None for name in rendering.figures.__all__}
    with patch.multiple(
        rendering, figures=SimpleNamespace(**nothing), graph_figure=lambda *_: None, _image=lambda _: f"{_IMAGE}AA=="
    ):
        return _report(folder)


_TEMPLATE = Path(rendering.__file__).with_name(rendering.TEMPLATE).read_text()
_CLASSES = set(re.findall(r'class="([^"]+)"', _TEMPLATE))
# Tags of the template, and which attributes they have there.
_ATTRIBUTES = {
    "html": ["lang"], "head": [], "meta": ["charset", "content", "http-equiv", "name"], "title": [], "style": [],
    "body": [], "h1": [], "h2": [], "h3": [], "p": ["class"], "div": ["class"], "span": ["class"], "code": [],
    "pre": [], "figure": [], "figcaption": [], "img": ["alt", "src"], "a": ["href"], "details": [], "summary": [],
    "table": [], "thead": [], "tbody": [], "tr": [], "th": ["class"], "td": ["class"],
}  # fmt: skip
_LINKS = re.compile(
    r"trials\.csv|comparison\.csv|summary\.json|space\.yaml"
    r"|winners/[1-9][0-9]*/(graph\.json|graph\.graphml|model\.safetensors|certificate\.json|metrics\.json)"
)
# Columns of tables whose values are shares of something.
_SHARES = {
    "validation", "test", "best", "median", "score", "median score, first rung", "p (t)", "p (sign flips)",
}  # fmt: skip
_FROM_MINUS_ONE = {"difference", "tau with the top rung"}


class _Page(HTMLParser):
    """Its elements, looked at one by one, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.text: list[str] = []
        self.headings: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.style = ""
        self.feed(page)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _ATTRIBUTES, f"<{tag}>"
        self.count[tag] = self.count.get(tag, 0) + 1
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> has an attribute twice"
        assert set(names) <= set(_ATTRIBUTES[tag]), f"<{tag} {names}>"
        values = {name: value or "" for name, value in attrs}
        assert values.get("class", "small") in _CLASSES, values
        assert _LINKS.fullmatch(values.get("href", "space.yaml")), values
        assert re.fullmatch(re.escape(_IMAGE) + "[A-Za-z0-9+/]+=*", values.get("src", f"{_IMAGE}AA==")), values
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")
        elif tag == "h2":
            self.headings.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        raise AssertionError(f"<{tag}/>")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}>"
        assert self.open.pop() == tag, f"</{tag}>"

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["style"]:
            self.style += data
            return
        self.text.append(data)
        if self.open[-1:] and self.open[-1] in ("th", "td"):
            self.tables[-1][-1][-1] += data
        elif self.open[-1:] == ["h2"]:
            self.headings[-1] += data

    def handle_decl(self, decl: str) -> None:
        assert decl == "doctype html"

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data!r}")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"a declaration: {data!r}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"an instruction: {data!r}")


def _check_page(page: str, case: Case) -> None:
    """Nothing of the run's is markup, nothing was computed from it, and shares lie in 0 to 1."""
    parsed = _Page(page)
    text = "".join(parsed.text)
    assert _PRODUCT not in page, "text of the run was taken for a template"
    assert {tag: parsed.count.get(tag) for tag in ("html", "head", "body", "style", "title", "h1", "meta")} == {
        **dict.fromkeys(("html", "head", "body", "style", "title", "h1"), 1), "meta": _TEMPLATE.count("<meta"),
    }  # fmt: skip
    assert parsed.style == re.findall(r"<style>(.*?)</style>", _TEMPLATE, re.DOTALL)[0]
    assert "Content-Security-Policy" in page
    assert FOLDER in text
    if case.files in _runs():
        planted = MARKUP if case.files == _runs()[1] else ()
        assert not [words for words in planted if words not in text]
    assert len(set(parsed.headings)) == len(parsed.headings), parsed.headings
    for table in parsed.tables:
        _check_table(table)
    accuracies = (
        r"Validation accuracy (\S+) in the search(?: after \d+ epochs)?(.*?);\s+test accuracy (.*?), one a seed"
    )
    for found in re.findall(accuracies, text, re.DOTALL):
        shares = re.findall(r"-?[0-9]\S*", " ".join(found))
        assert shares
        assert all(0 <= float(share.strip(",")) <= 1 for share in shares), found
    for factor in re.findall(r"Certified in discrete time .*?: contracts by (.+?) a step", text, re.DOTALL):
        assert factor != "–", "certified without a factor"
        # So close to 1 that it is shown by how much it is smaller.
        below = factor.removeprefix("1 - ")
        assert 0 <= (float(below) if below == factor else 1 - float(below)) <= 1, f"certified, and {factor} a step"
    if "There is no winner" in text:
        assert json.loads(case.files["summary.json"])["winners"] == [], "there are winners in summary.json"


def _check_table(table: list[list[str]]) -> None:
    head, *rows = table
    for row in rows:
        assert len(row) == len(head), (head, row)
        for name, cell in zip(head, row, strict=True):
            if name in _SHARES | _FROM_MINUS_ONE and cell not in ("–", "< 0.001"):
                assert (0 if name in _SHARES else -1) <= float(cell) <= 1, f"{name}: {cell}"


REPORT = Target(_runs, _damage_run, _report_without_figures, _check_page, _forge)
REPORT_FIGURES = Target(_runs, _damage_run, _report, _check_page, _forge)
"""The same with its figures: a page takes a second."""
