"""The commands as functions with typed results: what the command line calls, and what a notebook calls.

- :func:`evolve`, :func:`resume`, :func:`is_finished`, :func:`remove_scratch`: searching; :class:`SearchResult`,
  :class:`Winner`.
- :func:`write_report`: a search as a page.
- :func:`probe`, :func:`estimate_cost`: before searching; :class:`SearchCost`.
- :func:`train`, :func:`resume_training`, :func:`is_training`: one graph in full; :class:`TrainResult`,
  :class:`TrainedGraph`.
- :func:`certify`, :func:`load`, :func:`export`: saved networks; :func:`certify_arrays`: matrices of other programs.
"""

from topo_search.api.probing import SearchCost, estimate_cost, probe
from topo_search.api.reporting import write_report
from topo_search.api.running import DEFAULT_BUDGET, is_finished, remove_scratch
from topo_search.api.saved import certify, certify_arrays, export, load
from topo_search.api.search_result import SearchResult, Winner
from topo_search.api.searching import evolve, resume
from topo_search.api.training import TrainedGraph, TrainResult, is_training, resume_training, train

__all__ = [
    "DEFAULT_BUDGET",
    "SearchCost",
    "SearchResult",
    "TrainResult",
    "TrainedGraph",
    "Winner",
    "certify",
    "certify_arrays",
    "estimate_cost",
    "evolve",
    "export",
    "is_finished",
    "is_training",
    "load",
    "probe",
    "remove_scratch",
    "resume",
    "resume_training",
    "train",
    "write_report",
]
