"""Count the operations of a traced function with its loops: what the compiler's own analysis counts once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

TRANSCENDENTAL = frozenset(
    "exp exp2 expm1 log log1p tanh logistic sin cos tan erf erfc erf_inv lgamma digamma sqrt rsqrt cbrt pow".split()
)
"""Primitives of JAX that count as one transcendental an element, as XLA counts them."""
_FREE = frozenset(
    "broadcast_in_dim reshape squeeze transpose slice dynamic_slice concatenate pad gather iota copy "
    "convert_element_type bitcast_convert_type dynamic_update_slice rev split stop_gradient "
    "random_wrap random_unwrap".split()
)


@dataclass(frozen=True)
class Operations:
    """Elementary operations.

    Attributes:
        flops: additions, multiplications, comparisons and the like, matrix products included.
        transcendentals: exponentials, logarithms, roots and the like.
        unknown_loops: loops whose length is not known before they run, counted once.

    """

    flops: float = 0.0
    transcendentals: float = 0.0
    unknown_loops: int = 0

    def __add__(self, other: Operations) -> Operations:
        return Operations(
            self.flops + other.flops,
            self.transcendentals + other.transcendentals,
            self.unknown_loops + other.unknown_loops,
        )

    def times(self, count: int) -> Operations:
        """Return the operations of a body that runs ``count`` times."""
        return Operations(count * self.flops, count * self.transcendentals, self.unknown_loops)


def count_operations(call: Callable[..., Any], *args: Any) -> Operations:
    """Trace a function and count its operations: scans by their length, the dearer branch of a condition.

    Random bits count by the integer operations of their hash where JAX writes them out, and not at all where a device
    has an instruction of its own.  What the compiler later removes or repeats is not seen.
    """
    return _of_jaxpr(jax.make_jaxpr(call)(*args).jaxpr)


def _of_jaxpr(jaxpr: Any) -> Operations:
    total = Operations()
    for equation in jaxpr.eqns:
        total += _of_equation(equation)
    return total


def _of_equation(equation: Any) -> Operations:
    name, params = equation.primitive.name, equation.params
    if name == "scan":
        return _of_jaxpr(params["jaxpr"].jaxpr).times(params["length"])
    if name == "while":
        return _of_jaxpr(params["body_jaxpr"].jaxpr) + Operations(unknown_loops=1)
    if name == "cond":
        branches = [_of_jaxpr(branch.jaxpr) for branch in params["branches"]]
        return max(branches, key=lambda b: b.flops + b.transcendentals)
    inner = [v for v in params.values() if hasattr(v, "eqns") or hasattr(v, "jaxpr")]
    if inner:
        return sum((_of_jaxpr(getattr(v, "jaxpr", v)) for v in inner), Operations())
    size = sum(math.prod(getattr(v.aval, "shape", ())) for v in equation.outvars)
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        depth = math.prod(equation.invars[0].aval.shape[i] for i in contracted)
        return Operations(2.0 * size * depth)
    if name.startswith(("reduce_", "cum", "arg")):
        return Operations(float(sum(math.prod(v.aval.shape) for v in equation.invars)))
    if name in TRANSCENDENTAL:
        return Operations(0.0, float(size))
    return Operations() if name in _FREE else Operations(float(size))
