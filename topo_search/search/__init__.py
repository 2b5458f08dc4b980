"""The search: space, strategies, fidelity ladder, decisions, study, and what follows.

- :class:`SearchSpace`: what may vary and how a search goes.
- :class:`Evaluator`, :class:`Request`, :class:`Evaluation`: from a candidate to a score.
- :class:`Decisions`, :class:`Ladder`, :data:`STRATEGIES`: what is tried next, in a fixed order.
- :class:`SearchDriver`, :class:`Pool`, :class:`Executor`, :class:`TrialResources`: running it.
- :class:`SearchStudy`, :class:`EvaluationLog`, :class:`RunFolder`: what is kept;
  :func:`read_trials`, :func:`read_budgets`: a study, only read.
- :func:`rescore`, :func:`compare_winners`: winners against controls.
- :func:`measure_agreement`: how well the rungs rank.
- :func:`leading_trials`, :func:`pareto_order`: the best, with one objective or two.
- :func:`run_probe`, :func:`search_seconds`: whether the graph matters, and the cost of a search.
"""

from topo_search.search.after import compare_winners, rescore
from topo_search.search.agreement import RankAgreement, measure_agreement
from topo_search.search.comparison import Comparison, GraphScores, Rescored
from topo_search.search.controls import control_graphs, parameter_matched_edges
from topo_search.search.decisions import Decisions, Job
from topo_search.search.driver import SearchDriver
from topo_search.search.evaluate import Evaluator, Request, candidate_network
from topo_search.search.evaluation_log import EvaluationLog, Evaluations
from topo_search.search.executor import Executor, Finished, Loss
from topo_search.search.history import Evaluation, History, Pretraining, Proposal, Trial
from topo_search.search.ladder import Ladder
from topo_search.search.locks import DatabaseLock, DriverLock
from topo_search.search.objectives import leading_trials, pareto_order
from topo_search.search.pool import Pool
from topo_search.search.probe import ProbeError, ProbeResult, RungAgreement, run_probe, search_seconds, signal_and_noise
from topo_search.search.progress import Progress, ProgressCallback
from topo_search.search.resources import TrialResources
from topo_search.search.run_folder import RunFolder
from topo_search.search.settings import SearchConfig
from topo_search.search.shared_evaluations import SharedEvaluationLog
from topo_search.search.space import SearchSpace
from topo_search.search.storage import (
    StudyStorage,
    check_study_name,
    check_url,
    database_errors,
    has_study,
    holds_studies,
    is_shareable,
    open_storage,
    recorded_run,
    storage_notice,
    without_password,
)
from topo_search.search.stored_trials import read_budgets, read_trials
from topo_search.search.strategies import STRATEGIES, Strategy, find_strategies, strategy_names
from topo_search.search.study import SearchStudy

__all__ = [
    "STRATEGIES",
    "Comparison",
    "DatabaseLock",
    "Decisions",
    "DriverLock",
    "Evaluation",
    "EvaluationLog",
    "Evaluations",
    "Evaluator",
    "Executor",
    "Finished",
    "GraphScores",
    "History",
    "Job",
    "Ladder",
    "Loss",
    "Pool",
    "Pretraining",
    "ProbeError",
    "ProbeResult",
    "Progress",
    "ProgressCallback",
    "Proposal",
    "RankAgreement",
    "Request",
    "Rescored",
    "RunFolder",
    "RungAgreement",
    "SearchConfig",
    "SearchDriver",
    "SearchSpace",
    "SearchStudy",
    "SharedEvaluationLog",
    "Strategy",
    "StudyStorage",
    "Trial",
    "TrialResources",
    "candidate_network",
    "check_study_name",
    "check_url",
    "compare_winners",
    "control_graphs",
    "database_errors",
    "find_strategies",
    "has_study",
    "holds_studies",
    "is_shareable",
    "leading_trials",
    "measure_agreement",
    "open_storage",
    "parameter_matched_edges",
    "pareto_order",
    "read_budgets",
    "read_trials",
    "recorded_run",
    "rescore",
    "run_probe",
    "search_seconds",
    "signal_and_noise",
    "storage_notice",
    "strategy_names",
    "without_password",
]
