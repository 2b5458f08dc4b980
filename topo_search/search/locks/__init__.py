"""Who drives a run: one driver at a time, or several that share a study in a database.

- :class:`Owner`: a driver, its machine and process; :class:`Heartbeat`: its sign of life.
- :class:`DriverLock`: what holds a run; :class:`FolderLock`: by a file; :class:`DatabaseLock`: by a row of a database.
"""

from topo_search.search.locks.database_lock import DatabaseLock
from topo_search.search.locks.driver_lock import DriverLock, FolderLock
from topo_search.search.locks.owner import Heartbeat, Owner

__all__ = ["DatabaseLock", "DriverLock", "FolderLock", "Heartbeat", "Owner"]
