"""Statistics of the path log-marginals: everything the library reports about exact windows.

Each is a mean of some function of ``L[t, theta] = log p_t^theta(Y_t)`` along a trajectory.  Draws are
stratified by source component; one *round* holds one draw from every stratum, and a round's weighted sum is the
independent unit of which mean and variance are taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from sloc.contracts import Population, Sets, component_mask, component_names, namespace, require, set_name
from sloc.contracts.process import missing_method
from sloc.divergence import integrands


def _frozen(sets: Sets) -> Any:
    """Make a set specification hashable, so that a statistic can be a dictionary key."""
    if isinstance(sets, (int, str, np.integer)) or sets is None:
        return sets
    if isinstance(sets, np.ndarray) and sets.dtype == bool:
        return tuple(int(i) for i in np.flatnonzero(sets))
    try:
        return tuple(sets)
    except TypeError:
        return sets  # refused with its own message when it is bound


@dataclass(frozen=True)
class Term:
    """A statistic bound to a population, ready to stream.

    Attributes:
        kind: hashable integrand; terms of one kind are evaluated together.
        arrays: its masks or indices, stacked with those of other terms of the kind.
        strata: boolean ``[K]``, the source components whose draws it uses.
        affine: ``w [K] -> (offset, slope, low, high)``: the value is ``offset + slope * m`` for the mean ``m``
            of round values, which lie in ``[low, high]``.
        monotone: whether the value never increases (or never decreases) in ``t``, so that its band may be tightened.
        pair: effective disjoint pair ``(A, B, nested)`` of a TV, for closed forms; else None.
        labels: column names where the value is a vector.
        quantity: what the curve shows.
        unit: unit of the values.

    """

    kind: integrands.Integrand
    arrays: dict[str, Any]
    strata: np.ndarray
    affine: Any
    monotone: Literal["decreasing", "increasing"] | None
    pair: tuple[np.ndarray, np.ndarray] | None = None
    labels: tuple[str, ...] = ()
    quantity: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Statistic:
    """What :func:`sloc.measure` takes: a mean of a function of the log-marginals along trajectories.

    ``offset + slope E f(log p_t^1(Y_t), ..., log p_t^K(Y_t))``.  Source: the library's own.  Derive a frozen, hashable
    dataclass with ``bind`` for a statistic of your own; it is a key of the result.  What is averaged is an
    :class:`Integrand`, what holds it a :class:`Term`.
    """

    _sets: ClassVar[tuple[str, ...]] = ()
    """Fields that hold a set of components."""

    def __post_init__(self) -> None:
        """Make the sets hashable."""
        for name in self._sets:
            object.__setattr__(self, name, _frozen(getattr(self, name)))

    def bind(self, population: Population) -> Term:
        """Return the term: sets resolved, sources chosen, the integrand that is averaged.

        Args:
            population: the population, checked.

        Raises:
            InvalidInput: sub-populations that it does not have.

        """
        raise missing_method(self, "bind(population)", "measure a statistic")


def _mass(w: Any, mask: np.ndarray) -> Any:
    """Return ``sum_{theta in mask} w_theta`` for ``w`` on the host or the device."""
    xp = namespace(w)
    return xp.sum(xp.where(mask, w, xp.zeros_like(w)))


def disjoint_pair(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Reduce nested sets: for ``A`` inside ``B``, ``TV(p_A, p_B) = (1 - w_A / w_B) TV(p_A, p_{B minus A})``.

    Returns:
        ``(A', B', part, whole)`` with ``TV(a, b) = (w_part / w_whole) TV(A', B')``; ``part`` is empty where the
        sets are equal (the TV is zero).

    """
    if not (a & ~b).any():
        rest = b & ~a
        return a, (rest if rest.any() else a), rest, b
    if not (b & ~a).any():
        rest = a & ~b
        return b, rest, rest, a
    return a, b, a, a


