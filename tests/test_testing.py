"""The contract suite: the strategies of this package pass it, broken ones do not."""

import importlib
import random
import re
import shutil
import sys
import tomllib
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from support.tiny import tiny_space

from topo_search import evolve
from topo_search.errors import InputError
from topo_search.graph import make_family
from topo_search.search import STRATEGIES, Proposal, find_strategies, strategy_names
from topo_search.testing import CHECKS, StrategyContract, check_strategy, offered

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "strategies_of_your_own.md"
QUICK = tuple(name for name in CHECKS if name not in ("workers", "interruption", "exhaustion"))


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("check", QUICK)
def test_every_strategy_of_this_package_keeps_to_the_contract(check, name):
    CHECKS[check](STRATEGIES[name], None, 12)


@pytest.mark.slow
@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_of_this_package_keeps_to_the_whole_contract(name):
    check_strategy(STRATEGIES[name], space=tiny_space())


class TestRandomStrategy(StrategyContract):
    """The suite as an author derives it, with a space of his own."""

    strategy = STRATEGIES["random"]
    space = tiny_space()
    proposals = 12


class Plain:
    """A strategy that keeps to the contract, for others to break."""

    name = "plain"
    operators = ("drawn",)

    def __init__(self, constraints, config):
        self.constraints, self.config = constraints, config

    def propose(self, history, rng):
        return Proposal(make_family("random_density", self.constraints, rng), self.name, "drawn")


class Taken(Plain):
    name = "evolution"


class Unnamed(Plain):
    name = "two words"


class NoOperators(Plain):
    operators = None


class Remembers(Plain):
    def __init__(self, constraints, config):
        super().__init__(constraints, config)
        self.seen = 0

    def propose(self, history, rng):
        self.seen += 1
        return super().propose(history, np.random.default_rng(self.seen))


class SharesState(Plain):
    numbers = count()

    def propose(self, history, rng):
        return super().propose(history, np.random.default_rng(next(self.numbers)))


class DrawsMoreWhenNew(Plain):
    fresh = True

    def propose(self, history, rng):
        proposal = super().propose(history, rng)
        if self.fresh:
            rng.random()
        self.fresh = False
        return proposal


class DrawsElsewhere(Plain):
    def propose(self, history, rng):
        random.random()
        return super().propose(history, rng)


class OverBudget(Plain):
    def propose(self, history, rng):
        graph = make_family("all_to_all", self.constraints, rng, ignore_budget=True)
        return Proposal(graph, self.name, "drawn")


class Misnamed(Plain):
    def propose(self, history, rng):
        return replace(super().propose(history, rng), strategy="random")


class UnknownOperator(Plain):
    def propose(self, history, rng):
        return replace(super().propose(history, rng), operator="teleport")


class Orphan(Plain):
    def propose(self, history, rng):
        return replace(super().propose(history, rng), parents=(len(history.proposals),))


class Meddles(Plain):
    def propose(self, history, rng):
        proposal = super().propose(history, rng)
        history.known.add(proposal.key)
        return proposal


class NeedsTrials(Plain):
    def propose(self, history, rng):
        history.scored()[-1]
        return super().propose(history, rng)


class NoProposal(Plain):
    def propose(self, history, rng):
        return super().propose(history, rng).graph


BROKEN = {
    Taken: ("name", "'evolution' is taken by EvolutionStrategy"),
    Unnamed: ("name", "must be letters, digits and underscores, got 'two words'"),
    NoOperators: ("name", "operators must be a tuple of strings"),
    Remembers: ("statelessness", "expected the same proposal from the same history and generator"),
    SharesState: ("statelessness", "expected the same proposal from the same history and generator"),
    DrawsMoreWhenNew: ("statelessness", "drew other numbers than a new one"),
    DrawsElsewhere: ("statelessness", "a global random generator was drawn from"),
    OverBudget: (
        "empty_handed",
        "space 'edge budget', empty history: operator 'drawn' made an invalid graph: .* at most 9",
    ),
    Misnamed: ("proposals", "the proposal names strategy 'random', expected 'plain'"),
    UnknownOperator: ("proposals", "operator 'teleport' is not in UnknownOperator.operators"),
    Orphan: ("proposals", "history 'empty': parent 0 does not exist: there are 0 proposals"),
    Meddles: ("proposals", "the history was changed by a proposal"),
    NeedsTrials: ("empty_handed", "propose raised IndexError: list index out of range"),
    NoProposal: ("proposals", "expected a Proposal, got ModuleGraph"),
}


