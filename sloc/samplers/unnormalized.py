"""Targets known up to a constant, ``p(x) ∝ exp(log_density(x))``, as the localization samplers take them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import GaussianChannel, Population, float_dtype, require
from sloc.contracts.arguments import as_floats, as_real

Array = jax.Array

_CHAINS = 16
"""Chains that a draw holds, roughly: sizes the compute tile."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Unnormalized(Population):
    """A density on ``R^d`` known up to its constant: ``p(x) ∝ exp(log_density(x))``; one sub-population.

    It has no draws and no marginals of its own.  :func:`sloc.samplers.oracle_localizer` samples it by localization
    from ``log_density`` and its gradient alone; ``centre``, ``radius`` and ``width`` are rough guesses that place the
    start and the grid, as ``R`` and ``tau`` do in Grenioux et al. 2024.

    Attributes:
        log_density: ``x [d] -> scalar``, differentiable; a module-level function, or a
            :class:`jax.tree_util.Partial` whose arrays are parameters that never recompile.
        dim: ``d``.
        radius: roughly the largest distance of mass from the centre.
        width: roughly the smallest standard deviation of a mode; default ``radius / 10``.
        centre: a number or ``[d]``, roughly where the mean is.

    """

    log_density: Any
    dim: int = field(metadata={"static": True})
    radius: Any
    width: Any = None
    centre: Any = 0.0

    @property
    def log_weights(self) -> Array:
        """``[0.0]``: there is one sub-population."""
        return jnp.zeros((1,), float_dtype())

    @property
    def num_components(self) -> int:
        """One."""
        return 1

    def path_elements(self) -> int:
        """Numbers held per draw: the chains of a posterior mean."""
        return _CHAINS * self.dim

    def canonical(self) -> Unnormalized:
        """Return a copy with strong-typed numbers and a log density that a jitted function takes as an argument."""
        own = self if self.width is not None else replace(self, width=_scaled(self.radius))
        own = super(Unnormalized, own).canonical()
        if isinstance(own.log_density, jax.tree_util.Partial):
            return own
        return replace(own, log_density=jax.tree_util.Partial(own.log_density))

    def validate(self) -> None:
        """Check the numbers, and the log density with its gradient at the centre.

        Raises:
            InvalidInput: ``dim`` is not a whole number above 0; ``radius`` or ``width`` is not positive and finite or
                ``width > radius``; ``centre`` is neither a number nor ``[d]``; ``log_density`` cannot be called, does
                not give a floating scalar, or is not finite at the centre with its gradient.

        """
        require(callable(self.log_density), "log_density", self.log_density, "a function x [d] -> scalar")
        whole = isinstance(self.dim, (int, np.integer)) and not isinstance(self.dim, bool)
        require(whole and 1 <= self.dim < 2**31, "dim", self.dim, "a whole number, at least 1")
        radius = _positive("radius", self.radius)
        width = radius / 10 if self.width is None else _positive("width", self.width)
        require(width <= radius, "width", self.width, f"at most radius, {radius:g}")
        centre = as_floats(self.centre, "centre")
        require(centre.shape in ((), (self.dim,)), "centre", self.centre, f"a number or an array of shape [{self.dim}]")
        require(bool(np.isfinite(centre).all()), "centre", self.centre, "finite numbers")
        self._check_density(jnp.asarray(np.broadcast_to(centre, (self.dim,)), float_dtype()))

    def _check_density(self, x: Array) -> None:
        found = jax.eval_shape(self.log_density, x)
        scalar = getattr(found, "shape", None) == () and jnp.issubdtype(found.dtype, jnp.floating)
        require(scalar, f"log_density(x [{self.dim}])", found, "a floating scalar")
        value, gradient = jax.jit(jax.value_and_grad(self.log_density))(x)
        require(
            math.isfinite(value), "log_density(centre)", float(value), "a finite number: the chains start around it"
        )
        finite = bool(jnp.isfinite(gradient).all())
        require(finite, "gradient of log_density(centre)", gradient, "finite numbers: chains follow it")

    def grid(self, process: GaussianChannel, n: int) -> np.ndarray:
        """Return ``n`` times even in log-SNR: noise over signal from ``width`` (the first) up to ``radius`` (the last).

        Above, ``p_t`` is close to a Gaussian and tells nothing; below, ``X | Y_t`` lies within one mode.
        """
        require(isinstance(process, GaussianChannel), "process", process, "a GaussianChannel")
        radius, width = float(self.radius), float(_scaled(self.radius) if self.width is None else self.width)
        return process.grid(n, (-2.0 * math.log(width), -2.0 * math.log(radius)))


def _scaled(radius: Any) -> Any:
    return radius / 10


def _positive(argument: str, value: Any) -> float:
    number = as_real(value)
    require(0 < number < math.inf, argument, value, "a positive finite number")
    return number
