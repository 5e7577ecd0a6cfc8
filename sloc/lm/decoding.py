"""Forked decoding: many continuations of one text, each from its own cut, all at once."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_floats, checked_all, checked_key, checked_kind, checked_whole
from sloc.contracts.equality import same_fields
from sloc.lm import spare
from sloc.lm.forked import RUNNING, STOPPED, Lanes, Queue, compiled_advance, empty_lanes
from sloc.lm.model import LanguageModel
from sloc.lm.prefix import Prefix, read_prefix, shared_of
from sloc.lm.sampling import Sampling

if TYPE_CHECKING:
    import pandas as pd

REASONS = ("running", "end", "length", "stop")
"""Why a branch ended, by code: an end token, its number of tokens, a stop string."""
LOOK_EVERY = 16
"""Steps between two looks at the text for stop strings."""
_ROOM = 16
"""Room for tokens is made in multiples of this, so that requests of like length share a compilation."""


@dataclass(frozen=True)
class Counters:
    """What decoding cost, in whole numbers; exact counts of one call.

    Attributes:
        prefilled: tokens that were read before the first draw: those of the prefix, once.
        prefix_bytes: of its keys, values and features on the device.
        steps: passes of all lanes through the model.
        lanes: branches that decode at a time.
        drawn: tokens that were drawn or given.
        recycled: samples that came from a branch with an earlier cut.

    """

    prefilled: int
    prefix_bytes: int
    steps: int
    lanes: int
    drawn: int
    recycled: int = 0


@dataclass(frozen=True)
class Branches:
    """Continuations of one text; row ``i`` keeps ``cuts[i]`` tokens of it.

    Attributes:
        prefix: tokens of the text, ``[P]``.
        cuts: ``[N]``.
        resamples: ``[N]``, number of the resample at that cut.
        tokens: for each branch what was added, an int32 array.
        log_probs: for each branch the log-probability of each added token under the law it was drawn from.
        reasons: for each branch ``"end"``, ``"length"`` or ``"stop"``.
        recycled: ``[N]``, whether the sample came from a branch with an earlier cut.
        counters: what it cost.

    """

    prefix: np.ndarray
    cuts: np.ndarray
    resamples: np.ndarray
    tokens: list[np.ndarray]
    log_probs: list[np.ndarray]
    reasons: list[str]
    recycled: np.ndarray
    counters: Counters

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    def __len__(self) -> int:
        """Return how many branches there are."""
        return len(self.cuts)

    def whole(self, i: int) -> np.ndarray:
        """Return all tokens of a branch, those kept of the text included: ``prefix[:cut] + tokens``.

        Raises:
            InvalidInput: no such branch.

        """
        i = checked_whole(i, "i", 0, len(self) - 1)
        return np.concatenate([self.prefix[: self.cuts[i]], self.tokens[i]])

    def texts(self, model: LanguageModel, *, whole: bool = False) -> list[str]:
        """Return what each branch added as text, or its whole text.

        Text is decoded together with what stands before it, so that a character split between tokens is right.
        """
        require(model.tokenizer is not None, "model", model, "a model with a tokenizer")
        assert model.tokenizer is not None
        decode, heads, out = model.tokenizer.decode, {}, []
        for i in range(len(self)):
            text = decode(self.whole(i).tolist())
            cut = int(self.cuts[i])
            if cut not in heads:
                # A character that is cut in two belongs to what completes it.
                heads[cut] = len(decode(self.prefix[:cut].tolist()).rstrip("\ufffd"))
            out.append(text if whole else text[heads[cut] :])
        return out

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row a branch: cut, resample, length, reason, log-probability, whether recycled."""
        import pandas as pd

        return pd.DataFrame(
            {
                "cut": self.cuts,
                "resample": self.resamples,
                "length": [len(t) for t in self.tokens],
                "reason": self.reasons,
                "log_prob": [float(np.sum(p, dtype=np.float64)) for p in self.log_probs],
                "recycled": self.recycled,
            }
        )


