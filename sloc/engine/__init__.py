"""Long runs on one device or many: what is raised when they fail, who reports progress, processes that run together."""

from sloc.engine.cluster import is_leader, start_processes
from sloc.engine.faults import CheckpointError, CheckpointWarning, NotANumber, OutOfMemory, Replayed
from sloc.engine.plan import Progress

__all__ = [
    "CheckpointError",
    "CheckpointWarning",
    "NotANumber",
    "OutOfMemory",
    "Progress",
    "Replayed",
    "is_leader",
    "start_processes",
]
