"""Versions of the compiler with known faults, and how the command line keeps clear of them."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from importlib.metadata import version

YNNPACK_FAULTS = ("0.10.2", "0.11.0")
"""Versions of jaxlib whose CPU compiler hands reductions to YNNPACK and is reported to crash or hang there on x86-64
(jax issues 39257, 40412)."""
_FLAG = "xla_cpu_experimental_ynn_fusion_type"


def leave_out_ynnpack(environment: MutableMapping[str, str] | None = None, jaxlib: str | None = None) -> bool:
    """Ask XLA not to use YNNPACK where this jaxlib's use of it is faulty and the user has not said what to do.

    To be called before JAX starts its CPU device.  Costs some per cent of speed, and nothing on other devices.

    Args:
        environment: where ``XLA_FLAGS`` stands; None for that of the process.
        jaxlib: the version; None for the installed one.

    Returns:
        Whether the flag was added.

    """
    environment = os.environ if environment is None else environment
    given = environment.get("XLA_FLAGS", "")
    if (jaxlib or version("jaxlib")).split("+")[0] not in YNNPACK_FAULTS or _FLAG in given:
        return False
    environment["XLA_FLAGS"] = f"{given} --{_FLAG}=".strip()
    return True
