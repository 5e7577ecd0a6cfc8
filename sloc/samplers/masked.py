"""Trained masked (absorbing-state) models: adapter, and sampling in several orders without idle network calls."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap
from jax.tree_util import Partial

from sloc.contracts import ContractError, Population, Revealed, float_dtype, is_concrete, require, shown
from sloc.contracts.arguments import as_real, checked_choice
from sloc.contracts.base import Asked
from sloc.processes.revealing import Masking
from sloc.samplers.localizer import Localizer, LocalizerInfo, LocalizerState
from sloc.samplers.spoilt import SPOILT

Array = jax.Array

ORDERS = ("random", "confidence", "margin", "entropy")
"""Which hidden tokens are written first; see :func:`masked_ancestral`."""
_NUMBERS = 64


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LearnedMasked(Population):
    """A trained masked model: ``fn(tokens, t) -> logits``, as in MDLM and LLaDA.  No densities or exact draws.

    ``tokens`` are whole numbers with ``mask`` where hidden, and ``logits [*shape, vocabulary]`` (or with further
    columns, as for the mask itself, which are not read) give the law of each hidden token on its own,
    ``P(x_l | y) = softmax(logits_l / temperature)``; seen tokens are kept as they are.  The process is
    :class:`sloc.processes.Masking`: hidden with probability ``t``.  Sources: Sahoo et al. 2024 (MDLM); Shi et al. 2024;
    Nie et al. 2025 (LLaDA).

    Attributes:
        fn: the network, its weights closed over or bound by :class:`jax.tree_util.Partial`.
        shape: the shape of ``X``.
        vocabulary: how many letters ``X`` is written in, ``0 .. vocabulary - 1``.
        mask: the number that stands for a hidden token; default ``vocabulary``.
        timed: whether ``fn`` takes a time.
        temperature: divides the logits; positive.
        batched: whether ``fn`` takes and gives arrays with a leading axis of examples.

    """

    fn: Any
    shape: tuple[int, ...] = field(metadata={"static": True})
    vocabulary: int = field(metadata={"static": True})
    mask: int | None = field(default=None, metadata={"static": True})
    timed: bool = field(default=False, metadata={"static": True})
    temperature: Any = field(default=1.0, metadata={"dtype": float})
    batched: bool = field(default=False, metadata={"static": True})

    _asked: ClassVar[Asked] = {**Population._asked, "log_probs": ("y", "t")}

    @property
    def _process(self) -> Masking:
        return Masking()

    def _observed(self) -> Any:
        return Revealed(*(jax.ShapeDtypeStruct(self.shape, kind) for kind in (jnp.int32, jnp.bool_)))  # pyright: ignore[reportArgumentType]

    @property
    def log_weights(self) -> Array:
        """``[0.0]``: there is one sub-population."""
        return jnp.zeros((1,), float_dtype())

    @property
    def num_components(self) -> int:
        """One."""
        return 1

    def path_elements(self) -> int:
        """Numbers held per draw."""
        return (_NUMBERS + self.vocabulary) * max(math.prod(self.shape), 1)

    def canonical(self) -> LearnedMasked:
        """Return a copy with a network that a jitted function takes as an argument."""
        own = super().canonical()
        return own if isinstance(own.fn, Partial) else replace(own, fn=Partial(own.fn))

    def validate(self) -> None:
        """Check the parameters, and by tracing shapes what the network returns.

        Raises:
            InvalidInput: a wrong shape, vocabulary, mask or temperature; a network that returns no floating array of
                the shape of ``X`` with at least ``vocabulary`` columns.

        """
        require(callable(self.fn), "fn", self.fn, "a function (tokens, t) -> logits")
        sizes = isinstance(self.shape, tuple) and all(isinstance(n, int) and n >= 1 for n in self.shape)
        require(sizes and bool(self.shape), "shape", self.shape, "a tuple of whole numbers, the shape of X")
        require(_whole(self.vocabulary) and self.vocabulary >= 2, "vocabulary", self.vocabulary, "at least two letters")
        hidden = self.mask is None or (_whole(self.mask) and not 0 <= self.mask < self.vocabulary)
        require(hidden, "mask", self.mask, f"a number that is no letter, outside 0 .. {self.vocabulary - 1}")
        if is_concrete(self.temperature):
            good = 0 < as_real(self.temperature) < math.inf
            require(good, "temperature", self.temperature, "a positive number")
        if not is_concrete(self):
            return
        model = self.canonical()
        y = jax.ShapeDtypeStruct(self.shape, jnp.int32)
        found = jax.eval_shape(model._call, y, jax.ShapeDtypeStruct((), float_dtype()))
        shape = getattr(found, "shape", None)
        right = shape is not None and shape[:-1] == self.shape and shape[-1] >= self.vocabulary
        right = right and jnp.issubdtype(found.dtype, jnp.floating)
        described = shown(found) if shape is None else f"{found.dtype}{list(shape)}"
        expected = f"a floating array of shape {[*self.shape, self.vocabulary]}"
        require(bool(right), f"fn(tokens {list(self.shape)}, t)", described, expected)

    def log_probs(self, y: Revealed, t: Array) -> Array:
        """Return ``log softmax(logits / temperature)`` of each token, ``[*shape, vocabulary]``; of seen ones too."""
        mask = self.vocabulary if self.mask is None else self.mask
        tokens = jnp.where(y.known, y.values, jnp.asarray(mask)).astype(jnp.int32)
        logits = self._call(tokens, t)[..., : self.vocabulary].astype(float_dtype())
        return jax.nn.log_softmax(logits / self.temperature, axis=-1)

    def _call(self, tokens: Array, t: Array) -> Any:
        arguments = (tokens, jnp.asarray(t, float_dtype())) if self.timed else (tokens,)
        if not self.batched:
            return self.fn(*arguments)
        found = self.fn(*(v[None] for v in arguments))
        shape = getattr(found, "shape", ())
        require(len(shape) > 0 and shape[0] == 1, "fn(tokens [1, ...])", shape, "a leading axis of one example")
        return found[0]


def masked_ancestral(model: LearnedMasked, order: str = "random", *, skip: bool = True) -> Localizer:
    """Return the sampler of a masked model: write some of the hidden tokens at each step, each from its own law.

    From ``t`` to ``s``, ``random`` writes each hidden token with probability ``1 - s / t``, the reverse chain of the
    model; its error in law is ``O(h)``, since tokens of one step are drawn independently.  The other orders are top-k:
    they keep ``round(H s / t_0)`` tokens hidden, ``H`` those at the start ``t_0``, and write first those whose drawn
    letter is the likeliest (``confidence``), whose two likeliest letters lie furthest apart (``margin``), or whose law
    has the least entropy (``entropy``).  One token at a time the last two keep the model's law; ``confidence``, which
    looks at the letters drawn, changes it.  Sources: Sahoo et al. 2024; Chang et al. 2022 (MaskGIT); Kim et al. 2025.

    Which tokens are written does not depend on the network for ``random``, nor how many for the others; so a step in
    which no draw of a batch writes a token does not call it.

    Args:
        model: the learned model; the process is :class:`sloc.processes.Masking`.
        order: which hidden tokens are written first: ``random``, ``confidence``, ``margin`` or ``entropy``.
        skip: whether idle calls are left out; the draws are the same.

    Raises:
        ContractError: not a :class:`LearnedMasked`.
        InvalidInput: another order, or what the model refuses.

    """
    if not isinstance(model, LearnedMasked):
        raise ContractError(f"model = {shown(model)}: expected a sloc.samplers.LearnedMasked")
    checked_choice(order, "order", ORDERS)
    if is_concrete(model):
        model.validate()
    model = model.canonical()
    step = {"random": _random_step, "confidence": _by_confidence, "margin": _by_margin, "entropy": _by_entropy}[order]
    laws = _log_probs_if_needed if skip else _log_probs_always
    return Localizer(
        Partial(_start, model), Partial(step, Partial(laws), model), Partial(_finish, Partial(laws), model)
    )


def _start(model: LearnedMasked, key: Array, t: Array, y: Any = None) -> LocalizerState:
    if y is None:
        if is_concrete(t):
            require(float(t) == 1.0, "grid", float(t), "a last time of 1, where every token is hidden")
        y = Revealed(jnp.zeros(model.shape, jnp.int32), jnp.zeros(model.shape, bool))
    else:
        require(jnp.shape(y.known) == model.shape, "x", jnp.shape(y.known), f"the model's shape {list(model.shape)}")
        # Narrower numbers have no room for what stands for NaN.
        y = Revealed(jnp.asarray(y.values, jnp.int32), y.known)
    hidden = jnp.sum(~y.known, dtype=jnp.int32)
    return LocalizerState(y, t, (hidden, jnp.asarray(t, float_dtype())))


def _draw(key: Array, log_probs: Array) -> Array:
    """Draw a letter from each law; one that holds NaN has none, and its sample is refused on the host."""
    letters = jax.random.categorical(key, log_probs, axis=-1).astype(jnp.int32)
    return jnp.where(jnp.any(jnp.isnan(log_probs), axis=-1), SPOILT, letters)


def _written(y: Revealed, chosen: Array, letters: Array) -> Revealed:
    return Revealed(jnp.where(chosen, letters, y.values), y.known | chosen)


def _random_step(
    laws: Any, model: LearnedMasked, key: Array, state: LocalizerState, s: Array
) -> tuple[LocalizerState, LocalizerInfo]:
    key_which, key_letter = jax.random.split(key)
    y = state.y
    stay = s / jnp.where(state.t > 0, state.t, 1.0)
    chosen = ~y.known & (jax.random.uniform(key_which, y.known.shape, float_dtype()) >= stay)
    log_probs = laws(model, jnp.any(chosen), y, state.t)
    y = _written(y, chosen, _draw(key_letter, log_probs))
    return LocalizerState(y, s, state.memory), LocalizerInfo(y.values)


def _by_confidence(laws: Any, model: LearnedMasked, key: Array, state: LocalizerState, s: Array) -> Any:
    def score(log_probs: Array, letters: Array) -> Array:
        return jnp.take_along_axis(log_probs, letters.astype(jnp.int32)[..., None], axis=-1)[..., 0]

    return _ranked_step(laws, model, score, key, state, s)


def _by_margin(laws: Any, model: LearnedMasked, key: Array, state: LocalizerState, s: Array) -> Any:
    def score(log_probs: Array, letters: Array) -> Array:
        del letters
        best = jax.lax.top_k(jnp.exp(log_probs), 2)[0]
        return best[..., 0] - best[..., 1]

    return _ranked_step(laws, model, score, key, state, s)


def _by_entropy(laws: Any, model: LearnedMasked, key: Array, state: LocalizerState, s: Array) -> Any:
    def score(log_probs: Array, letters: Array) -> Array:
        del letters
        return jnp.sum(jnp.exp(log_probs) * jnp.where(jnp.isfinite(log_probs), log_probs, 0.0), axis=-1)

    return _ranked_step(laws, model, score, key, state, s)


def _ranked_step(
    laws: Any, model: LearnedMasked, score: Any, key: Array, state: LocalizerState, s: Array
) -> tuple[LocalizerState, LocalizerInfo]:
    y, (first, since) = state.y, state.memory
    keep = jnp.floor(first.astype(float_dtype()) * s / jnp.where(since > 0, since, 1.0) + 0.5).astype(jnp.int32)
    count = jnp.maximum(jnp.sum(~y.known, dtype=jnp.int32) - keep, 0)
    log_probs = laws(model, count > 0, y, state.t)
    letters = _draw(key, log_probs)
    scores = jnp.where(y.known, -jnp.inf, score(log_probs, letters)).reshape(-1)
    rank = jnp.zeros(scores.shape, jnp.int32).at[jnp.argsort(-scores)].set(jnp.arange(scores.size, dtype=jnp.int32))
    chosen = ~y.known & (rank < count).reshape(y.known.shape)
    y = _written(y, chosen, letters)
    return LocalizerState(y, s, state.memory), LocalizerInfo(y.values)


def _finish(laws: Any, model: LearnedMasked, key: Array, state: LocalizerState) -> Array:
    y = state.y
    log_probs = laws(model, jnp.any(~y.known), y, state.t)
    return jnp.where(y.known, y.values, _draw(key, log_probs))


# --------------------------------------------------------------------------------------------
# Leaving out calls under vmap
# --------------------------------------------------------------------------------------------


def _log_probs_always(model: LearnedMasked, needed: Array, y: Revealed, t: Array) -> Array:
    del needed
    return model.log_probs(y, t)


def _log_probs_if_needed(model: LearnedMasked, needed: Array, y: Revealed, t: Array) -> Array:
    """Return the laws of the hidden tokens, or zeros where they are not needed.

    Under ``vmap`` a branch becomes a selection, which computes both sides; so the batching rule is given: all draws
    are evaluated together if any of them needs it.
    """
    leaves = jax.tree.map(lambda v: v[None], (needed, y))
    return _many(model, *leaves, t)[0]


@custom_vmap
def _many(model: LearnedMasked, needed: Array, y: Revealed, t: Array) -> Array:
    """``needed [B]``, ``y [B, ...]``: one branch for all of them."""

    def call(y: Revealed) -> Array:
        return jax.vmap(lambda one: model.log_probs(one, t))(y)

    def idle(y: Revealed) -> Array:
        return jnp.zeros((*y.known.shape, model.vocabulary), float_dtype())

    return jax.lax.cond(jnp.any(needed), call, idle, y)


@_many.def_vmap
def _many_batched(axis_size: int, in_batched: Any, model: Any, needed: Array, y: Revealed, t: Array) -> Any:
    model_batched, needed_batched, y_batched, t_batched = in_batched
    if any(jax.tree.leaves((model_batched, t_batched))):
        # Times or weights of their own: no common branch.
        axes = jax.tree.map(lambda b: 0 if b else None, in_batched)
        return jax.vmap(_many_plain, axes)(model, needed, y, t), True

    def flat(v: Array, batched: bool) -> Array:
        v = v if batched else jnp.broadcast_to(v[None], (axis_size, *v.shape))
        return v.reshape(-1, *v.shape[2:])

    needed, y = flat(needed, needed_batched), jax.tree.map(flat, y, y_batched)
    out = _many(model, needed, y, t)
    return out.reshape(axis_size, -1, *out.shape[1:]), True


def _many_plain(model: LearnedMasked, needed: Array, y: Revealed, t: Array) -> Array:
    del needed
    return jax.vmap(lambda one: model.log_probs(one, t))(y)


def _whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
