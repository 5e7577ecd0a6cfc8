"""Recorded resamples: branches with known weights, their answers in the order in which they were drawn.

A question has one generation that was kept and, at positions along it, the next tokens that the model
could have taken.  Each such **branch** has a known probability and was continued several times; what
each continuation answered is recorded.  The distribution of answers at a position is
``o_t = sum_b p_b o_{t,b}``, branch by branch, with ``p_b`` known and not estimated.  A recording without
branches is one branch of weight 1 a position.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import as_floats, as_real, checked_all, checked_choice, is_one_of
from sloc.results.resampled import Axis
from sloc.windows.recorded_checks import (
    AXES,
    WEIGHT_SLACK,
    checked_categories,
    checked_codes,
    checked_costs,
    checked_object,
    checked_place,
    checked_truth,
    checked_weight,
)
from sloc.windows.recorded_layout import checked_layout

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Branch:
    """The continuations of one next token at one position.

    Attributes:
        position: what was kept before it, a position or a fraction.
        name: which token; any text, unique at its position.
        weight: its probability ``p_b``, positive.
        taken: whether the generation itself took it.
        answers: ``[n]`` int, indices into the question's categories, in the order of the draws.
        costs: ``[n]`` int64, tokens of each continuation, or None where they were not recorded.
        extra: whatever else a source said of it, carried along; to be written to a store it has to be plain JSON.

    Raises:
        InvalidInput: a field that is none of these, no draws, a weight outside (0, 1].

    """

    position: float
    name: str
    weight: float
    taken: bool
    answers: np.ndarray
    costs: np.ndarray | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check each field by itself; numbers become Python's own."""
        require(isinstance(self.name, str), "name", self.name, "a text")
        answers = checked_codes(self.answers)
        checked_object(self.extra, "extra")
        checked = {
            "position": checked_place(self.position, "position"),
            "weight": checked_weight(self.weight),
            "taken": checked_truth(self.taken, "taken"),
            "costs": checked_costs(self.costs, answers.size),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, draw by draw."""
        if not isinstance(other, Branch):
            return NotImplemented
        mine, yours = ((b.position, b.name, b.weight, b.taken, dict(b.extra)) for b in (self, other))
        same_costs = (self.costs is None) == (other.costs is None) and (
            self.costs is None or np.array_equal(self.costs, np.asarray(other.costs))
        )
        return mine == yours and same_costs and np.array_equal(self.answers, other.answers)

    def __hash__(self) -> int:
        """Refuse: draws are an array."""
        raise TypeError("unhashable type: 'Branch'")


@dataclass(frozen=True)
class Recording:
    """Everything that was drawn for one question.

    Attributes:
        question: its name.
        categories: answers that are possible, at least one.
        branches: in the order of their positions, one a name and position.
        axis: what a kept part is counted in, ``"position"`` or ``"fraction"`` (then no position is above 1).
        full: what the full generation keeps: 1, or its length; positive.
        reference: the full generation's answer, one of ``categories``, or None where it was not recorded.
        expected: positions that were to be drawn at; those without a branch are :attr:`missing`.
        meta: whatever else a source said of the question, carried along; to be written to a store it has to be plain
            JSON.
        layout: how the forking-fast file that it was read from was written where it could have been written otherwise
            (the order of its branches, numbers such as ``3.0``); empty for all others.  It counts in no estimate and in
            no comparison.

    Raises:
        InvalidInput: a field that is none of these, answers outside the categories, weights of a position above one,
            two taken branches at one position.

    """

    question: str
    categories: tuple[str, ...]
    branches: tuple[Branch, ...]
    axis: Axis = "position"
    full: float = 1.0
    reference: str | None = None
    expected: tuple[float, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)
    layout: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        """Check the fields, and the branches against one another."""
        require(isinstance(self.question, str) and bool(self.question), "question", self.question, "a name")
        where = f"question {self.question!r}"
        try:
            checked = self._checked()
        except InvalidInput as error:
            raise InvalidInput(f"{where}, {error}") from error
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        _check_masses(where, self)

    def _checked(self) -> dict[str, Any]:
        names = checked_categories(self.categories)
        branches = checked_all(self.branches, "branches", Branch, "Branches")
        require(len(branches) > 0, "branches", [], "at least one branch with draws")
        checked_choice(self.axis, "axis", AXES)
        full = as_real(self.full)
        require(0 < full < math.inf, "full", self.full, "a positive number")
        require(
            self.reference is None or is_one_of(self.reference, names), "reference", self.reference, f"one of {names}"
        )
        listed = checked_all(self.expected, "expected", object, "positions")
        expected = tuple(checked_place(e, f"expected[{i}]") for i, e in enumerate(listed))
        at = np.asarray([b.position for b in branches])
        require(bool((np.diff(at) >= 0).all()), "branches", at, "branches in the order of their positions")
        if self.axis == "fraction":
            last = max(*at.tolist(), *expected, 0.0)
            require(last <= 1.0, "position", last, "a fraction in [0, 1]")
        top = np.asarray([int(b.answers.max()) for b in branches])
        if (top >= len(names)).any():
            branch = branches[int(np.argmax(top >= len(names)))]
            raise InvalidInput(
                f"position {branch.position:g}, branch {branch.name!r}, answers = {int(branch.answers.max())}: "
                f"expected indices of the {len(names)} categories {names}"
            )
        keys = [(b.position, b.name) for b in branches]
        if len(set(keys)) < len(keys):
            position, name = next(k for i, k in enumerate(keys) if k in keys[:i])
            raise InvalidInput(f"position {position:g}, branch {name!r}: expected one record of a branch; found two")
        checked_object(self.meta, "meta")
        layout = checked_layout(self.layout)
        return {"categories": names, "branches": branches, "full": full, "expected": expected, "layout": layout}

    @property
    def positions(self) -> np.ndarray:
        """``[m]`` positions with branches, ``{s : some branch starts at s}``, increasing."""
        return np.unique([b.position for b in self.branches])

    @property
    def missing(self) -> tuple[float, ...]:
        """Positions that were to be drawn at and were not, ``{s in expected : no branch starts at s}``."""
        return tuple(sorted(set(self.expected) - {b.position for b in self.branches}))

    @property
    def kept_mass(self) -> np.ndarray:
        """``[m]`` probability ``sum_b p_b`` of the branches kept at each position; 1 where none was dropped."""
        return _sums(self, [b.weight for b in self.branches])

    @property
    def taken_mass(self) -> np.ndarray:
        """``[m]`` probability ``sum_b p_b 1[b is taken]`` of the token that was taken; NaN where none is marked."""
        taken = _sums(self, [b.weight if b.taken else 0.0 for b in self.branches])
        return np.where(_sums(self, [float(b.taken) for b in self.branches]) > 0, taken, np.nan)

    @property
    def draws(self) -> np.ndarray:
        """``[m]`` draws at each position, ``sum_b n_b`` over its branches."""
        return _sums(self, [b.answers.size for b in self.branches]).astype(np.int64)

    def distribution(self) -> np.ndarray:
        """``[m, A]`` the branch-stratified estimate ``sum_b p_b o_b / sum_b p_b`` from all draws, unbiased."""
        where = np.searchsorted(self.positions, [b.position for b in self.branches])
        mass = np.zeros((self.positions.size, len(self.categories)))
        for at, branch in zip(where, self.branches, strict=True):
            counts = np.bincount(branch.answers, minlength=len(self.categories))
            mass[at] += branch.weight * counts / branch.answers.size
        return mass / self.kept_mass[:, None]

    def merged(self, floor: float = 0.01, into: str = "Other") -> Recording:
        """Merge categories whose proportion never reaches ``floor`` at any position.

        Args:
            floor: the least that a category reaches somewhere to stay, in [0, 1].
            into: the category that takes them up; it is added last if there is none of that name.

        Returns:
            The recording with fewer categories, or itself where nothing is that rare.

        """
        require(0.0 <= as_real(floor) <= 1.0, "floor", floor, "a proportion in [0, 1]")
        rare = (self.distribution().max(axis=0) < floor) & (np.asarray(self.categories) != into)
        if not rare.any():
            return self
        stay = [c for c, r in zip(self.categories, rare, strict=True) if not r]
        names = tuple(stay) if into in stay else (*stay, into)
        code = np.asarray([names.index(c if c in names else into) for c in self.categories])
        branches = tuple(replace(b, answers=code[b.answers]) for b in self.branches)
        reference = self.reference if self.reference is None or self.reference in names else into
        return replace(self, categories=names, branches=branches, reference=reference)

    def to_frame(self) -> pd.DataFrame:
        """One row per draw: question, position (or fraction), branch, branch_weight, taken, draw, answer, weight, cost.

        ``weight`` is the draw's own, ``p_b / n_b``, as :func:`sloc.windows.trace_table` takes it.
        ``cost`` is there where any branch has costs, and missing in the rows of those that have none; ``reference`` is
        there where the full generation's answer is known.
        """
        import pandas as pd

        sizes = [b.answers.size for b in self.branches]
        per_branch = {
            self.axis: [b.position for b in self.branches],
            # Texts of a fixed width would lose NUL characters at their end.
            "branch": np.asarray([b.name for b in self.branches], object),
            "branch_weight": [b.weight for b in self.branches],
            "taken": [b.taken for b in self.branches],
            "weight": [b.weight / b.answers.size for b in self.branches],
        }
        columns: dict[str, Any] = {k: np.repeat(np.asarray(v), sizes) for k, v in per_branch.items()}
        columns["draw"] = np.concatenate([np.arange(n) for n in sizes])
        columns["answer"] = np.asarray(self.categories, object)[np.concatenate([b.answers for b in self.branches])]
        known = [b.costs is not None for b in self.branches]
        if any(known):
            costs = np.concatenate(
                [np.zeros(b.answers.size, int) if b.costs is None else b.costs for b in self.branches]
            )
            missing = np.repeat(np.logical_not(known), sizes)
            columns["cost"] = costs if all(known) else pd.Series(costs, dtype="Int64").mask(missing)
        if self.reference is not None:
            columns["reference"] = self.reference
        return pd.DataFrame({"question": self.question, **columns})


def leaving_masses(taken: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return what separates the recorded distributions of consecutive tokens: ``q_t = 1 - (p_t / k_t) k_{t+1}``.

    Recorded distributions are over kept branches alone, of mass ``k_t``.  The taken one, ``p_t / k_t`` of them, answers
    by the whole law one token later, ``k_{t+1} o_{t+1} + (1 - k_{t+1}) d`` with ``d`` the answers of what is dropped
    there.  Hence ``o_t = (1 - q_t) o_{t+1} + q_t y`` with some distribution ``y``: the identity that curves are given,
    exact whatever was dropped, and ``TV(o_t, o_{t+1}) <= q_t``, which needs no draw and adds up along a path.  Where
    nothing is dropped ``q_t = 1 - p_t``.

    Args:
        taken: ``[T]`` probability ``p_t`` of the taken token, NaN where it is not known.
        kept: ``[T]`` mass of the kept branches, ``p_t`` at least; 1 where nothing was drawn, so that the distribution
            is the whole law.

    Returns:
        ``[T - 1]`` masses in [0, 1], NaN where the probability is not known.

    Raises:
        InvalidInput: probabilities outside [0, 1], masses that are not positive, arrays that do not fit.

    Source: the law of total probability; what is said of dropped branches is the library's own.

    """
    taken, kept = as_floats(taken, "taken"), as_floats(kept, "kept")
    require(taken.ndim == 1, "taken", taken.shape, "a shape [T]")
    require(kept.shape == taken.shape, "kept", kept.shape, f"shape {taken.shape}, like taken")
    good = bool(((taken >= 0) & (taken <= 1) | np.isnan(taken)).all())
    require(good, "taken", taken, "probabilities, or NaN")
    require(bool(((kept > 0) & (kept < np.inf)).all()), "kept", kept, "positive masses")
    # Masses may exceed one by the rounding of what was written.
    whole = np.minimum(kept, 1.0)
    return np.clip(1.0 - taken[:-1] / whole[:-1] * whole[1:], 0.0, 1.0)


def make_branch(
    where: str, categories: tuple[str, ...], answers: Any, position: float, name: str, weight: float, **fields: Any
) -> Branch:
    """Check one branch whose answers are given as text.

    Args:
        where: what to call it in a message.
        categories: the answers that are possible.
        answers: its answers, as text, in the order of the draws.
        position: what was kept before it.
        name: which token.
        weight: its probability.
        **fields: as :class:`Branch`.

    Returns:
        The branch.

    Raises:
        InvalidInput: no draws, an answer outside the categories, a weight or position out of range, costs of another
            number than the answers.

    """
    listed = isinstance(answers, Sequence) and not isinstance(answers, (str, bytes))
    require(listed, f"{where}, answers", answers, "a list of texts")
    require(len(answers) > 0, f"{where}, answers", answers, "at least one draw")
    code = {c: i for i, c in enumerate(categories)}
    wrong = next((i for i, a in enumerate(answers) if not isinstance(a, str) or a not in code), None)
    if wrong is not None:
        raise InvalidInput(f"{where}, draw {wrong} = {answers[wrong]!r}: expected one of the categories {categories}")
    codes = np.asarray([code[str(a)] for a in answers], np.int16 if len(code) < 2**15 else np.int64)
    try:
        return Branch(position, name, weight, answers=codes, **fields)
    except InvalidInput as error:
        raise InvalidInput(f"{where}, {error}") from error


def make_recording(question: str, categories: Any, branches: Any, **fields: Any) -> tuple[Recording, tuple[str, ...]]:
    """Check the branches of a question against one another, and put them in order.

    Args:
        question: its name.
        categories: the answers that are possible.
        branches: :class:`Branch` objects, in any order.
        **fields: as :class:`Recording`.

    Returns:
        The recording, and notes: repeated branches counted once, kept mass below one, positions that are missing.

    Raises:
        InvalidInput: no branch, categories that repeat, one branch recorded twice with different draws, weights of a
            position above one, two taken branches at one position, a reference outside the categories.

    """
    where = f"question {question!r}"
    notes: list[str] = []
    seen: dict[tuple[float, str], Branch] = {}
    for branch in branches:
        key = (branch.position, branch.name)
        if key in seen:
            if seen[key] != branch or _told(seen[key].extra) != _told(branch.extra):
                raise contradiction(where, *key, seen[key].answers.size, branch.answers.size)
            notes.append(f"{where}, position {branch.position:g}: a repeated branch counted once")
            continue
        seen[key] = branch
    ordered = tuple(sorted(seen.values(), key=lambda b: b.position))
    recording = Recording(question, categories, ordered, **fields)
    short = recording.kept_mass < 1.0 - WEIGHT_SLACK
    if short.any():
        notes.append(
            f"{where}: weights sum to less than one at {int(short.sum())} of {short.size} positions "
            f"(kept mass {recording.kept_mass.min():.3g} at least); estimates are of the kept branches"
        )
    if recording.missing:
        notes.append(f"{where}: no draws at {len(recording.missing)} of {len(set(recording.expected))} positions")
    return recording, tuple(notes)


def contradiction(where: str, position: float, name: str, first: int, second: int) -> InvalidInput:
    """Return the refusal of a branch that is recorded twice in two ways, of so many draws each."""
    return InvalidInput(
        f"{where}, position {position:g}, branch {name!r}: expected one record of a branch; "
        f"two contradict one another ({first} and {second} draws)"
    )


def _sums(recording: Recording, values: Any) -> np.ndarray:
    """Return the sums ``[m]`` at each position of one number for each branch."""
    where = np.searchsorted(recording.positions, [b.position for b in recording.branches])
    return np.bincount(where, np.asarray(values, np.float64), recording.positions.size)


def _check_masses(where: str, recording: Recording) -> None:
    over = np.flatnonzero(recording.kept_mass > 1.0 + WEIGHT_SLACK)
    if over.size:
        position, mass = recording.positions[over[0]], float(recording.kept_mass[over[0]])
        raise InvalidInput(f"{where}, position {position:g}, sum of weights = {mass:.6g}: expected at most 1")
    taken = np.flatnonzero(_sums(recording, [float(b.taken) for b in recording.branches]) > 1)
    if taken.size:
        raise InvalidInput(
            f"{where}, position {recording.positions[taken[0]]:g}: expected one branch at most that was taken; "
            f"several are marked so"
        )


def _told(extra: Any) -> str:
    """``extra`` as text: Python takes True for 1, a file does not."""
    return json.dumps(extra, sort_keys=True, default=repr)
