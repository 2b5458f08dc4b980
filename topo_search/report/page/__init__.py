"""The report of a run: one page of HTML without scripts, with everything in it.

- :func:`read_summary`, :func:`read_record`, :class:`RunRecord`: what a run left, checked.
- :func:`render_page`: the page.
"""

from topo_search.report.page.reading import read_record, read_summary
from topo_search.report.page.record import RunRecord
from topo_search.report.page.rendering import render_page

__all__ = ["RunRecord", "read_record", "read_summary", "render_page"]
