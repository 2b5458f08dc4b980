"""The benchmarks are scripts beside the package: their folder is on the path when one is run."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
