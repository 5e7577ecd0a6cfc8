"""How ``X`` is degraded: observation processes ``Y_t | X``, the families they belong to, and how to combine them."""

from sloc.processes.axes import log_snr, raw_time
from sloc.processes.clocks import Clock, Function, Power, Steps, Table
from sloc.processes.composed import Composed, Projected
from sloc.processes.counts import Poisson
from sloc.processes.ctmc import RateMatrix, UniformCTMC
from sloc.processes.gaussian import FlowMatching, IsotropicGaussian, OrnsteinUhlenbeck, VarianceExploding
from sloc.processes.halfspace import HalfSpace
from sloc.processes.levels import level, time_at
from sloc.processes.linear import AnisotropicGaussian, AnisotropicOrnsteinUhlenbeck, LinearGaussian
from sloc.processes.permuted import Permuted
from sloc.processes.product import Product
from sloc.processes.retimed import Retimed
from sloc.processes.revealing import Erasure, Masking, OrderedMasking, Truncation
from sloc.processes.schedules import (
    tabulated,
    variance_exploding,
    variance_preserving,
)
from sloc.processes.symmetric import BinarySymmetric

__all__ = [
    "AnisotropicGaussian",
    "AnisotropicOrnsteinUhlenbeck",
    "BinarySymmetric",
    "Clock",
    "Composed",
    "Erasure",
    "FlowMatching",
    "Function",
    "HalfSpace",
    "IsotropicGaussian",
    "LinearGaussian",
    "Masking",
    "OrderedMasking",
    "OrnsteinUhlenbeck",
    "Permuted",
    "Poisson",
    "Power",
    "Product",
    "Projected",
    "RateMatrix",
    "Retimed",
    "Steps",
    "Table",
    "Truncation",
    "UniformCTMC",
    "VarianceExploding",
    "level",
    "log_snr",
    "raw_time",
    "tabulated",
    "time_at",
    "variance_exploding",
    "variance_preserving",
]
