"""A NumPyro model as a population: sub-populations are the values of its discrete latent site."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.bayes.quadrature import first_nodes, log_integral, log_likelihood
from sloc.bayes.sites import (
    Model,
    conditioned,
    describe,
    find_sites,
    gaussian_terms,
    is_gaussian,
    letter_log_probs,
    letters,
    outcomes,
)
from sloc.bayes.stacking import stacked_mixture
from sloc.contracts import (
    GaussianChannel,
    LinearGaussianChannel,
    MemorylessChannel,
    ObservationProcess,
    Population,
    Revealed,
    RevealingChannel,
    float_dtype,
    register_marginals,
    require,
)
from sloc.contracts.arguments import as_whole, checked_kind, checked_names, checked_seed, checked_whole
from sloc.populations import GaussianMixture, ProductCategorical

Array = jax.Array

_MOST_OUTCOMES = 4096
WAYS: tuple[str, ...] = ("gaussian", "letters", "outcomes", "quadrature", "monte-carlo")
"""The ways in which marginals are got."""


@jax.tree_util.register_pytree_with_keys_class
class NumPyroPopulation(Population):
    """``p^theta(x)`` of a NumPyro model of one ``X`` with a discrete latent theta.

    ``w_theta = E[P(theta | phi)]`` and ``p^theta(x) = E[P(theta | phi) p(x | theta, phi)] / w_theta``, the mean taken
    over the model's other latent sites ``phi``: fixed (``params``), posterior draws (``posterior_samples``), or
    draws from their prior with fixed seeds.  Given those draws, ``log p_t^theta(y)`` is exact where ``X | theta`` is
    Gaussian (or a mixture of Gaussians) under a Gaussian or linear Gaussian channel, where its coordinates are
    independent and finite under a revealing or a memoryless channel, and where it has at most 4,096 outcomes; by
    adaptive quadrature where ``X`` is continuous with one or two coordinates; else a mean over fixed draws of
    ``X | theta``.  Quadrature splits its panels until its own estimate of the relative error is 3e-6 and answers NaN,
    which every statistic refuses by name, where that is above 1e-3 or the integrand is zero at every node.

    Source: the library's own.

    Args:
        model: a NumPyro model of one ``X`` (a hashable callable).
        site: name of the discrete site; None where there is one only.
        observed: name of the site of ``X``; None for the site with ``obs=``, else the last.
        params: values of latent sites.
        posterior_samples: latent sites to ``[S, ...]`` draws, used jointly.
        args: arguments of the model (arrays and numbers).
        kwargs: keyword arguments of the model.
        names: ``K`` names; default the values of theta.
        prior_draws: draws of the latent sites that are given no value.
        draws: draws of ``X | theta`` where nothing better is known, shared by the draws of the parameters, at least
            two for each.
        seed: seed of both.

    Raises:
        InvalidInput: a model without a discrete site, or with several and none named; sites of the wrong kind.

    """

    fixed: dict[str, Any]
    sampled: dict[str, Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    model: Model
    seed: int
    draws: int
    names: Any
    free: tuple[str, ...]
    count: int
    kinds: tuple[str, int]

    def __init__(
        self,
        model: Model,
        site: str | None = None,
        *,
        observed: str | None = None,
        params: Mapping[str, Any] | None = None,
        posterior_samples: Mapping[str, Any] | None = None,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        names: Sequence[str] = (),
        prior_draws: int = 256,
        draws: int = 4096,
        seed: int = 0,
    ) -> None:
        """Trace the model and find its sites."""
        require(callable(model), "model", model, "a NumPyro model")
        for name, tree in (("params", params), ("posterior_samples", posterior_samples)):
            checked_kind(tree, name, Mapping, "sites and their values, or None", optional=True)
        for name, text in (("site", site), ("observed", observed)):
            checked_kind(text, name, str, "the name of a site, or None", optional=True)
        names, seed = checked_names(names, "names"), checked_seed(seed)
        checked_whole(prior_draws, "prior_draws")
        require(as_whole(draws) >= 2, "draws", draws, "at least two")
        cast = lambda tree: jax.tree.map(lambda v: jnp.asarray(v, _dtype(v)), dict(tree or {}))  # noqa: E731
        self.fixed = cast(params)
        self.sampled = cast(posterior_samples)
        self.args, self.kwargs = tuple(args), dict(kwargs or {})
        both = sorted(set(self.fixed) & set(self.sampled))
        require(not both, "params", both, "sites that posterior_samples does not give")
        sizes = {n: np.shape(v)[:1] for n, v in self.sampled.items()}
        require(len(set(sizes.values())) <= 1, "posterior_samples", sizes, "one number of draws, on the first axis")
        require(() not in sizes.values(), "posterior_samples", sizes, "arrays with draws on the first axis")
        one = {**self.fixed, **{n: v[0] for n, v in self.sampled.items()}}
        self._sites = find_sites(model, site, observed, self.args, self.kwargs, one)
        self.model, self.seed, self.draws = model, int(seed), int(draws)
        k = len(self._sites.support)
        require(len(names) in (0, k), "names", tuple(names), f"{k} names, one for each value of {self._sites.site!r}")
        self.names = tuple(names) or tuple(str(v) for v in self._sites.support)
        unknown = [n for n in self._sites.latents if n not in one]
        # A latent site that depends on theta and has a value is held at it; one without is drawn given theta.
        self.free = tuple(unknown)
        given = next(iter(sizes.values()))[0] if sizes else None
        self.count = given or (int(prior_draws) if unknown else 1)
        self.kinds = self._find_kinds(one)

    # -- pytree ------------------------------------------------------------------------------

    def tree_flatten_with_keys(self) -> tuple[Any, Any]:
        """Arrays are leaves, the model and its structure are static."""
        key = jax.tree_util.GetAttrKey
        fields = ("fixed", "sampled", "args", "kwargs")
        static = (self.model, self._sites, self.names, self.free, self.count, self.kinds, self.draws, self.seed)
        return [(key(f), getattr(self, f)) for f in fields], static

    @classmethod
    def tree_unflatten(cls, static: Any, leaves: Any) -> NumPyroPopulation:
        """Rebuild without tracing the model."""
        new = object.__new__(cls)
        new.fixed, new.sampled, new.args, new.kwargs = leaves
        new.model, new._sites, new.names, new.free, new.count, new.kinds, new.draws, new.seed = static
        return new

    def canonical(self) -> NumPyroPopulation:
        """Return a copy with strong-typed arrays."""
        return jax.tree.map(lambda v: jnp.asarray(v, _dtype(v)), self)

    def validate(self) -> None:
        """Refuse parameters that are not finite, and weights of zero."""
        for name, value in {**self.fixed, **self.sampled}.items():
            require(bool(np.isfinite(np.asarray(value, np.float64)).all()), name, value, "finite numbers")
        weights = np.exp(np.asarray(self.log_weights, np.float64))
        require(bool((weights > 0).all()), f"the weights of {self._sites.site!r}", weights, "positive weights")

    def __repr__(self) -> str:
        """Return the model, its sites and how exact its marginals are."""
        name = getattr(self.model, "__name__", type(self.model).__name__)
        return (
            f"NumPyroPopulation({name}, site={self._sites.site!r}, observed={self._sites.observed!r}, "
            f"K={self.num_components}, {self.exactness})"
        )

    # -- the model, draw by draw ----------------------------------------------------------------

    def _find_kinds(self, one: Mapping[str, Any]) -> tuple[str, int]:
        """Kind of ``X | theta`` shared by all theta, and its number of letters."""
        support = self._sites.support_array
        thetas = support[:1] if self._sites.switchable else support
        laws = [
            conditioned(self.model, self._sites, v, one, jax.random.key(0), self.args, self.kwargs)[1] for v in thetas
        ]
        shape = self._sites.shape
        for v, law in zip(thetas, laws, strict=True):
            require(law.event_shape == shape, f"shape of X at {self._sites.site} = {v}", law.event_shape, f"{shape}")
        if all(is_gaussian(law) for law in laws):
            return "gaussian", 0
        counts = {letters(law) for law in laws}
        if len(counts) == 1 and counts != {0}:
            return "letters", counts.pop()
        size = math.prod(self._sites.shape)
        if all(not law.is_discrete for law in laws) and size in (1, 2):
            return "low-dimensional", 0
        return "other", 0

    def _each(self, f: Callable[[Array, Any], Any]) -> Any:
        """``f(log P(theta | phi), law of X)`` for every draw of phi and every theta, ``[S, K, ...]``."""
        keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(self.seed), i))(jnp.arange(self.count))

        def at(theta: Any, sampled: Mapping[str, Any], key: Array) -> Any:
            return f(
                *conditioned(self.model, self._sites, theta, {**self.fixed, **sampled}, key, self.args, self.kwargs)
            )

        support = self._sites.support_array
        if self._sites.switchable:
            return jax.vmap(lambda s, k: jax.vmap(lambda v: at(v, s, k))(jnp.asarray(support)))(self.sampled, keys)
        each = [jax.vmap(lambda s, k, v=v: at(v, s, k))(self.sampled, keys) for v in support]
        return jax.tree.map(lambda *rows: jnp.stack(rows, 1), *each)

    def _log_weights_by_draw(self) -> Array:
        return jnp.asarray(self._each(lambda log_w, _: log_w), float_dtype())

    # Methods through jit, which remembers the trace (running a model's handlers costs milliseconds), and because a
    # model's own constants must not be computed op by op inside somebody's vmap over a mesh.
    @jax.jit
    def _log_weights(self) -> Array:
        log_w = jax.nn.logsumexp(self._log_weights_by_draw(), axis=0)
        return log_w - jax.nn.logsumexp(log_w)

    @property
    def log_weights(self) -> Array:
        """``log w_theta``, shape ``[K]``."""
        return self._log_weights()

    @property
    def num_components(self) -> int:
        """``K``."""
        return len(self._sites.support)

    @property
    def atomic(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether ``X`` is discrete."""
        return self._sites.discrete

    def path_elements(self) -> int:
        """Numbers held per draw and time: components, draws of parameters and nodes."""
        nodes = {"other": self._draws_each}
        if self.kinds[0] == "low-dimensional":
            nodes["low-dimensional"] = first_nodes(max(math.prod(self._sites.shape), 1))
        return self.num_components * max(self.count, 1) * nodes.get(self.kinds[0], 1)

    def sample(self, key: Array, component: Array) -> Array:
        """Draw ``X ~ p^theta``: a draw of the parameters in proportion to ``P(theta | phi)``, then ``X``."""
        return self._sample(key, component)

    @jax.jit
    def _sample(self, key: Array, component: Array) -> Array:
        key_phi, key_x = jax.random.split(key)
        index = jnp.zeros((), jnp.int32)
        if self.count > 1:
            index = jax.random.categorical(key_phi, self._log_weights_by_draw()[:, component]).astype(jnp.int32)
        own = jax.random.fold_in(jax.random.key(self.seed), index)
        values = {**self.fixed, **{n: v[index] for n, v in self.sampled.items()}}

        def draw(theta: Any) -> Array:
            return conditioned(self.model, self._sites, theta, values, own, self.args, self.kwargs)[1].sample(key_x)

        support = self._sites.support_array
        if self._sites.switchable:
            return draw(jnp.asarray(support)[component])
        return jax.lax.switch(component, [lambda v=v: draw(v) for v in support])

    @property
    def _draws_each(self) -> int:
        """Draws of ``X | theta`` for each draw of the parameters."""
        return max(2, self.draws // self.count)

    # -- marginals --------------------------------------------------------------------------------

    def way(self, process: ObservationProcess) -> str:
        """How marginals are got under a process: gaussian, letters, outcomes, quadrature or monte-carlo."""
        kind, count = self.kinds
        if kind == "gaussian" and isinstance(process, (GaussianChannel, LinearGaussianChannel)):
            return "gaussian"
        if kind == "letters":
            if isinstance(process, (RevealingChannel, MemorylessChannel)):
                return "letters"
            if count ** math.prod(self._sites.shape) <= _MOST_OUTCOMES:
                return "outcomes"
        if not self._sites.discrete and math.prod(self._sites.shape) in (1, 2):
            return "quadrature"
        return "monte-carlo"

    def exactness_under(self, process: ObservationProcess) -> str:
        """How exact ``log p_t^theta(y)`` is under a process.

        Args:
            process: the process.

        Returns:
            ``exact``, ``quadrature`` or ``monte-carlo n=...``; with draws of parameters it says so, and the rest of
            the phrase is meant given those draws: its ``n`` is the draws of ``X | theta`` at each of them.

        """
        way = self.way(process)
        text = {"quadrature": "quadrature", "monte-carlo": f"monte-carlo n={self._draws_each}"}.get(way, "exact")
        if self.free:
            return (
                f"monte-carlo n={self.count} (prior draws of {describe(dict.fromkeys(self.free))}; {text} given them)"
            )
        return f"{text} given {self.count} posterior draws" if self.sampled else text

    @property
    def exactness(self) -> str:
        """:meth:`exactness_under` a process of the usual family: Gaussian, or revealing where ``X`` is discrete."""
        return self.exactness_under(RevealingChannel() if self._sites.discrete else GaussianChannel())

    def marginals_words(self, process: ObservationProcess) -> str:
        """:meth:`exactness_under` a process, in the words that results use."""
        text = self.exactness_under(process)
        if text == "exact":
            return super().marginals_words(process)
        return f"marginals {text}" if text.startswith("exact") else f"marginals by {text}"

    def estimates_marginals(self, process: ObservationProcess) -> bool:
        """Whether they are a Monte Carlo mean; quadrature, and what is exact given posterior draws, are not."""
        return "monte-carlo" in self.exactness_under(process)

    def log_marginals(self, process: ObservationProcess, y: Any, t: Array) -> Array:
        """``log p_t^theta(y)`` for every theta, ``[K]``; see :attr:`exactness` for how."""
        return self._log_marginals(process, y, t)

    @jax.jit
    def _log_marginals(self, process: ObservationProcess, y: Any, t: Array) -> Array:
        way = self.way(process)
        evaluate = {
            "gaussian": self._gaussian,
            "letters": self._letters,
            "outcomes": self._outcomes,
            "quadrature": lambda p, y, t: self._each(lambda log_w, fn: (log_w, log_integral(fn, p, y, t))),
            "monte-carlo": self._monte_carlo,
        }[way]
        log_w, values = evaluate(process, y, t)
        log_w = jnp.asarray(log_w, float_dtype())
        if self.count == 1:
            return jnp.asarray(values[0], float_dtype())
        return jax.nn.logsumexp(log_w + values, axis=0) - jax.nn.logsumexp(log_w, axis=0)

    def _gaussian(self, process: Any, y: Array, t: Array) -> tuple[Array, Array]:
        if isinstance(process, LinearGaussianChannel):
            return self._linear_gaussian(process, y, t)
        a, sigma = process.coefficients(t)

        def one(log_w: Array, fn: Any) -> tuple[Array, Array]:
            log_mix, means, cov = gaussian_terms(fn)
            residual = jnp.reshape(y, (1, -1)) - a * means
            d = means.shape[1]
            if cov.ndim == 2:
                v = a**2 * cov + sigma**2
                terms = jnp.sum(jnp.square(residual) / v + jnp.log(v), axis=1)
            else:
                factor = jnp.linalg.cholesky(a**2 * cov + sigma**2 * jnp.eye(d, dtype=cov.dtype))
                white = jax.vmap(lambda f, r: jax.scipy.linalg.solve_triangular(f, r, lower=True))(factor, residual)
                log_det = 2 * jnp.sum(jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)), axis=1)
                terms = jnp.sum(jnp.square(white), axis=1) + log_det
            return log_w, jax.nn.logsumexp(log_mix - 0.5 * (terms + d * math.log(2 * math.pi)))

        return self._each(one)

    def _linear_gaussian(self, process: LinearGaussianChannel, y: Array, t: Array) -> tuple[Array, Array]:
        def one(log_w: Array, fn: Any) -> tuple[Array, Array]:
            log_mix, means, cov = gaussian_terms(fn)
            if cov.ndim == 2:
                cov = cov[:, :, None] * jnp.eye(cov.shape[1], dtype=cov.dtype)
            parts = GaussianMixture(jnp.exp(log_mix), means, cov).log_marginals(process, jnp.reshape(y, (-1,)), t)
            return log_w, jax.nn.logsumexp(log_mix + parts)

        return self._each(one)

    def _letters(self, process: Any, y: Any, t: Array) -> tuple[Array, Array]:
        log_w, table = self._each(lambda log_w, fn: (log_w, letter_log_probs(fn, self.kinds[1])))
        flat = jax.tree.map(lambda v: jnp.reshape(v, (-1,)), y)
        if not isinstance(y, Revealed):
            flat = flat.astype(jnp.int32)
        values = jax.vmap(lambda logs: ProductCategorical(jnp.exp(logs)).log_marginals(process, flat, t))(table)
        return log_w, values

    def _outcomes(self, process: Any, y: Any, t: Array) -> tuple[Array, Array]:
        size = math.prod(self._sites.shape)
        points = outcomes(self.kinds[1], size)
        likelihood = log_likelihood(process, y, jnp.asarray(points).reshape(-1, *self._sites.shape), t)

        def one(log_w: Array, fn: Any) -> tuple[Array, Array]:
            logs = letter_log_probs(fn, self.kinds[1])
            prior = jnp.sum(logs[jnp.arange(size)[None], points], axis=1)
            return log_w, jax.nn.logsumexp(prior + likelihood)

        return self._each(one)

    def _monte_carlo(self, process: Any, y: Any, t: Array) -> tuple[Array, Array]:
        key = jax.random.fold_in(jax.random.key(self.seed), 1 << 30)
        each = self._draws_each

        def one(log_w: Array, fn: Any) -> tuple[Array, Array]:
            points = fn.sample(key, (each,))
            return log_w, jax.nn.logsumexp(log_likelihood(process, y, points, t)) - math.log(each)

        return self._each(one)

    # -- as a Gaussian mixture --------------------------------------------------------------------

    def gaussian_terms(self) -> tuple[Array, Array, Array]:
        """Parameters of ``X | theta`` for every draw of the parameters, where it is one Gaussian.

        Returns:
            Log weights ``[S, K]``, means ``[S, K, d]`` and variances ``[S, K, d]`` or covariances ``[S, K, d, d]``.

        Raises:
            InvalidInput: ``X | theta`` is not one Gaussian.

        """
        name = getattr(self.model, "__name__", type(self.model).__name__)
        require(self.kinds[0] == "gaussian", "model", name, "a Gaussian X given theta")
        log_w, (log_mix, means, cov) = self._each(lambda log_w, fn: (log_w, gaussian_terms(fn)))
        require(log_mix.shape[-1] == 1, "model", name, "one Gaussian for each theta, not a mixture")
        return jnp.asarray(log_w, float_dtype()), means[:, :, 0], cov[:, :, 0]

    def to_gaussian_mixture(self) -> GaussianMixture:
        """Return the same population as a :class:`~sloc.populations.GaussianMixture`, with its closed forms.

        Raises:
            InvalidInput: ``X | theta`` is not one Gaussian, or parameters are draws.

        """
        require(self.count == 1, "parameters", f"{self.count} draws", "one value for each parameter")
        stacked = stacked_mixture(*self.gaussian_terms(), self.names)
        return jax.tree.map(lambda leaf: leaf[0], stacked)


def _dtype(value: Any) -> Any:
    kind = value.dtype if isinstance(value, jax.Array) else np.asarray(value).dtype
    if jnp.issubdtype(kind, jnp.floating):
        return kind if isinstance(value, jax.Array) else float_dtype()
    return np.dtype(jnp.result_type(int)) if jnp.issubdtype(kind, jnp.signedinteger) else kind


@register_marginals(LinearGaussianChannel, NumPyroPopulation)
@register_marginals(GaussianChannel, NumPyroPopulation)
def _gaussian_channel(process: Any, population: NumPyroPopulation, y: Array, t: Array) -> Array:
    """The class's own marginals; the pair exists so that messages name these families."""
    return NumPyroPopulation.log_marginals(population, process, y, t)
