"""Statistics of results: what a difference between graphs is worth.

- :func:`mean_interval`, :func:`bootstrap_mean`, :class:`Interval`: a mean over graphs and seeds, and
  an interval that respects both.
- :func:`paired_difference`, :class:`PairedDifference`: two graphs, or groups, seed by seed.
- :func:`compare_groups`, :class:`GroupComparison`: a winner against rewires of it, or any two groups of graphs.
- :func:`regret_quartiles`, :func:`evaluations_to_regret`: how quickly searches find what is good.
"""

from topo_search.analysis.intervals import Interval, bootstrap_mean, mean_interval
from topo_search.analysis.statistics import (
    GroupComparison,
    PairedDifference,
    compare_groups,
    evaluations_to_regret,
    paired_difference,
    regret_quartiles,
    sign_flip_p,
)

__all__ = [
    "GroupComparison",
    "Interval",
    "PairedDifference",
    "bootstrap_mean",
    "compare_groups",
    "evaluations_to_regret",
    "mean_interval",
    "paired_difference",
    "regret_quartiles",
    "sign_flip_p",
]
