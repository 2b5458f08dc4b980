"""The page: everything that a run holds is text in it, and nothing in it runs or asks for anything."""

import base64
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from support.records import CHAIN, KINDS, MORE, PAIRED, record, summary, trainings, trial, winner
from support.tiny import tiny_space

from topo_search.report.page import render_page

TAGS = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "span", "a", "code", "pre"}
TAGS |= {"figure", "figcaption", "img", "table", "thead", "tbody", "tr", "th", "td", "div", "details", "summary"}
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "class", "src", "alt", "href"}
LINK = re.compile(
    r"winners/\d+/(graph\.json|graph\.graphml|model\.safetensors|certificate\.json|metrics\.json)"
    r"|trials\.csv|comparison\.csv|summary\.json|space\.yaml"
)
HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(1)></td><!-- {{ 7 * 7 }} {% raw %} &lt;b&gt; \x00"""


class Page(HTMLParser):
    """What a browser would make of it: tags, attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.comments, self._open = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def handle_comment(self, data):
        self.comments.append(data)

    def values(self, name):
        return [value for attribute, value in self.attributes if attribute == name]


def checked(text):
    page = Page(text)
    assert set(page.tags) <= TAGS
    assert {name for name, _ in page.attributes} <= ATTRIBUTES
    assert page.comments == []
    assert all(LINK.fullmatch(value) for value in page.values("href"))
    assert all(value.startswith("data:image/svg+xml;base64,") for value in page.values("src"))
    policy = next(value for value in page.values("content") if "default-src" in value)
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "script" not in policy
    return page


def full_record(text="plain", **entries):
    """A finished run with whatever a page can show, and a text wherever a run may have one of its own."""
    trials = [
        trial(0, CHAIN, (0.1, 0.2, 0.3), strategy=text, operator=text),
        trial(1, MORE, (0.2, 0.3, 0.4), parents=(0,), attempts=2),
        trial(2, CHAIN, (), reason=text),
    ]
    trials += [trial(number, MORE, (0.3 + number / 100,)) for number in range(3, 14)]
    winners = (winner(1, 1), winner(2, 0, certified=False, reason=text), winner(3, 0, intact=False))
    parts = {
        "name": text,
        "run": {
            "seed": 0,
            "budget": 3,
            "study": text,
            "device": text,
            "engine": text,
            "versions": {text: text},
        },
        "summary": summary(notes=(text,), space_exhausted=True),
        "trainings": tuple(row for kind in KINDS for row in trainings(kind, f"{kind}{text}", [0.5, 0.6, None])),
        "winners": winners,
    }
    return record(trials, **{**parts, **entries})


def test_nothing_of_a_run_becomes_markup():
    page = checked(render_page(full_record(HOSTILE), space_yaml=HOSTILE))
    plain = checked(render_page(full_record(), space_yaml="plain"))
    # The same elements, whatever the texts are.
    assert page.tags == plain.tags
    text = "".join(page.text)
    # Title, heading, space, strategy, operator, reason, note, certificate, device, engine, versions, the space.
    shown = text.count("<script>alert(1)</script>")
    assert shown == "".join(plain.text).count("plain") > 12
    assert "{{ 7 * 7 }}" in text
    assert "&lt;b&gt;" in text


def test_commands_are_for_a_shell_and_repeat_an_extended_run_step_by_step():
    text = words(checked(render_page(full_record(name="my run; rm -rf $HOME", budgets=(2, 3)), space_yaml="")))
    assert (
        "python -m topo_search evolve --space './my run; rm -rf $HOME/space.yaml' --seed 0 --budget 2 "
        "--out repeated --device plain "
        "python -m topo_search resume repeated --budget 3 "
    ) in text
    assert "python -m topo_search certify './my run; rm -rf $HOME/winners/1'" in text


