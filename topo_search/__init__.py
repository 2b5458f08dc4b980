"""Search over the inter-area graph of provably stable modular recurrent networks.

- :func:`evolve`, :func:`resume`: search; :class:`SearchResult` with ``result.best.graph`` a ``networkx.Graph``.
- :func:`probe`: does the graph matter in this space?
- :func:`train`, :func:`resume_training`: train one graph in full.
- :func:`certify`: judge a saved network from its files; :func:`certify_arrays`: matrices that another program made.
- :func:`write_report`: a search as a page of HTML.
- :func:`load`: a saved network as a ``torch.nn.Module``; :func:`export`: as arrays.
- :class:`TrialResources`: what one evaluation is given and may not exceed.
- :func:`load_space`: a search space by name or from a file.

The heavy imports (torch, Optuna) happen when one of these is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from topo_search.api import (
        SearchResult,
        TrainedGraph,
        TrainResult,
        Winner,
        certify,
        certify_arrays,
        evolve,
        export,
        load,
        probe,
        resume,
        resume_training,
        train,
        write_report,
    )
    from topo_search.config import load_space
    from topo_search.errors import InputError
    from topo_search.search import TrialResources

__version__ = "0.1.0"

__all__ = [
    "InputError",
    "SearchResult",
    "TrainResult",
    "TrainedGraph",
    "TrialResources",
    "Winner",
    "__version__",
    "certify",
    "certify_arrays",
    "evolve",
    "export",
    "load",
    "load_space",
    "probe",
    "resume",
    "resume_training",
    "train",
    "write_report",
]

_HOMES = {
    "InputError": "topo_search.errors",
    "TrialResources": "topo_search.search",
    "load_space": "topo_search.config",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'topo_search' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "topo_search.api")), name)