@dataclass(frozen=True)
class Limits:
    """When branches stop.

    Attributes:
        new_tokens: added tokens at most, counted from the cut; or None.
        length: tokens of the whole text at most, cut included; or None.  One of the two.
        stop: a branch ends with the token that completes one of these texts in what it added.
        end_tokens: tokens that end a branch; those of the model where None, never where empty.

    """

    new_tokens: int | None = None
    length: int | None = None
    stop: tuple[str, ...] = ()
    end_tokens: tuple[int, ...] | None = None

    @staticmethod
    def of(new_tokens: int | None, length: int | None, stop: Sequence[str], end_tokens: Sequence[int] | None) -> Limits:
        """Return the rule, its parts checked one by one.

        Raises:
            InvalidInput: numbers that are not whole and positive, stops that are no texts, ends that are no ids.

        """
        new_tokens = None if new_tokens is None else checked_whole(new_tokens, "new_tokens")
        length = None if length is None else checked_whole(length, "length")
        ids = None if end_tokens is None else checked_all(end_tokens, "end_tokens", (int, np.integer), "ids of tokens")
        stops = checked_all(stop, "stop", str, "texts")
        return Limits(new_tokens, length, stops, None if ids is None else tuple(int(t) for t in ids))


def decode(
    key: jax.Array,
    model: LanguageModel,
    text: Any,
    cuts: Sequence[int] | np.ndarray | None = None,
    *,
    n: int = 1,
    new_tokens: int | None = None,
    length: int | None = None,
    sampling: Sampling | None = None,
    stop: Sequence[str] = (),
    end_tokens: Sequence[int] | None = None,
    forced: Sequence[int] | Sequence[Sequence[int]] = (),
    lanes: int = 512,
    recycle: bool = False,
    prefix: Prefix | None = None,
) -> Branches:
    """Draw ``n`` continuations of a text from each cut; the text is read once.

    ``x_{i+1} ~ p(. | x_1, ..., x_i)``, token after token.  Source: textbook (ancestral sampling).

    Branch ``r`` of cut ``c`` has the key ``fold_in(fold_in(key, c), r)`` and draws token ``i`` with ``fold_in`` of its
    key and ``i``: it comes out the same alone or among thousands (up to the rounding of matrix products of another
    width, which can turn a draw that is a tie to seven digits).  Branches that end make room for those that wait.

    Args:
        key: typed PRNG key.
        model: a causal model.
        text: the text: tokens ``[P]``, a str, or the turns of a chat.
        cuts: how many of its tokens are kept, each at least 1 and at most ``P``; ``P`` alone where None.
        n: branches a cut.
        new_tokens: tokens to add at most.
        length: tokens of the whole text at most, kept ones included; give one of the two.
        sampling: law of the next token; the model's own where None.
        stop: texts that end a branch with the token that completes them in what it added.
        end_tokens: tokens that end a branch; the model's own where None.
        forced: tokens that each branch is given before it draws (a question after the cut, say), or a list of them a
            cut.  They count as added tokens.
        lanes: branches that decode at a time; memory and the width of matrix products grow with it.
        recycle: take a branch that agrees with the text up to a later cut as one of that cut's samples; exact under
            stopping by ``length``, with samples of different cuts dependent.
        prefix: the text as :func:`sloc.lm.read_prefix` gave it, to read it only once over several calls.

    Returns:
        ``n`` branches a cut, in the order of cuts, then resamples.

    Raises:
        InvalidInput: cuts outside the text, texts longer than the model's context, a stopping rule that is missing or
            (with ``recycle``) counts from the cut, a law that is none, a model that sees both ways.

    """
    checked_kind(model, "model", LanguageModel, "a LanguageModel")
    checked_kind(prefix, "prefix", Prefix, "a Prefix, or None", optional=True)
    checked_key(key)
    rule = Limits.of(new_tokens, length, stop, end_tokens)
    given = text if prefix is None else prefix
    plan = planned(model, given, cuts, rule, sampling, n=n, lanes=lanes, forced=forced, recycle=recycle)
    from sloc.lm.recycling import decode_recycled

    branches, state = decode_recycled(key, plan) if recycle else decoded(key, plan)
    spare.leave([*state.keys, *state.values])
    return branches


