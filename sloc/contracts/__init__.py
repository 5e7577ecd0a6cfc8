"""What everyone else implements: observation processes, populations, and where they meet.

Three kinds of object, all frozen dataclasses registered as pytrees (arrays are leaves, structure
is static), so each can be an argument of a jitted function:

* an :class:`ObservationProcess` says how ``X`` is degraded into ``Y_t``;
* a :class:`Population` says what ``X`` is: sub-populations ``theta`` with weights ``w_theta``;
* the two meet in ``population.log_marginals(process, y, t)``, the vector ``log p_t^theta(y)``.

Authors write unbatched methods; the library batches them.  Families
(:class:`GaussianChannel`, :class:`RevealingChannel`, :class:`MemorylessChannel`) let a new
process inherit every shortcut of its family by giving one or two numbers, and
:func:`register_marginals` adds a shortcut for a pair (family, population type).

Time ``t`` grows as information is lost: ``t = 0`` is ``X`` itself and ``t = horizon`` says
nothing about it.
"""

from __future__ import annotations

from sloc.contracts.base import (
    Contract,
    ContractError,
    InvalidInput,
    check_registered,
    float_dtype,
    is_concrete,
    namespace,
    overrides,
    require,
    shown,
)
from sloc.contracts.population import (
    EXACT_MARGINALS,
    OF_DRAWS_ALONE,
    Marginals,
    Population,
    check_fits,
    check_instants,
    check_pair,
    check_runs,
    find_marginals,
    marginals_method,
    refuse_estimates,
    register_marginals,
    resolve_marginals,
)
from sloc.contracts.process import (
    Array,
    GaussianChannel,
    LinearGaussianChannel,
    MemorylessChannel,
    Observation,
    ObservationProcess,
    Revealed,
    RevealingChannel,
    tells_of_thresholds,
)
from sloc.contracts.sets import Sets, component_mask, component_names, set_name

# What a class of yours needs beside `sloc.ObservationProcess`, `sloc.Population` and the rest of `import sloc`, and
# what both derive from.  The other names are shared by the rooms of the house.
__all__ = ["Contract", "Marginals", "namespace", "require"]
