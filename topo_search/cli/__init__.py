"""The command line; heavy imports stand inside commands, so that ``--help`` is quick.

- :mod:`search`: ``evolve``, ``resume``.
- :mod:`training`: ``probe``, ``train``.
- :mod:`networks`: ``certify``, ``export``.
- :mod:`reporting`: ``report``.
- :mod:`machine`: ``list``, ``dashboard``, ``doctor``.
- :mod:`bench`: the commands of TopoBench-6.
- :func:`main`: what ``python -m topo_search`` calls.
"""

# Importing a module registers its commands; their order is that of --help.
from topo_search.cli import search, training, networks, reporting, machine  # isort: skip
from topo_search.cli.app import app
from topo_search.cli.bench import app as bench_app
from topo_search.cli.main import main

__all__ = ["app", "machine", "main", "networks", "reporting", "search", "training"]

app.add_typer(bench_app, name="bench")
