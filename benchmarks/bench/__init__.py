"""Parts of the scripts beside this folder; all of them share ``command``.

- ``engine.py``: ``cases``, ``problem``, ``contenders``, ``timing``, ``work``, ``memory``, ``rows``, ``claims``,
  ``epochs``, ``tables``.
- ``euler_limit.py``: ``limit_runs``, ``limit_state``, ``limit_training``, ``limit_report``, ``limit_figure``.
- ``stability_tables.py``: ``stability_rows``.
"""
