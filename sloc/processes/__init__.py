"""How ``X`` is degraded: observation processes ``Y_t | X`` and the families they belong to."""

from sloc.contracts import (
    GaussianChannel,
    LinearGaussianChannel,
    MemorylessChannel,
    ObservationProcess,
    Revealed,
    RevealingChannel,
)
from sloc.processes.gaussian import FlowMatching, OrnsteinUhlenbeck, VarianceExploding
from sloc.processes.revealing import Masking, OrderedMasking, Truncation
from sloc.processes.symmetric import BinarySymmetric

__all__ = [
    "BinarySymmetric",
    "FlowMatching",
    "GaussianChannel",
    "LinearGaussianChannel",
    "Masking",
    "MemorylessChannel",
    "ObservationProcess",
    "OrderedMasking",
    "OrnsteinUhlenbeck",
    "Revealed",
    "RevealingChannel",
    "Truncation",
    "VarianceExploding",
]
