"""Checks of single proposals: what a strategy makes of a space, a history and a generator."""

from __future__ import annotations

import random
from itertools import combinations

import numpy as np

from topo_search.graph import FAMILIES, OPERATORS, GraphConstraints, GraphError, ModuleGraph
from topo_search.search import STRATEGIES, History, Proposal, SearchSpace, Strategy
from topo_search.search.strategies import STARTS
from topo_search.testing.histories import checked_histories, put_candidate, random_graphs
from topo_search.testing.spaces import checked_spaces, small_space

__all__ = [
    "check_empty_handed",
    "check_name",
    "check_nearly_exhausted",
    "check_proposals",
    "check_statelessness",
]

NEARLY = 10
"""Proposals in a space that is nearly exhausted."""


def check_name(strategy: type[Strategy], space: SearchSpace | None = None, proposals: int = 0) -> None:  # noqa: ARG001
    """The class has a name of its own and says which operators it names."""
    name, operators = getattr(strategy, "name", None), getattr(strategy, "operators", None)
    who = strategy.__qualname__
    assert isinstance(name, str), f"{who}.name must be a string, got {name!r}"
    assert name.isidentifier(), f"{who}.name must be letters, digits and underscores, got {name!r}"
    assert name != STARTS, f"{who}.name must not be {STARTS!r}: graphs that a user starts from are called so"
    taken = STRATEGIES.get(name, strategy)
    assert taken is strategy, f"{who}.name {name!r} is taken by {taken.__qualname__} of topo_search"
    is_tuple = isinstance(operators, tuple) and all(isinstance(operator, str) for operator in operators)
    assert is_tuple, f"{who}.operators must be a tuple of strings, got {operators!r}"


def check_empty_handed(
    strategy: type[Strategy],
    space: SearchSpace | None = None,
    proposals: int = 0,  # noqa: ARG001
) -> None:
    """The first proposal of a search is valid in every space."""
    for rule, checked in checked_spaces(space).items():
        place = f"space {rule!r}, empty history"
        proposal = _proposed(_made(strategy, checked), History(), np.random.default_rng(0), place)
        _check(proposal, strategy, checked, History(), place)


def check_proposals(strategy: type[Strategy], space: SearchSpace | None = None, proposals: int = 300) -> None:
    """Proposals are valid in every space with every history, which they leave as it was."""
    cases = [
        (f"space {rule!r}, history {name!r}", checked, history)
        for rule, checked in checked_spaces(space).items()
        for name, history in checked_histories(checked, strategy.name).items()
    ]
    for place, checked, history in cases:
        before = _contents(history)
        made = _made(strategy, checked)
        for seed in range(-(-proposals // len(cases))):
            proposal = _proposed(made, history, np.random.default_rng(seed), place)
            _check(proposal, strategy, checked, history, place)
        assert _contents(history) == before, f"{place}: the history was changed by a proposal"


def check_statelessness(strategy: type[Strategy], space: SearchSpace | None = None, proposals: int = 300) -> None:
    """A proposal is a function of space, history and generator.

    One object that goes from history to history makes the proposals of objects that see one history each; the state of
    the global random generators stays as it is.
    """
    checked = next(iter(checked_spaces(space).values()))
    histories = checked_histories(checked, strategy.name)
    grown = _grown(checked)
    used = _made(strategy, checked)
    before = _global_states()
    for seed in range(-(-proposals // (len(histories) + len(grown)))):
        for place, history in [*histories.items(), *grown.items()]:
            mine, other = np.random.default_rng(seed), np.random.default_rng(seed)
            first = _proposed(used, history, mine, f"history {place!r}")
            again = _proposed(_made(strategy, checked), history, other, f"history {place!r}")
            assert first == again, (
                f"history {place!r}, seed {seed}: {_shown(first)} by an object that was used before, {_shown(again)} "
                "by a new one: expected the same proposal from the same history and generator"
            )
            assert mine.bit_generator.state == other.bit_generator.state, (
                f"history {place!r}, seed {seed}: an object that was used before drew other numbers than a new one"
            )
    assert _global_states() == before, "a global random generator was drawn from: expected only the one passed in"


def check_nearly_exhausted(
    strategy: type[Strategy],
    space: SearchSpace | None = None,
    proposals: int = 0,  # noqa: ARG001
) -> None:
    """Where nearly all graphs are known, or all of them, a strategy still proposes valid ones."""
    checked = small_space(space)
    graphs = _all_graphs(checked.constraints)
    for left in (2, 0):
        history = History()
        for graph in graphs[: len(graphs) - left]:
            put_candidate(history, graph, checked)
        for seed in range(NEARLY):
            place = f"all but {left} of {len(graphs)} graphs known"
            proposal = _proposed(_made(strategy, checked), history, np.random.default_rng(seed), place)
            _check(proposal, strategy, checked, history, place)


def _made(strategy: type[Strategy], space: SearchSpace) -> Strategy:
    return strategy(space.constraints, space.search)


def _proposed(made: Strategy, history: History, rng: np.random.Generator, place: str) -> Proposal:
    try:
        return made.propose(history, rng)
    except Exception as error:
        # The strategy of another package may raise what it likes.
        raise AssertionError(f"{place}: propose raised {type(error).__name__}: {error}") from error


def _check(proposal: Proposal, strategy: type[Strategy], space: SearchSpace, history: History, place: str) -> None:
    assert isinstance(proposal, Proposal), f"{place}: expected a Proposal, got {type(proposal).__name__}"
    named = proposal.strategy == strategy.name
    assert named, f"{place}: the proposal names strategy {proposal.strategy!r}, expected {strategy.name!r}"
    operators = {*OPERATORS, *FAMILIES, "crossover", *strategy.operators}
    known = proposal.operator in operators
    assert known, f"{place}: operator {proposal.operator!r} is not in {strategy.__qualname__}.operators"
    try:
        space.constraints.check(proposal.graph, ignore_budget=proposal.pretraining is not None)
    except GraphError as error:
        raise AssertionError(f"{place}: operator {proposal.operator!r} made an invalid graph: {error}") from None
    for parent in proposal.parents:
        there = 0 <= parent < len(history.proposals)
        assert there, f"{place}: parent {parent} does not exist: there are {len(history.proposals)} proposals"


def _shown(proposal: Proposal) -> str:
    return f"{proposal.operator} {proposal.graph.edges} of {proposal.parents}"


def _global_states() -> tuple[object, ...]:
    """Of Python's and NumPy's own generators, which a strategy has no business with."""
    return random.getstate(), repr(np.random.get_state())  # noqa: NPY002


def _contents(history: History) -> tuple[object, ...]:
    return tuple(history.proposals), frozenset(history.known), dict(history.trials)


def _grown(space: SearchSpace) -> dict[str, History]:
    """A history at three moments, as a search of its own would see it grow."""
    graphs = random_graphs(space.constraints)
    moments = {}
    for count in (len(graphs) // 3, len(graphs) // 2, len(graphs)):
        history = History()
        for graph in graphs[:count]:
            put_candidate(history, graph, space, rungs=2)
        moments[f"grown to {count}"] = history
    return moments


def _all_graphs(constraints: GraphConstraints) -> list[ModuleGraph]:
    return [
        ModuleGraph(constraints.areas, edges)
        for count in range(constraints.min_edges, constraints.edge_budget + 1)
        for edges in combinations(constraints.allowed_edges, count)
        if constraints.connects(edges)
    ]
