"""Options of the compiler for loops over lanes, where its defaults are bad for them."""

from __future__ import annotations

import functools
import os

import jax

_YNNPACK, _WIDTH = "xla_cpu_experimental_ynn_fusion_type", "xla_cpu_prefer_vector_width"


@functools.cache
def lane_options() -> dict[str, str]:
    """Return compiler options for a loop over lanes: on a CPU, that sums are XLA's own, in the widest vectors.

    jaxlib 0.10 and 0.11 hand sums over an axis in the middle to YNNPACK, which writes the products out first: decoding
    takes three and a half times as long.  (There it is also reported to crash; jax issue 39257.)  Vectors of 512 bits,
    where a CPU has them, bring 8 %.  The options hold for that loop alone: a program's other functions are compiled as
    it says.

    Returns:
        Nothing on other devices; no option of which ``XLA_FLAGS`` speaks, or that this jaxlib lacks.

    """
    if jax.default_backend() != "cpu":
        return {}
    said = os.environ.get("XLA_FLAGS", "")
    wanted = {_YNNPACK: "", _WIDTH: "512"}
    return {name: value for name, value in wanted.items() if name not in said and known({name: value})}


def known(options: dict[str, str]) -> dict[str, str]:
    """Return options if this compiler knows all of them, nothing otherwise."""
    try:
        jax.jit(lambda x: -x, compiler_options=dict(options)).lower(1.0).compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return options
