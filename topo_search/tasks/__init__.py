"""Data as ``(T, batch, channels)`` sequences with train, validation and test splits.

- :func:`load_task` loads a task of :data:`TASKS` as a :class:`TaskConfig` asks.
- :class:`Task` holds its :class:`Split` parts as bytes and makes normalised batches of them.
- :func:`resolve_config` checks a configuration without touching data; :func:`resolve_data_dir` finds the data folder.
"""

from __future__ import annotations

from topo_search.tasks.base import Split, Task, TaskConfig
from topo_search.tasks.data_dir import resolve_data_dir
from topo_search.tasks.registry import TASKS, TaskInfo, load_task, resolve_config

__all__ = ["TASKS", "Split", "Task", "TaskConfig", "TaskInfo", "load_task", "resolve_config", "resolve_data_dir"]