@dataclass(frozen=True)
class TV(Statistic):
    """``TV(p_t^a, p_t^b) = E_m |tanh(Delta / 2)|`` over the balanced mixture ``m`` of the two.

    Unbiased; the complement ``2 sigma(-|Delta|)`` is what is averaged, so that ``1 - TV`` has no cancellation.
    Nested sets are reduced first.  Source: Bayes' rule on the balanced mixture; its variance: Fukunaga & Kessell 1973.

    Attributes:
        a: an index, a name, or a sequence of them.
        b: likewise.

    """

    a: Any
    b: Any

    _sets: ClassVar[tuple[str, ...]] = ("a", "b")

    def bind(self, population: Population) -> Term:
        """Resolve both sets."""
        a = component_mask(population, self.a, "a")
        b = component_mask(population, self.b, "b")
        left, right, part, whole = disjoint_pair(a, b)
        single = left.sum() == right.sum() == 1
        kind = integrands.PairOverlap() if single else integrands.SetOverlap()
        arrays: dict[str, Any] = (
            {"a": np.int32(left.argmax()), "b": np.int32(right.argmax())} if single else {"a": left, "b": right}
        )

        def affine(w: Any) -> tuple[Any, Any, Any, Any]:
            share = _mass(w, part) / _mass(w, whole)
            return share, -share, 0.0, 1.0

        name = f"TV({set_name(population, a)}, {set_name(population, b)})"
        return Term(kind, arrays, left | right, affine, "decreasing", (a, b), quantity=name)


@dataclass(frozen=True)
class Information(Statistic):
    """Mutual information ``I(theta; Y_t) = H(w) - E H(pi(Y_t))`` in bits; never increases in ``t``.

    Unbiased (Rao-Blackwell: the posterior's entropy, not a sampled label).  Source: Shannon 1948.
    """

    def bind(self, population: Population) -> Term:
        """Use every stratum with its weight."""
        k = len(component_names(population))

        def affine(w: Any) -> tuple[Any, Any, Any, Any]:
            return integrands.entropy_bits(w), -1.0, 0.0, math.log2(k)

        return Term(
            integrands.Entropy(), {}, np.ones(k, bool), affine, "decreasing", quantity="information", unit="bits"
        )


@dataclass(frozen=True)
class Labels(Statistic):
    """``P(theta' | start in init, forward to t, reverse) = E_{Y ~ p_t^init}[pi_theta'(Y)]`` for every ``theta'``.

    The law of labels of the forward-reverse experiment without reverse sampling (Rao-Blackwell).  Not monotone.
    Source: Li, Karan & Chen 2025, Def. 3.

    Attributes:
        init: where trajectories start: an index, a name, or a sequence of them.

    """

    init: Any

    _sets: ClassVar[tuple[str, ...]] = ("init",)

    def bind(self, population: Population) -> Term:
        """Resolve the set."""
        init = component_mask(population, self.init, "init")
        name = f"P(label after noising and denoising {set_name(population, init)})"
        single = init.sum() == 1
        return Term(
            integrands.SourceLabels() if single else integrands.LabelLaw(),
            {"init": np.int32(init.argmax()) if single else init},
            init,
            lambda w: (0.0, 1.0, 0.0, 1.0),
            None,
            labels=component_names(population),
            quantity=name,
        )


@dataclass(frozen=True)
class Clones(Statistic):
    """Clone agreement ``P(two reverse runs from one Y_t agree on theta) = E sum_theta pi_theta(Y_t)^2``.

    Never increases in ``t`` under ``p_t``; not monotone when started in a subset.  Source: Biroli et al. 2024.

    Attributes:
        init: where trajectories start; None for the whole population.

    """

    init: Any = None

    _sets: ClassVar[tuple[str, ...]] = ("init",)

    def bind(self, population: Population) -> Term:
        """Resolve the set."""
        whole = np.ones(len(component_names(population)), bool)
        init = whole if self.init is None else component_mask(population, self.init, "init")
        start = "" if init.all() else f" from {set_name(population, init)}"
        return Term(
            integrands.CloneAgreement(),
            {"init": init},
            init,
            lambda w: (0.0, 1.0, 0.0, 1.0),
            "decreasing" if init.all() else None,
            quantity=f"clone agreement{start}",
        )


@dataclass(frozen=True)
class Misassignment(Statistic):
    """``E_{Y ~ p_t^target}[1 - pi_target(Y)]``: what noising and denoising ``target`` sends elsewhere.

    Never decreases in ``t``.  Equals ``TV(p^{target,t}, p^target)`` where ``theta`` is a function of ``X``.  Source:
    Li, Karan & Chen 2025, proof of Theorem 2.

    Attributes:
        target: an index, a name, or a sequence of them.

    """

    target: Any

    _sets: ClassVar[tuple[str, ...]] = ("target",)

    def bind(self, population: Population) -> Term:
        """Resolve the set."""
        target = component_mask(population, self.target, "target")
        return Term(
            integrands.Loss(),
            {"target": target},
            target,
            lambda w: (0.0, 1.0, 0.0, 1.0),
            "increasing",
            quantity=f"misassignment of {set_name(population, target)}",
        )


