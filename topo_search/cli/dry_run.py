"""``evolve --dry-run``: the resolved space and the cost, of a search that would not be refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from topo_search.cli.output import print_json

if TYPE_CHECKING:
    from topo_search.search import TrialResources

__all__ = ["show_plan"]


def show_plan(
    space: str,
    *,
    budget: int,
    strategy: str | None,
    seed: int,
    workers: int | None,
    out: Path | None,
    storage: str | None,
    join: bool,
    device: str,
    ray: str | None,
    resources: TrialResources,
    data_dir: Path | None,
    download: bool,
    overrides: Sequence[str],
    start: Sequence[Path],
    as_json: bool,
) -> None:
    """Print what a search would do. The arguments are those of :func:`topo_search.evolve`.

    A Ray cluster is not asked for, and a database only for the study of ``out``.

    Raises:
        InputError: if the search would be refused.
    """
    from topo_search import api
    from topo_search.api.execution import plan_execution
    from topo_search.api.setup import check_budget, check_new_folder, check_seed, check_storage
    from topo_search.api.starting import with_starts
    from topo_search.config import load_space, space_to_yaml
    from topo_search.report.tables import duration

    check_budget(budget)
    check_seed(seed)
    execution = plan_execution(
        workers=workers, most_workers=None, device=device, ray=ray, resources=resources, data_dir=data_dir
    )
    if out is not None:
        check_new_folder(out)
    searched = with_starts(load_space(space, overrides=overrides), start)
    check_storage(storage, join=join, out=out, space=searched)
    resolved, cost = api.estimate_cost(
        searched,
        budget=budget,
        strategy=strategy,
        # A cluster's number is not known here; this machine's stands for it.
        workers=execution.workers,
        data_dir=data_dir,
        download=download,
    )
    if as_json:
        print_json(
            {
                "space": resolved.model_dump(mode="json"),
                "budget": cost.budget,
                "workers": cost.workers,
                "seconds_per_epoch": cost.seconds_per_epoch,
                "seconds": cost.seconds,
            }
        )
        return
    print(space_to_yaml(resolved), end="")
    print(
        f"# a search of {cost.budget} candidates with {cost.workers} workers: about {duration(cost.seconds)} here "
        f"({cost.seconds_per_epoch:.3f} s an epoch on one core, measured now)"
    )
