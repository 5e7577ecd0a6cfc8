"""Blocks of keys, streaming accumulators, plans and checkpoints: what draws run in, on one device or many."""

from sloc.engine.cluster import is_leader, start_processes
from sloc.engine.collect import collect
from sloc.engine.dithering import dither, logit_grid
from sloc.engine.faults import CheckpointError, CheckpointWarning, NotANumber, OutOfMemory, Replayed
from sloc.engine.gather import gather
from sloc.engine.moments import Moments, block_moments, merge_moments, pool_moments, zero_moments
from sloc.engine.plan import BLOCK_DRAWS, Devices, Plan, Progress, as_plan, device_mesh
from sloc.engine.stream import Kernel, count_traces, stream, tally

__all__ = [
    "BLOCK_DRAWS",
    "CheckpointError",
    "CheckpointWarning",
    "Devices",
    "Kernel",
    "Moments",
    "NotANumber",
    "OutOfMemory",
    "Plan",
    "Progress",
    "Replayed",
    "as_plan",
    "block_moments",
    "collect",
    "count_traces",
    "device_mesh",
    "dither",
    "gather",
    "is_leader",
    "logit_grid",
    "merge_moments",
    "pool_moments",
    "start_processes",
    "stream",
    "tally",
    "zero_moments",
]
