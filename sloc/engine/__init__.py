"""Blocks of keys, streaming accumulators and device meshes: the only place with jit and shard_map plumbing."""

from sloc.engine.collect import collect
from sloc.engine.moments import Moments, block_moments, merge_moments, pool_moments, zero_moments
from sloc.engine.stream import BLOCK_DRAWS, Devices, Kernel, Progress, count_traces, local_mesh, stream

__all__ = [
    "BLOCK_DRAWS",
    "Devices",
    "Kernel",
    "Moments",
    "Progress",
    "block_moments",
    "collect",
    "count_traces",
    "local_mesh",
    "merge_moments",
    "pool_moments",
    "stream",
    "zero_moments",
]
