"""TopoBench-6: every graph of a small space, trained in full, and strategies replayed on the results.

- ``classes``: :func:`graph_classes`, the 1,054 graphs of six areas, up to the order of the hidden ones, as masks.
- ``space``: :func:`topobench_space`, the search spaces of the two tasks.
- ``table``: :class:`Table`, what every graph scored with every seed after every epoch; :func:`load_table`.
- ``making``: :func:`make_table`, which goes on after a kill.
- ``replay``: :func:`replay`, one search on a :class:`Benchmark` in milliseconds; :class:`UniformRandom`.
- ``running``: :func:`run_replays`, many of them; :func:`summarise`.
- ``landscape``: :func:`study_landscape`, what separates the best graphs.
"""

from topo_search.topobench.classes import (
    ALLOWED_EDGES,
    N_CLASSES,
    GraphClasses,
    edges_of,
    graph_classes,
    mask_of,
)
from topo_search.topobench.landscape import Landscape, study_landscape
from topo_search.topobench.making import make_table, table_requests
from topo_search.topobench.replay import Benchmark, Replay, UniformRandom, replay
from topo_search.topobench.running import Summary, regret_curves, run_replays, summarise
from topo_search.topobench.space import SEEDS, representative, table_path, topobench_space, topobench_tasks
from topo_search.topobench.table import Table, load_table

__all__ = [
    "ALLOWED_EDGES",
    "N_CLASSES",
    "SEEDS",
    "Benchmark",
    "GraphClasses",
    "Landscape",
    "Replay",
    "Summary",
    "Table",
    "UniformRandom",
    "edges_of",
    "graph_classes",
    "load_table",
    "make_table",
    "mask_of",
    "regret_curves",
    "replay",
    "representative",
    "run_replays",
    "study_landscape",
    "summarise",
    "table_path",
    "table_requests",
    "topobench_space",
    "topobench_tasks",
]
