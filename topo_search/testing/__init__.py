"""For authors of strategies: checks that any strategy must pass, with no training in them.

- :func:`check_strategy`: all checks; raises ``AssertionError``.
- :class:`StrategyContract`: the same as a class for pytest, one test a check.
- :data:`CHECKS`: the checks by name.
- :class:`FormulaExecutor`, :func:`formula_score`: scores from a formula in the place of training.
- :func:`offered`: a strategy under its name without an installed entry point.
"""

from topo_search.testing.contract import CHECKS, StrategyContract, check_strategy
from topo_search.testing.formula import FormulaExecutor, formula_evaluation, formula_score
from topo_search.testing.offering import offered

__all__ = [
    "CHECKS",
    "FormulaExecutor",
    "StrategyContract",
    "check_strategy",
    "formula_evaluation",
    "formula_score",
    "offered",
]
