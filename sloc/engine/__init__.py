"""Blocks of keys, streaming accumulators, plans and checkpoints: what draws run in, on one device or many."""

from sloc.engine.cluster import is_leader, start_processes
from sloc.engine.collecting import collect
from sloc.engine.faults import CheckpointError, CheckpointWarning, NotANumber, OutOfMemory, Replayed
from sloc.engine.moments import Moments
from sloc.engine.plan import Devices, Progress
from sloc.engine.streaming import Kernel, stream

__all__ = [
    "CheckpointError",
    "CheckpointWarning",
    "Devices",
    "Kernel",
    "Moments",
    "NotANumber",
    "OutOfMemory",
    "Progress",
    "Replayed",
    "collect",
    "is_leader",
    "start_processes",
    "stream",
]
