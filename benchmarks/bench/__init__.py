"""Parts of ``benchmarks/engine.py``: networks, contenders, clocks and tables."""
