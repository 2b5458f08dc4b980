"""What people look at: tables for the terminal and pictures of graphs.

- :func:`comparison_table`, :func:`probe_table`, :func:`verdict`, :func:`agreement_lines`, :func:`group_comparison`:
  results for a terminal; :func:`result_console`: where.
- :func:`draw_graph`: a picture of a graph of areas; :mod:`landscape`: pictures of TopoBench-6.
- :mod:`page`: the report of a run, in HTML.
"""

from topo_search.report.figures import draw_graph
from topo_search.report.tables import (
    agreement_lines,
    comparison_table,
    group_comparison,
    probe_table,
    result_console,
    verdict,
)

__all__ = [
    "agreement_lines",
    "comparison_table",
    "draw_graph",
    "group_comparison",
    "probe_table",
    "result_console",
    "verdict",
]