@dataclass(frozen=True)
class Plan:
    """A checked request."""

    model: LanguageModel
    prefix: Prefix
    law: Sampling
    rule: Limits
    cuts: np.ndarray
    limits: np.ndarray
    n: int
    lanes: int
    forced: list[np.ndarray]

    @property
    def ends(self) -> tuple[int, ...]:
        """End tokens."""
        return self.model.end_tokens if self.rule.end_tokens is None else self.rule.end_tokens

    @property
    def capacity(self) -> int:
        """Places for branches, a few more than there are: requests of like size share a compilation."""
        branches = len(self.cuts) * self.n
        step = 1 << max(branches.bit_length() - 3, 0)
        return -(-branches // step) * step

    def queue(self, key: jax.Array) -> Queue:
        """Return all branches, cut by cut."""
        forced = np.zeros((len(self.cuts), max(len(f) for f in self.forced)), np.int32)
        for row, tokens in zip(forced, self.forced, strict=True):
            row[: len(tokens)] = tokens
        counts = np.asarray([len(f) for f in self.forced], np.int32)
        return _queue(key, self.cuts, self.limits, forced, counts, np.int32(self.n), self.capacity)

    def lanes_state(self, *, features: bool = False) -> Lanes:
        """Return free lanes, which keep what the last layer saw where ``features``."""
        longest = -(-int(self.limits.max()) // _ROOM) * _ROOM
        model = self.model
        return empty_lanes(model.config, self.lanes, self.capacity, longest, model.dtype, features=features)

    def advanced(self, queue: Queue, state: Lanes, steps: int) -> Lanes:
        """Make up to so many steps."""
        m = self.model
        return compiled_advance()(
            m.config,
            self.law,
            self.ends,
            m.weights,
            shared_of(self.prefix),
            queue,
            state,
            jnp.asarray(steps, jnp.int32),
        )


def whole_numbers(values: Any, argument: str) -> np.ndarray:
    """Return ``[T]`` whole numbers, int32.

    Raises:
        InvalidInput: anything else.

    """
    found = as_floats(values, argument)
    good = found.ndim == 1 and bool((np.isfinite(found) & (found == np.round(found)) & (np.abs(found) < 2**31)).all())
    require(good, argument, values, "a sequence of whole numbers")
    return found.astype(np.int32)


@functools.partial(jax.jit, static_argnames=("capacity",))
def _queue(
    key: jax.Array,
    cuts: jax.Array,
    limits: jax.Array,
    forced: jax.Array,
    counts: jax.Array,
    n: jax.Array,
    capacity: int,
) -> Queue:
    """Return ``n`` branches a cut and their keys; places without a branch repeat the first one."""
    place, end = jnp.arange(capacity, dtype=jnp.int32), cuts.size * n
    row, resample = (jnp.where(place < end, a, 0) for a in (place // n, place % n))
    keys = jax.vmap(lambda c, r: jax.random.fold_in(jax.random.fold_in(key, c), r))(cuts[row], resample)
    return Queue(cuts[row], limits[row], keys, forced[row], counts[row], jnp.asarray(end, jnp.int32))


def planned(
    model: LanguageModel,
    text: Any,
    cuts: Sequence[int] | np.ndarray | None,
    rule: Limits,
    sampling: Sampling | None = None,
    *,
    n: int = 1,
    lanes: int = 512,
    forced: Sequence[int] | Sequence[Sequence[int]] = (),
    recycle: bool = False,
) -> Plan:
    """Return a request of :func:`decode` with all of it checked; the text is read here unless it is a prefix."""
    checked_kind(model, "model", LanguageModel, "a LanguageModel")
    checked_kind(sampling, "sampling", Sampling, "Sampling, or None", optional=True)
    n, lanes = checked_whole(n, "n", what="branches a cut"), checked_whole(lanes, "lanes")
    law = model.sampling if sampling is None else sampling
    law.validate()
    given = text.tokens if isinstance(text, Prefix) else model.tokens(text)
    at = np.asarray([len(given)], np.int32) if cuts is None else whole_numbers(cuts, "cuts")
    check_cuts(at, len(given))
    limits = checked_limits(model, rule, at, recycle)
    prefix = text if isinstance(text, Prefix) else read_prefix(model, given, context=int((at + limits).max()))
    return Plan(model, prefix, law, rule, at, limits, n, min(lanes, at.size * n), _forced(forced, at, limits))


def check_cuts(cuts: np.ndarray, length: int) -> None:
    """Refuse cuts outside a text of ``length`` tokens, or given twice."""
    require(cuts.ndim == 1 and cuts.size > 0, "cuts", cuts, "a sequence of at least one number of tokens")
    outside = [int(c) for c in cuts if not 1 <= c <= length]
    require(not outside, "cuts", outside, f"numbers of kept tokens from 1 to the text's {length}")
    require(len(set(cuts.tolist())) == cuts.size, "cuts", cuts.tolist(), "each cut once")


def checked_limits(model: LanguageModel, rule: Limits, cuts: np.ndarray, recycle: bool) -> np.ndarray:
    """Return how many tokens a branch of each cut may add."""
    one = (rule.new_tokens is None) != (rule.length is None)
    require(one, "new_tokens", rule.new_tokens, "one of new_tokens and length")
    require(not rule.stop or model.tokenizer is not None, "stop", rule.stop, "a model with a tokenizer")
    require(all(rule.stop), "stop", rule.stop, "texts of at least one character")
    if rule.length is None:
        assert rule.new_tokens is not None
        checked_whole(rule.new_tokens, "new_tokens")
        expected = "stopping by length: samples of an earlier cut would have fewer tokens left"
        require(not recycle, "new_tokens", rule.new_tokens, expected)
        limits = np.full(cuts.shape, rule.new_tokens, np.int32)
    else:
        limits = (rule.length - cuts).astype(np.int32)
        require(bool((limits >= 1).all()), "length", rule.length, f"more than the last cut, {int(cuts.max())}")
    longest = int((cuts + limits).max())
    context = model.config.max_positions
    require(longest <= context, "length", longest, f"texts within the model's context, {context} tokens")
    return limits


def _forced(forced: Any, cuts: np.ndarray, limits: np.ndarray) -> list[np.ndarray]:
    listed = isinstance(forced, (Sequence, np.ndarray)) and not isinstance(forced, (str, bytes))
    require(listed, "forced", forced, "ids of tokens, or a list of them a cut")
    rows = list(forced)
    nested = bool(rows) and not isinstance(rows[0], int | np.integer)
    if nested:
        require(len(rows) == cuts.size, "forced", f"{len(rows)} lists", f"one for each of {cuts.size} cuts")
    each = [whole_numbers(r, "forced") for r in (rows if nested else [rows] * cuts.size)]
    for tokens, limit in zip(each, limits, strict=True):
        require(len(tokens) < limit, "forced", f"{len(tokens)} tokens", f"fewer than a branch may add, {int(limit)}")
    return each


def decoded(key: jax.Array, plan: Plan, *, features: bool = False) -> tuple[Branches, Lanes]:
    """Draw all branches of a plan; return them, and the lanes as they were left (with ``features`` kept or not)."""
    queue, state = plan.queue(key), plan.lanes_state(features=features)
    if not plan.rule.stop:
        state = plan.advanced(queue, state, np.iinfo(np.int32).max // 2)
    else:
        watch = StopWatch(plan)
        while not watch.finished(state):
            state = watch.checked(plan.advanced(queue, state, LOOK_EVERY))
    cuts = np.repeat(plan.cuts, plan.n)
    resamples = np.tile(np.arange(plan.n), plan.cuts.size)
    return collected(plan, state, cuts, resamples, np.arange(cuts.size), None), state


def collected(
    plan: Plan,
    state: Lanes,
    cuts: np.ndarray,
    resamples: np.ndarray,
    sources: np.ndarray,
    skipped: np.ndarray | None,
) -> Branches:
    """Return the branches on the host; row ``i`` is source ``sources[i]`` without its first ``skipped[i]`` tokens."""
    tokens, log_probs = np.asarray(state.tokens), np.asarray(state.log_probs)
    lengths, reasons = np.asarray(state.lengths), np.asarray(state.reasons)
    skip = np.zeros(len(cuts), int) if skipped is None else skipped
    used = np.unique(sources)
    counters = Counters(
        prefilled=plan.prefix.length,
        prefix_bytes=plan.prefix.nbytes,
        steps=int(state.step),
        lanes=plan.lanes,
        drawn=int(lengths[used].sum()),
        recycled=int(np.sum(skip > 0)),
    )
    return Branches(
        prefix=plan.prefix.tokens,
        cuts=cuts,
        resamples=resamples,
        tokens=[tokens[s, k : lengths[s]] for s, k in zip(sources, skip, strict=True)],
        log_probs=[log_probs[s, k : lengths[s]] for s, k in zip(sources, skip, strict=True)],
        reasons=[REASONS[reasons[s]] for s in sources],
        recycled=skip > 0,
        counters=counters,
    )


class StopWatch:
    """Looks for stop strings in what lanes have written, between steps; only new tokens are decoded.

    A branch is cut back to the token that completes a stop string, so it does not depend on when it was looked at.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan: Plan = plan
        self.seen: np.ndarray = np.zeros(plan.capacity, int)
        self.complete: np.ndarray = np.zeros(self.seen.shape, bool)

    def finished(self, state: Lanes, count: int | None = None) -> bool:
        """Whether nothing is left to do, of ``count`` branches or all."""
        wanted = len(self.plan.cuts) * self.plan.n if count is None else count
        return bool(np.all(np.asarray(state.done))) and int(state.head) >= wanted

    def checked(self, state: Lanes, rows: Sequence[int] | None = None) -> Lanes:
        """Return the state with branches ended at their stop strings, and their lanes freed.

        ``rows`` says which of all (cut, resample) each branch of the queue is, where that is not its own number.
        """
        if not self.plan.rule.stop:
            return state
        lengths, reasons = np.array(state.lengths), np.array(state.reasons)
        fresh = np.flatnonzero((lengths > self.seen) & ~self.complete)
        tokens = np.asarray(state.tokens)
        stopped = []
        for i in map(int, fresh):
            end = self._ends_at(tokens[i, : lengths[i]], int(self.seen[i]), self._given(i if rows is None else rows[i]))
            self.seen[i] = lengths[i]
            if end is not None:
                lengths[i], reasons[i] = end, STOPPED
                stopped.append(i)
            self.complete[i] = end is not None or reasons[i] != RUNNING
        if not stopped:
            return state
        done = np.array(state.done) | np.isin(np.asarray(state.branch), stopped)
        return dataclasses.replace(
            state, lengths=jnp.asarray(lengths), reasons=jnp.asarray(reasons), done=jnp.asarray(done)
        )

    def _given(self, row: int) -> int:
        return len(self.plan.forced[row // self.plan.n])

    def _ends_at(self, tokens: np.ndarray, seen: int, given: int) -> int | None:
        """Return how many tokens a branch keeps, or None where no stop string is in its text."""
        tokenizer = self.plan.model.tokenizer
        assert tokenizer is not None
        stop, ids = self.plan.rule.stop, tokens.tolist()

        def holds(upto: int) -> bool:
            text = tokenizer.decode(ids[given:upto])
            return any(s in text for s in stop)

        if len(ids) <= given or not holds(len(ids)):
            return None
        return next(k for k in range(max(seen, given) + 1, len(ids) + 1) if holds(k))
