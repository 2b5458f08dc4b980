"""What every strategy must keep to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from topo_search.search import SearchSpace, Strategy
from topo_search.testing.proposals import (
    check_empty_handed,
    check_name,
    check_nearly_exhausted,
    check_proposals,
    check_statelessness,
)
from topo_search.testing.whole_search import check_exhaustion, check_interruption, check_workers

__all__ = ["CHECKS", "StrategyContract", "check_strategy"]

Check = Callable[[type[Strategy], SearchSpace | None, int], None]

CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "name": check_name,
        "empty_handed": check_empty_handed,
        "proposals": check_proposals,
        "statelessness": check_statelessness,
        "nearly_exhausted": check_nearly_exhausted,
        "workers": check_workers,
        "interruption": check_interruption,
        "exhaustion": check_exhaustion,
    }
)
"""The checks by name: functions of a strategy, a space or ``None``, and a number of proposals."""


def check_strategy(strategy: type[Strategy], *, space: SearchSpace | None = None, proposals: int = 300) -> None:
    """Run all checks on a strategy; nothing is trained, and nothing needs to be installed.

    Args:
        strategy: the class.
        space: a space of your own, checked beside those that come with the checks; its ``search`` serves in all of
            them, so it is also the way to give options.
        proposals: how many are asked for in each of the two longest checks; at least one for each space and history.

    Raises:
        AssertionError: if the strategy breaks the contract; the message says where and how.
    """
    for check in CHECKS.values():
        check(strategy, space, proposals)


class StrategyContract:
    """The checks as tests: derive a class whose name begins with ``Test``, and name the strategy in it.

    .. code-block:: python

        class TestMyStrategy(StrategyContract):
            strategy = MyStrategy
    """

    strategy: ClassVar[type[Any]]
    """The class to check."""

    space: ClassVar[SearchSpace | None] = None
    """A space of your own, as in :func:`check_strategy`."""

    proposals: ClassVar[int] = 300
    """How many are asked for, as in :func:`check_strategy`."""

    def _run(self, name: str) -> None:
        CHECKS[name](self.strategy, self.space, self.proposals)

    def test_name_and_operators_are_given(self) -> None:
        """The class says who it is."""
        self._run("name")

    def test_an_empty_history_is_enough(self) -> None:
        """The first proposal is valid."""
        self._run("empty_handed")

    def test_proposals_are_valid_under_every_rule(self) -> None:
        """So are all others, in every space with every history."""
        self._run("proposals")

    def test_no_state_is_kept_between_proposals(self) -> None:
        """Same history and generator, same proposal."""
        self._run("statelessness")

    def test_a_space_with_hardly_a_new_graph_is_no_trouble(self) -> None:
        """Proposals are valid there too."""
        self._run("nearly_exhausted")

    def test_any_number_of_workers_gives_the_same_search(self) -> None:
        """In whatever order evaluations end."""
        self._run("workers")

    def test_an_interrupted_search_ends_as_if_it_had_not_been(self) -> None:
        """Nothing is kept outside of the run's folder."""
        self._run("interruption")

    def test_a_search_of_a_small_space_ends(self) -> None:
        """No graph is evaluated twice."""
        self._run("exhaustion")
