"""A guess at a graph's score from the scores of others: which of some children is worth a training?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from topo_search.graph import GraphConstraints
from topo_search.search.history import History, Trial

__all__ = ["EdgeSurrogate"]

Floats = NDArray[np.float64]

# Standard deviations that a guess is lifted by where little is known: optimism keeps a wrong guess from lasting.
OPTIMISM = 0.5


class EdgeSurrogate:
    """Ridge regression of scores on edges, and on the sizes of areas where those vary.

    An edge is worth what it adds on average. That is wrong in detail, paths are made of several edges, and enough to
    tell promising children from poor ones: a child whose edges stood in good graphs is tried first. Scores are those
    of the first rung, which all trials have, of the latest trials.

    Source: White, Neiswanger and Savani, "BANANAS: Bayesian optimization with neural architectures for neural
    architecture search" (2021), and Wei et al., "NPENAS: neural predictor guided evolution for neural architecture
    search" (2020), for evolution guided by a predictor. Departs from them in the predictor: a linear one has a closed
    form and needs few trials.

    Args:
        constraints: of the space.
        window: latest trials that count.
        ridge: precision of the prior on weights, for scores of unit variance; larger trusts single edges less.
    """

    def __init__(self, constraints: GraphConstraints, *, window: int, ridge: float) -> None:
        self.window, self.ridge = window, ridge
        self._column = {edge: index for index, edge in enumerate(constraints.allowed_edges)}
        self._sizes = np.array([area.size for area in constraints.areas]) if constraints.hub_sizes else None
        self._rows: dict[str, NDArray[np.bool_]] = {}

    def row(self, trial: Trial) -> NDArray[np.bool_]:
        """Which of the allowed edges a trial's graph has, ``(allowed edges,)``; not to be written to."""
        found = self._rows.get(trial.graph.key)
        if found is None:
            found = np.zeros(len(self._column), dtype=bool)
            found[[self._column[edge] for edge in trial.graph.edges]] = True
            self._rows[trial.graph.key] = found
        return found

    def appeal(self, edges: NDArray[np.bool_], sizes: Sequence[tuple[int, ...]], history: History) -> Floats:
        """Expected score of each set of edges and some of its uncertainty, in no unit: the largest is to be tried.

        All are equal while fewer than two trials have a score.

        Args:
            edges: ``(n, allowed edges)``, which of them each graph has.
            sizes: ``(n, areas)``, units of its areas.
            history: trials in view.

        Returns:
            ``(n,)``.
        """
        trials = history.scored(self.window)
        if len(trials) < 2:
            return np.zeros(len(edges))
        rows = self._features(np.array([self.row(trial) for trial in trials]), [t.graph.sizes for t in trials])
        scores = np.array([trial.results[0].score for trial in trials])
        spread = float(scores.std())
        centre = rows.mean(axis=0)
        rows -= centre
        targets = (scores - scores.mean()) / spread if spread > 0 else np.zeros(len(scores))
        asked = self._features(edges, sizes) - centre
        # In the space of trials or of edges, whichever is smaller: the two forms of ridge regression are equal.
        if len(rows) < rows.shape[1]:
            kernel = np.linalg.inv(rows @ rows.T + self.ridge * np.eye(len(rows)))
            cross = asked @ rows.T
            guess = cross @ (kernel @ targets)
            variance = (np.sum(asked**2, axis=1) - np.sum((cross @ kernel) * cross, axis=1)) / self.ridge
        else:
            covariance = np.linalg.inv(rows.T @ rows + self.ridge * np.eye(rows.shape[1]))
            guess = asked @ (covariance @ (rows.T @ targets))
            variance = np.sum((asked @ covariance) * asked, axis=1)
        appeal: Floats = guess + OPTIMISM * np.sqrt(np.maximum(variance, 0))
        return appeal

    def _features(self, edges: NDArray[np.bool_], sizes: Sequence[tuple[int, ...]]) -> Floats:
        rows = edges.astype(np.float64)
        if self._sizes is None:
            return rows
        return np.hstack([rows, np.log2(np.array(sizes) / self._sizes)])
