"""Checks of this machine and installation.

- :func:`run_checks`: all of them, in the order in which they are shown.
- :class:`Check`: the outcome of one.
"""

from topo_search.doctor.check import Check
from topo_search.doctor.checks import run_checks

__all__ = ["Check", "run_checks"]
