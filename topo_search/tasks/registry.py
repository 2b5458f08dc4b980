"""The tasks by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from topo_search.errors import InputError
from topo_search.tasks.base import Presentation, Task, TaskConfig
from topo_search.tasks.data_dir import resolve_data_dir
from topo_search.tasks.digits import load_digits
from topo_search.tasks.image_folder import load_image_folder
from topo_search.tasks.images import load_cifar10, load_idx_task

__all__ = ["TASKS", "TaskInfo", "load_task", "resolve_config"]


class _Loader(Protocol):
    def __call__(self, config: TaskConfig, data_dir: Path, download: bool) -> Task: ...


@dataclass(frozen=True)
class TaskInfo:
    """What is known of a task before it is loaded.

    Attributes:
        description: One line.
        needs_data: Whether it reads files from the data folder.
        presentation: The default of ``TaskConfig.presentation``.
        takes: Which of the configuration's task-specific entries (image_size, folder, grey) apply.
    """

    description: str
    needs_data: bool
    presentation: Presentation
    takes: frozenset[str]
    load: _Loader = field(repr=False)


_TASK_SPECIFIC = ("image_size", "folder", "grey")

TASKS: Mapping[str, TaskInfo] = MappingProxyType(
    {
        "digits": TaskInfo(
            "scikit-learn's 8x8 digits, row by row (embedded: no files, no download)",
            needs_data=False,
            presentation="rows",
            takes=frozenset(),
            load=load_digits,
        ),
        "seq_mnist": TaskInfo(
            "MNIST pixel by pixel: 784 steps of 1 channel",
            needs_data=True,
            presentation="pixels",
            takes=frozenset({"image_size"}),
            load=partial(load_idx_task, dataset="MNIST", label="sequential MNIST"),
        ),
        "ps_mnist": TaskInfo(
            "MNIST pixel by pixel in one fixed random order: 784 steps of 1 channel",
            needs_data=True,
            presentation="pixels",
            takes=frozenset({"image_size"}),
            load=partial(load_idx_task, dataset="MNIST", label="permuted sequential MNIST", permuted=True),
        ),
        "seq_fashion_mnist": TaskInfo(
            "Fashion-MNIST pixel by pixel: 784 steps of 1 channel",
            needs_data=True,
            presentation="pixels",
            takes=frozenset({"image_size"}),
            load=partial(load_idx_task, dataset="FashionMNIST", label="sequential Fashion-MNIST"),
        ),
        "seq_cifar10": TaskInfo(
            "CIFAR-10 pixel by pixel: 1024 steps of 3 channels (binary version or image folders)",
            needs_data=True,
            presentation="pixels",
            takes=frozenset({"image_size"}),
            load=load_cifar10,
        ),
        "image_folder": TaskInfo(
            "any tree FOLDER/{train,test}/<class>/<image>, pixel by pixel, colour or grey",
            needs_data=True,
            presentation="pixels",
            takes=frozenset(_TASK_SPECIFIC),
            load=load_image_folder,
        ),
    }
)


def resolve_config(config: TaskConfig) -> TaskConfig:
    """Fills in the task's default presentation and checks what can be checked without data.

    Raises:
        InputError: The task is unknown, or an entry is set that it does not take.
    """
    info = TASKS.get(config.name)
    if info is None:
        raise InputError(f"unknown task {config.name!r}; expected one of {', '.join(TASKS)}")
    for name in _TASK_SPECIFIC:
        value = getattr(config, name)
        if name not in info.takes and value != TaskConfig.model_fields[name].default:
            takers = ", ".join(task for task, other in TASKS.items() if name in other.takes)
            raise InputError(f"{name}: task {config.name} does not take it, got {value!r}; expected with {takers}")
    if "folder" in info.takes and config.folder is None:
        raise InputError(f"folder: task {config.name} needs the folder that holds train and test, got none")
    return config.model_copy(update={"presentation": config.presentation or info.presentation})


def load_task(config: TaskConfig, *, data_dir: str | Path | None = None, download: bool = False) -> Task:
    """Loads a task: its train and validation splits now, its test split when asked for.

    Args:
        config: Which task and how.
        data_dir: The data folder; see :func:`topo_search.tasks.resolve_data_dir`. Not looked at by embedded tasks.
        download: Whether missing data may be fetched (MNIST and Fashion-MNIST).

    Returns:
        The task. The same configuration and data give the same splits, bit for bit.

    Raises:
        InputError: Unknown task, an entry it does not take, data missing or corrupt, or sizes larger than available.
    """
    config = resolve_config(config)
    info = TASKS[config.name]
    # Without data there is nothing to look for: a bad data folder must not stop an embedded task.
    folder = resolve_data_dir(data_dir) if info.needs_data else Path()
    return info.load(config, folder, download)