@pytest.mark.parametrize("strategy", BROKEN)
def test_one_that_breaks_it_is_told_where(strategy):
    check, message = BROKEN[strategy]
    with pytest.raises(AssertionError, match=message):
        CHECKS[check](strategy, None, 100)
    with pytest.raises(AssertionError):
        check_strategy(strategy, proposals=100)


def test_a_search_that_depends_on_the_order_of_results_is_found():
    class Late(Plain):
        """Counts the calls of all its objects: the same only while the driver asks in the same rhythm."""

        calls = count()

        def propose(self, history, rng):
            return super().propose(history, np.random.default_rng(next(Late.calls)))

    with pytest.raises(AssertionError, match="5 evaluations side by side: trial 0"):
        CHECKS["workers"](Late, None, 0)


def test_a_strategy_is_offered_inside_only():
    with offered(Plain):
        assert "plain" in strategy_names()
        assert find_strategies(["plain", "random"]) == {"plain": Plain, "random": STRATEGIES["random"]}
    assert "plain" not in strategy_names()
    with pytest.raises(InputError, match="unknown strategies"):
        find_strategies(["plain"])


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), flags=re.M | re.S)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The package of the document, installed as pip would: modules and metadata on the path; its module."""
    strategy, _ = blocks("python")
    (project,) = (tomllib.loads(block) for block in blocks("toml"))
    (tmp_path / "frugal.py").write_text(strategy)
    metadata = tmp_path / "frugal_search-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: frugal-search\nVersion: 0.1.0\n")
    points = project["project"]["entry-points"]
    lines = [f"[{group}]\n" + "\n".join(f"{k} = {v}" for k, v in named.items()) for group, named in points.items()]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("frugal")
    sys.modules.pop("frugal")


def test_the_strategy_of_the_document_is_searched_with_by_its_entry_point(installed, tmp_path):
    assert "frugal" in strategy_names()
    assert find_strategies(["frugal"])["frugal"] is installed.FrugalStrategy
    after = {"rescored": 1, "rescore_seeds": 1, "winners": 1, "seeds": 1, "random_controls": 0, "rewired_controls": 0}
    space = tiny_space(search={"options": {"frugal": {"fresh": 0.5}}}, after=after, ladder={"rungs": [1]})
    result = evolve(space, strategy="frugal", budget=6, workers=1, out=tmp_path / "run")
    assert {trial.proposal.strategy for trial in result.trials} == {"frugal"}
    assert result.winners
    with pytest.raises(InputError, match="fresh must be from 0 to 1"):
        installed.FrugalStrategy(space.constraints, tiny_space(search={"options": {"frugal": {"fresh": 2}}}).search)


def test_the_tests_of_the_document_pass(installed):
    assert installed.__name__ == "frugal"
    _, tests = blocks("python")
    names = {}
    exec(tests, names)
    contract = names["TestFrugalStrategy"]()
    contract.proposals = 12
    tests = [getattr(contract, name) for name in dir(contract) if name.startswith("test_")]
    assert len(tests) == len(CHECKS)
    for test in tests:
        test()


def test_the_space_of_the_document_is_one(installed):
    import yaml

    assert installed.__name__ == "frugal"
    (search,) = (yaml.safe_load(block)["search"] for block in blocks("yaml"))
    assert find_strategies(tiny_space(search=search).search.strategies)


def test_the_document_names_every_check():
    text = DOCUMENT.read_text(encoding="utf-8").partition("## Its tests")[2]
    named = re.findall(r"^\| `(\w+)` \|", text, flags=re.M)
    assert named == list(CHECKS)


def test_an_uninstalled_package_is_gone(installed, tmp_path):
    assert installed.__name__ == "frugal"
    shutil.rmtree(tmp_path / "frugal_search-0.1.0.dist-info")
    assert "frugal" not in strategy_names()