def test_figures_are_well_formed_images_without_text_of_the_run():
    page = checked(render_page(full_record(HOSTILE), space_yaml=""))
    other = checked(render_page(full_record("another text"), space_yaml=""))
    assert page.values("src") == other.values("src")
    for source in page.values("src"):
        root = ET.fromstring(base64.b64decode(source.partition(",")[2]))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert not any(element.tag.endswith("script") for element in root.iter())
    # Five figures and three graphs, each described in words.
    assert len(page.values("src")) == len(page.values("alt")) == 8
    assert all(page.values("alt"))


def test_the_same_record_gives_the_same_page():
    assert render_page(full_record(), space_yaml="a") == render_page(full_record(), space_yaml="a")


def words(page):
    return " ".join(" ".join(page.text).split())


def test_a_finished_run_says_what_it_found():
    text = words(checked(render_page(full_record(), space_yaml="")))
    assert "This run is not finished" not in text
    assert "+0.050" in text
    assert "2 of 2" in text
    assert "test accuracy 0.750, –, one a seed; – diverged." in text
    assert "By flipping signs no p below 1/2 can be had from 2 seeds." in text
    assert "the controls' trainings are of" not in text
    assert "and the winners chosen by that;" in text
    assert "Certified in discrete time (cayley): contracts by 0.970000 a step." in text
    assert "Not certified: plain" in text
    assert "The saved weights are not those that the certificate names" in text
    assert "Begun again after an interruption: 1 evaluation. " in text


def test_controls_that_are_the_winner_s_own_graph_are_told():
    own = winner(1, 1).graph.key
    rows = (*trainings("winner", own, [0.5, 0.6]), *trainings("rewired", own, [0.5, 0.6]))
    text = words(checked(render_page(full_record(trainings=rows), space_yaml="")))
    assert "2 of the controls' trainings are of the first winner's own graph: they cannot differ from it." in text


def test_winners_that_were_not_chosen_by_accuracy_alone_are_told():
    space = tiny_space(search={"objectives": ["accuracy", "edges"]})
    text = words(checked(render_page(full_record(space=space), space_yaml="")))
    assert "not by accuracy alone: those come first that no other beats in both accuracy and edges;" in text
    assert "Winners were chosen on validation data and cost;" in text


def test_intervals_over_further_graphs_need_several():
    paired = {"random": PAIRED, "all_edges": {**PAIRED, "graphs": (1, 1), "n": 20, "mean": -0.0001}}
    text = words(checked(render_page(full_record(summary=summary(paired=paired)), space_yaml="")))
    assert "random, same number of edges +0.050 -0.200 to +0.300 -0.010 to +0.100 0.300" in text
    assert "all allowed edges +0.000 -0.200 to +0.300 – 0.300" in text


@pytest.mark.parametrize(("rho", "shown"), [(0.97, "0.970000"), (0.99999996, "1 - 4.0e-08")])
def test_a_factor_below_one_is_never_shown_as_one(rho, shown):
    first = winner(1, 1)
    first = replace(first, certificate=first.certificate.model_copy(update={"rho": rho, "rate": 1e-5}))
    text = words(checked(render_page(full_record(winners=(first,)), space_yaml="")))
    assert f"contracts by {shown} a step, rate 1e-05 in continuous time." in text


@pytest.mark.parametrize(
    "trials",
    [[], [trial(0, CHAIN, (), reason="diverged")], [trial(0, CHAIN, (0.5,))]],
    ids=["none", "failed", "one"],
)
def test_an_unfinished_run_says_so(trials):
    text = words(checked(render_page(record(trials), space_yaml="")))
    assert "This run is not finished" in text
    assert "Winner" not in text.replace("Winners", "")
    assert "Too few candidates have a score." in text


def test_a_run_without_winners_says_so():
    page = render_page(record([trial(0, CHAIN, (), reason="diverged")], summary=summary(winners=())), space_yaml="")
    assert "There is no winner: every training diverged." in words(checked(page))
