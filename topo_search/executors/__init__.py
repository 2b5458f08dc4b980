"""Where evaluations run: implementations of :class:`topo_search.search.executor.Executor`.

- :class:`SerialExecutor`: in this process.
- :class:`ProcessExecutor`: in worker processes of this machine; :class:`WorkersCannotStartError` where none can start.
- :func:`machine_memory`: what they share.
"""

from topo_search.executors.memory_limit import machine_memory
from topo_search.executors.processes import ProcessExecutor, WorkersCannotStartError
from topo_search.executors.serial import SerialExecutor

__all__ = ["ProcessExecutor", "SerialExecutor", "WorkersCannotStartError", "machine_memory"]