@dataclass(frozen=True)
class Certificate(Statistic):
    """``TV(p_t^init, p_t^target) + E_{p_t^target}[1 - pi_target]``, an upper bound on ``TV(p^{init,t}, p^target)``.

    From the proof of Li, Karan & Chen 2025, Theorem 2, without its constant ``W``; unbiased for the bound.  The
    first part falls with ``t``, the second rises: the sum is **not** monotone and must not be bisected.

    Attributes:
        init: where trajectories start, inside ``target``.
        target: what they turn into.

    """

    init: Any
    target: Any

    _sets: ClassVar[tuple[str, ...]] = ("init", "target")

    def bind(self, population: Population) -> Term:
        """Resolve both sets; ``init`` must lie inside ``target``."""
        init = component_mask(population, self.init, "init")
        target = component_mask(population, self.target, "target")
        require(not (init & ~target).any(), "init", self.init, f"a subset of target = {self.target!r}")
        left, right, rest, _ = disjoint_pair(init, target)
        arrays = {"a": left, "b": right, "rest": rest, "target": target}

        def affine(w: Any) -> tuple[Any, Any, Any, Any]:
            return 0.0, 1.0, 0.0, _mass(w, rest) / _mass(w, target) + 1.0

        name = f"certificate for {set_name(population, init)} -> {set_name(population, target)}"
        return Term(integrands.CertificateBound(), arrays, target, affine, None, quantity=name)


@dataclass(frozen=True)
class Hellinger(Statistic):
    """Squared Hellinger distance ``1 - int sqrt(p_t^a p_t^b) = E_m[1 - sech(l / 2)]``, ``m`` the balanced mixture.

    Unbiased, in [0, 1], never increases in ``t``.  ``H^2 <= TV <= H sqrt(2 - H^2)`` (Le Cam).

    Source: Le Cam's inequality, Tsybakov 2009; the form of the mean is the library's own.

    Attributes:
        a: an index, a name, or a sequence of them.
        b: likewise; it may overlap with ``a``.

    """

    a: Any
    b: Any

    _sets: ClassVar[tuple[str, ...]] = ("a", "b")

    def bind(self, population: Population) -> Term:
        """Resolve both sets."""
        a = component_mask(population, self.a, "a")
        b = component_mask(population, self.b, "b")
        name = f"squared Hellinger distance({set_name(population, a)}, {set_name(population, b)})"
        return Term(
            integrands.HellingerLoss(),
            {"a": a, "b": b},
            a | b,
            lambda w: (0.0, 1.0, 0.0, 1.0),
            "decreasing",
            quantity=name,
        )


@dataclass(frozen=True)
class KL(Statistic):
    """Divergence ``KL(p_t^a || p_t^b) = E_{p_t^a}[log2 p_t^a / p_t^b]`` in bits, never increasing in ``t``.

    Unbiased, but not bounded: no finite interval holds without assumptions, so the band is ``[0, inf]`` and only the
    standard error is meant.  Where ``p^a`` can make what ``p^b`` cannot, the divergence is infinite and what comes
    out is huge (an infinite log-ratio counts 1e15 nats), or finite if no such draw was met.  The total over all
    components, ``sum w_theta KL(p^theta || p)``, is :class:`Information`, which has an interval.

    Source: Kullback & Leibler 1951.

    Attributes:
        a: an index, a name, or a sequence of them.
        b: likewise; it may overlap with ``a``.

    """

    a: Any
    b: Any

    _sets: ClassVar[tuple[str, ...]] = ("a", "b")

    def bind(self, population: Population) -> Term:
        """Resolve both sets."""
        a = component_mask(population, self.a, "a")
        b = component_mask(population, self.b, "b")
        name = f"KL({set_name(population, a)} || {set_name(population, b)})"
        return Term(
            integrands.LogRatio(),
            {"a": a, "b": b},
            a,
            lambda w: (0.0, 1.0, 0.0, math.inf),
            "decreasing",
            quantity=name,
            unit="bits",
        )
