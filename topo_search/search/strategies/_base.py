"""What a strategy is."""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np

from topo_search.graph import GraphConstraints
from topo_search.search.history import History, Proposal
from topo_search.search.settings import SearchConfig

__all__ = ["Strategy"]


class Strategy(Protocol):
    """Proposes graphs from the trials in view and nothing else.

    A strategy keeps no state between proposals: two processes with the same history and the same generator make the
    same proposal, so any process can resume or join a search.
    """

    name: ClassVar[str]
    """In the space's ``search.strategies``."""

    operators: ClassVar[tuple[str, ...]]
    """Operators that its proposals may name beside the mutations, ``crossover`` and the families."""

    def __init__(self, constraints: GraphConstraints, config: SearchConfig) -> None: ...

    def propose(self, history: History, rng: np.random.Generator) -> Proposal:
        """A valid graph. It may be one that is known already: the driver then asks again with another generator."""
        ...
