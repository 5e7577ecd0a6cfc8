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
    EXACT_MARGINALS as EXACT_MARGINALS,
)
from sloc.contracts.population import (
    OF_DRAWS_ALONE as OF_DRAWS_ALONE,
)
from sloc.contracts.population import (
    Marginals,
    MarginalsFn,
    Population,
    check_fits,
    check_pair,
    check_runs,
    find_marginals,
    register_marginals,
    resolve_marginals,
)
from sloc.contracts.population import (
    marginals_method as marginals_method,
)
from sloc.contracts.population import (
    refuse_estimates as refuse_estimates,
)
from sloc.contracts.process import (
    Array as Array,
)
from sloc.contracts.process import (
    GaussianChannel,
    LinearGaussianChannel,
    MemorylessChannel,
    ObservationProcess,
    Revealed,
    RevealingChannel,
)
from sloc.contracts.process import (
    Observation as Observation,
)
from sloc.contracts.process import (
    tells_of_thresholds as tells_of_thresholds,
)
from sloc.contracts.sets import Sets as Sets
from sloc.contracts.sets import component_mask, component_names, set_name

__all__ = [
    "Contract",
    "ContractError",
    "GaussianChannel",
    "InvalidInput",
    "LinearGaussianChannel",
    "Marginals",
    "MarginalsFn",
    "MemorylessChannel",
    "ObservationProcess",
    "Population",
    "Revealed",
    "RevealingChannel",
    "check_fits",
    "check_pair",
    "check_registered",
    "check_runs",
    "component_mask",
    "component_names",
    "find_marginals",
    "float_dtype",
    "is_concrete",
    "namespace",
    "overrides",
    "register_marginals",
    "require",
    "resolve_marginals",
    "set_name",
    "shown",
]
