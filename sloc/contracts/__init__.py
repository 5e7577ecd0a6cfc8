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

from sloc.contracts import asked as asked
from sloc.contracts.base import Contract, namespace, require
from sloc.contracts.base import ContractError as ContractError
from sloc.contracts.base import InvalidInput as InvalidInput
from sloc.contracts.base import check_registered as check_registered
from sloc.contracts.base import float_dtype as float_dtype
from sloc.contracts.base import is_concrete as is_concrete
from sloc.contracts.base import named as named
from sloc.contracts.base import overrides as overrides
from sloc.contracts.base import shown as shown
from sloc.contracts.population import EXACT_MARGINALS as EXACT_MARGINALS
from sloc.contracts.population import OF_DRAWS_ALONE as OF_DRAWS_ALONE
from sloc.contracts.population import Marginals
from sloc.contracts.population import Population as Population
from sloc.contracts.population import check_fits as check_fits
from sloc.contracts.population import check_pair as check_pair
from sloc.contracts.population import check_runs as check_runs
from sloc.contracts.population import draws_posterior as draws_posterior
from sloc.contracts.population import find_marginals as find_marginals
from sloc.contracts.population import marginals_method as marginals_method
from sloc.contracts.population import refuse_estimates as refuse_estimates
from sloc.contracts.population import register_marginals as register_marginals
from sloc.contracts.population import resolve_marginals as resolve_marginals
from sloc.contracts.process import NOISE_AXIS as NOISE_AXIS
from sloc.contracts.process import Array as Array
from sloc.contracts.process import GaussianChannel as GaussianChannel
from sloc.contracts.process import LinearGaussianChannel as LinearGaussianChannel
from sloc.contracts.process import MemorylessChannel as MemorylessChannel
from sloc.contracts.process import Observation as Observation
from sloc.contracts.process import ObservationProcess as ObservationProcess
from sloc.contracts.process import Revealed as Revealed
from sloc.contracts.process import RevealingChannel as RevealingChannel
from sloc.contracts.process import backwards as backwards
from sloc.contracts.process import check_times as check_times
from sloc.contracts.process import tells_of_thresholds as tells_of_thresholds
from sloc.contracts.sets import Sets as Sets
from sloc.contracts.sets import component_mask as component_mask
from sloc.contracts.sets import component_names as component_names
from sloc.contracts.sets import set_name as set_name

# What a class of yours needs beside `sloc.ObservationProcess`, `sloc.Population` and the rest of `import sloc`, and
# what both derive from.  The other names, each imported as itself, are shared by the rooms of the house.
__all__ = ["Contract", "Marginals", "namespace", "require"]
