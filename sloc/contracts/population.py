"""Populations, and where they meet processes: ``log p_t^theta(y)``, by a registered pair or a method of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts.base import (
    Asked,
    Contract,
    ContractError,
    InvalidInput,
    float_dtype,
    overrides,
    require,
    shown,
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
    missing_method,
)
from sloc.contracts.signal import Coordinates

EXACT_MARGINALS = "exact marginals"
OF_DRAWS_ALONE = ", whose own error the interval leaves out"
"""What methods add to the words of marginals that are estimates."""


class Population(Contract):
    """A mixture ``p = sum_theta w_theta p^theta`` over a finite set of ``K`` sub-populations.

    A subclass gives ``log_weights``, ``sample`` and either ``log_marginals`` or a registered pair
    (:func:`register_marginals`).  Source: Li, Karan & Chen 2025, Sect. 3.

    Attributes:
        log_weights: ``[K]``, ``log w_theta``.
        names: ``K`` distinct strings; the empty tuple stands for ``"0" .. "K-1"``.
        atomic: whether each ``p^theta`` puts mass on points, so that densities are singular at ``t = 0``.

    """

    names: Any = ()
    atomic: ClassVar[bool] = False
    _asked: ClassVar[Asked] = {
        "sample": ("key", "component"),
        "log_marginals": ("process", "y", "t"),
        "path_log_marginals": ("process", "key", "x", "times[]"),
        "posterior_sample": ("key", "process", "y", "t"),
        "posterior_joint": ("key", "process", "y", "t"),
        "bridge_pair": ("process", "key", "i", "j", "t"),
        "log_affinities": ("process", "t"),
    }

    @property
    def log_weights(self) -> Array:
        """``log w_theta``, shape ``[K]``."""
        raise missing_method(self, "log_weights", "weigh its sub-populations")

    @property
    def num_components(self) -> int:
        """``K``, the number of sub-populations (static)."""
        return int(jnp.shape(self.log_weights)[0])

    def path_elements(self) -> int:
        """Numbers held per draw and time while the path is computed: sizes the compute tile."""
        return self.num_components

    def marginals_words(self, process: ObservationProcess) -> str:
        """How ``log p_t^theta(y)`` is got under a process, for the ``method`` of results; override where not exact."""
        return EXACT_MARGINALS

    def estimates_marginals(self, process: ObservationProcess) -> bool:
        """Whether ``log p_t^theta(y)`` has an error of its own under a process, as a Monte Carlo mean has.

        Nothing is certified of such marginals, and intervals of curves say that they are of the draws alone.  By
        default wherever :meth:`marginals_words` says anything but ``exact marginals``; override where what it says is
        exact to rounding, as quadrature is.
        """
        return self.marginals_words(process) != EXACT_MARGINALS

    def exact_marginals_by(self, process: ObservationProcess) -> str:
        """What would make estimated marginals exact, for refusals: ``raise most_supports``; empty if nothing known."""
        return ""

    def sample(self, key: Array, component: Array) -> Any:
        """Draw ``X ~ p^theta`` for ``theta = component`` (an int32 scalar, possibly traced)."""
        raise missing_method(self, "sample(key, component)", "draw from a sub-population")

    def _called(self) -> Self:
        """Return the population with arrays for the lists and numbers that a person wrote."""
        return self.canonical()

    def _known_x(self) -> Any:
        """Return what is known of ``X``, a tree of ``Coordinates``; None for nothing."""
        if not overrides(self, Population, "sample"):
            return None
        try:
            drawn = _draw.eval_shape(self)
        except Exception:  # what is wrong with it shows itself where it runs
            return None
        letters = getattr(self, "num_letters", None)
        letters = letters if isinstance(letters, int) else None

        def known(leaf: Any) -> Coordinates:
            whole = np.issubdtype(leaf.dtype, np.integer)
            return Coordinates(tuple(leaf.shape), np.dtype(leaf.dtype), letters if whole else None)

        return jax.tree.map(known, drawn)

    def log_marginals(self, process: ObservationProcess, y: Observation, t: Array) -> Array:
        """``log p_t^theta(y)`` for every ``theta``, shape ``[K]``, not multiplied by ``w``."""
        return resolve_marginals(process, self).marginals(process, self, y, t)

    def path_log_marginals(self, process: ObservationProcess, key: Array, x: Any, times: Array) -> Array:
        """``log p_t^theta(Y_t)`` at all times of one trajectory from ``x``, shape ``[T, K]``.

        The same key serves every time (common random numbers).  The default samples and evaluates
        time by time; pairs with a shortcut register one.
        """
        entry = find_marginals(process, self)
        if entry is not None and entry.path_fn is not None and not overrides(self, Population, "log_marginals"):
            return entry.path_fn(process, self, key, x, times)
        return jax.vmap(lambda t: self.log_marginals(process, process.sample(key, x, t), t))(times)

    def posterior_sample(self, key: Array, process: ObservationProcess, y: Observation, t: Array) -> Any:
        """Draw ``X | Y_t = y`` under the whole mixture (optional): by default the ``X`` of :meth:`posterior_joint`."""
        if not overrides(self, Population, "posterior_joint"):
            raise missing_method(self, "posterior_sample(key, process, y, t)", "draw X given an observation")
        return self.posterior_joint(key, process, y, t)[1]

    def posterior_joint(self, key: Array, process: ObservationProcess, y: Observation, t: Array) -> tuple[Array, Any]:
        """Draw ``(theta, X) | Y_t = y`` under the whole mixture (optional): an int32 scalar, and ``X``."""
        raise missing_method(self, "posterior_joint(key, process, y, t)", "draw a sub-population and X together")

    def bridge_pair(self, process: ObservationProcess, key: Array, i: Array, j: Array, t: Array) -> Observation:
        """Draw ``Y`` with density proportional to ``sqrt(p_t^i p_t^j)`` for components ``i``, ``j`` (optional).

        Unbatched; ``i`` and ``j`` are int32 scalars, possibly traced.  With one key, draws at different ``t`` share
        their randomness.  Serves estimates of small overlaps, with :meth:`log_affinities`.
        """
        raise missing_method(self, "bridge_pair(process, key, i, j, t)", "draw between two sub-populations")

    def log_affinities(self, process: ObservationProcess, t: Array) -> Array:
        """``log int sqrt(p_t^i p_t^j)`` for all pairs, ``[K, K]``, symmetric and at most 0 (optional)."""
        raise missing_method(self, "log_affinities(process, t)", "weigh the draws of bridge_pair")


# Traced for its shapes alone, which JAX keeps by the structure of the population: asking again costs microseconds.
@jax.jit
def _draw(population: Any) -> Any:
    return population.sample(jax.random.key(0), jnp.zeros((), jnp.int32))


def draws_posterior(population: Population) -> bool:
    """Whether ``X`` can be drawn given an observation: its class defines how, alone or together with its label."""
    return any(overrides(population, Population, name) for name in ("posterior_sample", "posterior_joint"))


def marginals_method(process: ObservationProcess, population: Population) -> str:
    """Return how marginals are got, for the method of a curve, and of estimates that its interval leaves them out."""
    words = population.marginals_words(process)
    return words + OF_DRAWS_ALONE if population.estimates_marginals(process) else words


def refuse_estimates(process: ObservationProcess, population: Population, what: str) -> None:
    """Refuse to certify where marginals are estimates: their error is in every draw, and no number of draws shows it.

    Args:
        process: the process.
        population: the population.
        what: what was asked for, such as ``certified edges``.

    Raises:
        InvalidInput: the population estimates its marginals under this process; the message says what is available.

    """
    if not population.estimates_marginals(process):
        return
    more = population.exact_marginals_by(process)
    raise InvalidInput(
        f"population = {type(population).__name__}: expected exact marginals for {what}, but under "
        f"{type(process).__name__} they are estimates ({population.marginals_words(process)}), whose own error no "
        "interval would hold; available are uncertified curves and windows, which name the estimate"
        f"{', or ' + more if more else ''}"
    )


def _check_function(fn: Any, expected: str) -> None:
    require(callable(fn), "fn", fn, f"a function {expected}")


@dataclass(eq=False)
class Marginals:
    """One registered pair and its optional shortcuts; made by :func:`sloc.register_marginals`.

    Its decorators raise :class:`~sloc.InvalidInput` for what is no function.

    Attributes:
        marginals: ``(process, population, y, t) -> [K]``.
        path_fn: ``(process, population, key, x, times) -> [T, K]``, one trajectory.
        paths_fn: ``(process, population, key, components [B], times) -> [T, K, B]``, draws a whole
            batch from one key, the batch last so that sums over atoms vectorise.
        draws_fn: ``(process, population, key, components [B]) -> (times -> [T, K, B])``, the same with the draws made
            first, once for whatever times are asked for afterwards.
        reduce_fn: ``(process, population) -> (process, population)``, a sufficient statistic: TV,
            posteriors and information are unchanged, the dimension is smaller.

    """

    process_type: type
    population_type: type
    marginals: Callable[..., Array]
    path_fn: Callable[..., Array] | None = None
    paths_fn: Callable[..., Array] | None = None
    draws_fn: Callable[..., Callable[[Array], Array]] | None = None
    reduce_fn: Callable[..., tuple[Any, Any]] | None = None

    def path(self, fn: Callable[..., Array]) -> Callable[..., Array]:
        """Register ``fn(process, population, key, x, times) -> [T, K]``."""
        _check_function(fn, "(process, population, key, x, times) -> [T, K]")
        self.path_fn = fn
        return fn

    def paths(self, fn: Callable[..., Array]) -> Callable[..., Array]:
        """Register ``fn(process, population, key, components, times) -> [T, K, B]``."""
        _check_function(fn, "(process, population, key, components, times) -> [T, K, B]")
        self.paths_fn = fn
        return fn

    def draws(self, fn: Callable[..., Callable[[Array], Array]]) -> Callable[..., Callable[[Array], Array]]:
        """Register ``fn(process, population, key, components) -> (times -> [T, K, B])``, and with it ``paths``."""
        _check_function(fn, "(process, population, key, components) -> (times -> [T, K, B])")
        self.draws_fn = fn
        self.paths_fn = lambda process, population, key, components, times: fn(process, population, key, components)(
            times
        )
        return fn

    def reduce(self, fn: Callable[..., tuple[Any, Any]]) -> Callable[..., tuple[Any, Any]]:
        """Register ``fn(process, population) -> (process, population)``."""
        _check_function(fn, "(process, population) -> (process, population)")
        self.reduce_fn = fn
        return fn

    def __call__(self, process: Any, population: Any, y: Any, t: Any) -> Array:
        """Return ``log p_t^theta(y)``, shape ``[K]``."""
        return self.marginals(process, population, y, t)


_PAIRS: dict[tuple[type, type], Marginals] = {}


def register_marginals(process_type: type, population_type: type) -> Callable[[Callable[..., Array]], Marginals]:
    """Register ``log p_t^theta(y)`` for a family of processes and a type of population.

    Use as a decorator on ``fn``, ``(process, population, y, t)`` to ``[K]``.  The returned object has
    decorators ``.path``, ``.paths`` (or ``.draws``) and ``.reduce`` for the shortcuts of the pair.  At a call the most
    specific registered pair wins; two that are equally specific are an error.

    Args:
        process_type: a subclass of :class:`ObservationProcess`, often a family.
        population_type: a subclass of :class:`Population`.

    Returns:
        The decorator; what it makes of ``fn`` is the registered :class:`Marginals`.

    Raises:
        ContractError: the arguments are not such classes.

    """
    if not (isinstance(process_type, type) and issubclass(process_type, ObservationProcess)):
        raise ContractError(f"process_type = {shown(process_type)}: expected a subclass of sloc.ObservationProcess")
    if not (isinstance(population_type, type) and issubclass(population_type, Population)):
        raise ContractError(f"population_type = {shown(population_type)}: expected a subclass of sloc.Population")

    def register(fn: Callable[..., Array]) -> Marginals:
        entry = Marginals(process_type, population_type, fn)
        _PAIRS[process_type, population_type] = entry
        return entry

    return register


def find_marginals(process: ObservationProcess, population: Population) -> Marginals | None:
    """Return the most specific registered pair for these objects, or None.

    Args:
        process: an observation process.
        population: a population.

    Returns:
        The registered function, or None.

    Raises:
        ContractError: two registered pairs match and neither is more specific.

    """
    p_mro, q_mro = type(process).__mro__, type(population).__mro__
    matches = [(p, q) for p, q in _PAIRS if p in p_mro and q in q_mro]

    def below(a: tuple[type, type], b: tuple[type, type]) -> bool:
        return a != b and issubclass(a[0], b[0]) and issubclass(a[1], b[1])

    best = [m for m in matches if not any(below(other, m) for other in matches)]
    if len(best) > 1:
        pairs = "; ".join(f"({p.__name__}, {q.__name__})" for p, q in best)
        raise ContractError(
            f"the marginals of {type(population).__name__} under {type(process).__name__} are ambiguous: {pairs} "
            "match equally well; register the exact pair"
        )
    return _PAIRS[best[0]] if best else None


def resolve_marginals(process: ObservationProcess, population: Population) -> Marginals:
    """Return the registered pair or say which processes the population can be evaluated under.

    Args:
        process: an observation process.
        population: a population.

    Returns:
        The registered function.

    Raises:
        ContractError: no pair matches; the message lists those that would.

    """
    entry = find_marginals(process, population)
    if entry is None:
        known = sorted({p.__name__ for p, q in _PAIRS if isinstance(population, q)})
        raise ContractError(
            f"population {type(population).__name__} cannot be evaluated under process {type(process).__name__}; "
            f"it can under: {', '.join(known) or 'none'}; define {type(population).__name__}.log_marginals or use "
            "sloc.register_marginals"
        )
    if entry.process_type is ObservationProcess and not overrides(process, ObservationProcess, "log_prob"):
        raise ContractError(
            f"process {type(process).__name__} does not define log_prob(y, x, t), which "
            f"{type(population).__name__} needs to evaluate log p_t^theta(y)"
        )
    return entry


def check_pair(process: ObservationProcess, population: Population) -> None:
    """Refuse a pair that cannot be evaluated, before anything is traced.

    Args:
        process: an observation process.
        population: a population.

    Raises:
        ContractError: see ``resolve_marginals``; or the population's own ``log_marginals`` asks this process for
            what it does not have.
        InvalidInput: see ``check_fits``.

    """
    own = overrides(population, Population, "log_marginals")
    if not own and not overrides(population, Population, "path_log_marginals"):
        resolve_marginals(process, population)
    if not overrides(process, ObservationProcess, "sample"):
        raise missing_method(process, "sample(key, x, t)", "draw observations")
    if own:
        check_runs(process, population, "log_marginals")
    check_fits(process, population)


def check_fits(process: ObservationProcess, population: Population) -> None:
    """Refuse a population whose ``X`` a process cannot take: too many coordinates, letters outside its alphabet.

    What is static is looked at always; the atoms of labelled data once, and only where they are not traced.

    Args:
        process: an observation process.
        population: a population.

    Raises:
        InvalidInput: names the population, what the process takes, and what was found instead.

    """
    # Hooks of the contract, asked here and in check_times: no class of a user's needs to know of them.
    x = population._known_x()  # pyright: ignore[reportPrivateUsage]
    if x is not None:
        words = process._misfit(x)  # pyright: ignore[reportPrivateUsage]
        require(not words, "population", population, words)


_TRIED: set[tuple[type, type, str]] = set()
"""Pairs of classes whose method was seen to run; what a class has does not change."""


def check_runs(process: ObservationProcess, population: Population, method: str) -> None:
    """Run a population's own method abstractly, once for two classes, for what the process lacks.

    A population's own :class:`ContractError` comes out here, before anything is compiled.  Errors of other kinds are
    not judged: they surface where the method runs, with their own words.

    Args:
        process: the process, canonical.
        population: the population, canonical.
        method: ``log_marginals`` or ``posterior_sample``.

    Raises:
        ContractError: the method asks the process for what it does not define, cannot take what it observes, or says
            itself that it is not for this process.

    """
    pair, seen = (type(process), type(population), method), []
    if pair in _TRIED:
        return

    def once(key: Array, process: ObservationProcess, population: Population) -> Any:
        t = jnp.zeros((), jnp.int32 if process.discrete else float_dtype())
        y = process.sample(key, population.sample(key, jnp.zeros((), jnp.int32)), t)
        seen.append(y)
        given = (process, y, t) if method == "log_marginals" else (key, process, y, t)
        return getattr(population, method)(*given)

    try:
        jax.eval_shape(once, jax.random.key(0), process, population)
    except ContractError:
        raise
    except AttributeError as error:
        if seen and isinstance(error.obj, ObservationProcess):
            raise _not_this_process(process, population, method, str(error.name)) from error
        if seen and isinstance(error.obj, Revealed):
            words = f"reads {error.name!r} of an observation that is Revealed(values, known)"
            raise _not_this_process(process, population, method, None, words) from error
    except TypeError as error:
        if seen and isinstance(seen[0], Revealed) and not isinstance(error, ContractError):
            words = "cannot take an observation that is Revealed(values, known)"
            raise _not_this_process(process, population, method, None, words) from error
    except Exception:  # whatever else is wrong shows itself where the method runs
        pass
    else:
        _TRIED.add(pair)


def _not_this_process(
    process: ObservationProcess, population: Population, method: str, wanted: str | None, words: str = ""
) -> ContractError:
    """Return the error that says what a population's own method lacks here, and which processes could serve it."""
    name = type(population).__name__
    try:
        meant = get_type_hints(getattr(type(population), method)).get("process")
    except (NameError, TypeError):
        meant = None  # an annotation that only a type checker can read
    families, could = (GaussianChannel, LinearGaussianChannel, RevealingChannel, MemorylessChannel), list[type]()
    if isinstance(meant, type) and issubclass(meant, ObservationProcess) and meant is not ObservationProcess:
        could.append(meant)
    elif wanted is not None:
        could += [family for family in families if hasattr(family, wanted)]
    own = method == "log_marginals"
    if own:
        could += [p for p, q in _PAIRS if isinstance(population, q)]
    listed = ", ".join(_with_members(family) for family in dict.fromkeys(could))
    lacks = words or f"asks for {wanted!r}, which this process does not define"
    under = listed or (f"a process that defines {wanted!r}" if wanted else "a process that hides nothing")
    what = "be evaluated" if own else "draw X given an observation"
    instead = ", or leave it out and use sloc.register_marginals for each pair" if own else ""
    return ContractError(
        f"population {name} cannot {what} under process {type(process).__name__}: {name}.{method} {lacks}; "
        f"it can under: {under}; define {name}.{method} for this process too{instead}"
    )


def _with_members(family: type, most: int = 6) -> str:
    """Name a process class, and the public ones that are known to derive from it."""
    found, waiting = set(), list(family.__subclasses__())
    while waiting:
        one = waiting.pop()
        waiting += one.__subclasses__()
        if one.__module__.startswith("sloc.") and not one.__name__.startswith("_"):
            found.add(one.__name__)
    names = sorted(found)
    more = ", …" if len(names) > most else ""
    return f"{family.__name__} ({', '.join(names[:most])}{more})" if names else family.__name__
