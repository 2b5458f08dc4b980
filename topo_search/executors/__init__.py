"""Where evaluations run: implementations of :class:`topo_search.search.executor.Executor`.

- :class:`SerialExecutor`: in this process.
- :class:`ProcessExecutor`: one worker a core; :class:`WorkersCannotStartError` where none can start.
"""

from topo_search.executors.processes import ProcessExecutor, WorkersCannotStartError
from topo_search.executors.serial import SerialExecutor

__all__ = ["ProcessExecutor", "SerialExecutor", "WorkersCannotStartError"]
