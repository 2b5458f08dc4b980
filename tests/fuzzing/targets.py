"""What is fuzzed: every file that the program reads, by name."""

from __future__ import annotations

import fuzzing.data_targets as data
import fuzzing.network_targets as network
import fuzzing.report_targets as report
import fuzzing.run_targets as run
import fuzzing.text_targets as text
from fuzzing.harness import Target

TARGETS: dict[str, Target] = {
    "space": text.SPACE,
    "run_section": text.RUN_SECTION,
    "overrides": text.OVERRIDES,
    "graph_json": text.GRAPH_JSON,
    "graphml": text.GRAPHML,
    "adjacency": text.ADJACENCY,
    "certificate": network.CERTIFICATE,
    "saved_network": network.SAVED_NETWORK,
    "checkpoint": network.CHECKPOINT,
    "coupling": network.COUPLING,
    "evaluations": run.EVALUATIONS,
    "journal": run.JOURNAL,
    "summary": run.SUMMARY,
    "report": report.REPORT,
    "report_figures": report.REPORT_FIGURES,
    "table": data.TABLE,
    "plain_arrays": data.PLAIN_ARRAYS,
    "idx": data.IDX,
    "cifar": data.CIFAR,
}
"""The five that the others stand on come first in the tests: space, graph_json, graphml, certificate, checkpoint."""
