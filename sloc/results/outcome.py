"""Curves of recorded answers under the martingale prior, and the moves in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sloc.contracts.equality import same_fields
from sloc.results.pictures import draw

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@dataclass(frozen=True)
class OutcomeCurve:
    """The distribution of answers at every position of one question.

    Attributes:
        question: its name.
        categories: ``A`` answers.
        positions: ``[T]`` increasing, observed or not.
        draws: ``[T]`` draws (effective ones, where branches were weighted); zero where nothing was drawn.
        value: ``[T, A]`` posterior mean, rows summing to one.
        lower: ``[T, A]`` pointwise band.
        upper: ``[T, A]`` pointwise band.
        lower_all: ``[T, A]`` band of all positions of one answer at once, or None where it was not asked for.
        upper_all: ``[T, A]`` the same above.
        level: nominal coverage of either kind of band.
        settings: posterior weights of the priors that were averaged over.
        status: ``"resolved"``; ``"undecided"`` where the bands are too wide to say anything (their mean width exceeds a
            half); ``"contradicted"`` where draws move by more than a known leaving mass allows (the probabilities are
            another sampler's, or a position is not where it says), so that the curve leaps there; else ``"one answer"``
            where only one was ever seen, so that no move can have been.
        method: how the numbers were got.

    """

    question: str
    categories: tuple[str, ...]
    positions: np.ndarray
    draws: np.ndarray
    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    lower_all: np.ndarray | None
    upper_all: np.ndarray | None
    level: float
    settings: np.ndarray
    status: str
    method: str

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per position and answer."""
        import pandas as pd

        steps, answers = self.value.shape
        frame = {
            "question": self.question,
            "position": np.repeat(self.positions, answers),
            "answer": np.tile(np.asarray(self.categories, object), steps),
            "draws": np.repeat(self.draws, answers),
            "value": self.value.ravel(),
            "lower": self.lower.ravel(),
            "upper": self.upper.ravel(),
        }
        if self.lower_all is not None and self.upper_all is not None:
            frame |= {"lower_all": self.lower_all.ravel(), "upper_all": self.upper_all.ravel()}
        return pd.DataFrame(frame)

    def to_xarray(self) -> xr.Dataset:
        """Return the curve and its bands on dimensions ``position`` and ``answer``."""
        import xarray as xr

        dims = ("position", "answer")
        arrays = {"value": self.value, "lower": self.lower, "upper": self.upper}
        if self.lower_all is not None and self.upper_all is not None:
            arrays |= {"lower_all": self.lower_all, "upper_all": self.upper_all}
        data: dict[str, Any] = {k: (dims, v) for k, v in arrays.items()}
        data["draws"] = ("position", self.draws)
        attributes = {"question": self.question, "level": self.level, "status": self.status, "method": self.method}
        coords = {"position": self.positions, "answer": np.asarray(self.categories, dtype=str)}
        return xr.Dataset(data, coords=coords, attrs=attributes)

    def plot(self, ax: Any = None) -> Any:
        """Draw every answer with its pointwise band; returns the matplotlib axes.

        :func:`sloc.report.plot_outcomes` shades moves too.
        """
        return draw("outcomes", self, ax=ax)


@dataclass(frozen=True)
class Move:
    """One place where the distribution of answers moves.

    Attributes:
        question: its name.
        start: position before the move, as reported.
        stop: position after it.
        rising: answers that gain.
        size: estimate of ``TV(o_start, o_stop)``.
        size_interval: interval for it.
        location: range of positions that holds the move.
        p_value: of "it is at most ``tau``", NaN where the move is from the posterior.
        probability: posterior probability that it exceeds ``tau``, NaN where the move is from a test.
        adjusted: what is compared with the error level: the adjusted p-value, or the mean posterior probability of
            being false among this and all likelier moves.
        found: whether ``adjusted`` is at most the error level.
        method: how it was got.
        categories: the answers that were possible, ``rising`` among them; empty where they are not known.

    """

    question: str
    start: float
    stop: float
    rising: tuple[str, ...]
    size: float
    size_interval: tuple[float, float]
    location: tuple[float, float]
    p_value: float
    probability: float
    adjusted: float
    found: bool
    method: str
    categories: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)


_NOT_COLUMNS = ("size_interval", "location", "rising", "categories")


@dataclass(frozen=True)
class Moves:
    """Moves of all questions.

    Attributes:
        moves: candidates, the likeliest first; those that are ``found`` are reported.
        tau: the size that a move exceeds.
        alpha: the error level.
        control: what the level is of.
        statuses: question to status: ``"resolved"``; ``"empty"``, no move at this error level; of the posterior
            ``"undecided"``, no move and too few draws to say that there is none; ``"contradicted"``, no move and a
            curve of that status; ``"one answer"``, only one was seen.

    """

    moves: tuple[Move, ...]
    tau: float
    alpha: float
    control: str
    statuses: dict[str, str] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    def __repr__(self) -> str:
        """Return the counts on one line."""
        return (
            f"Moves({len(self.found)} found of {len(self.moves)} looked at in {len(self.statuses)} questions, "
            f"size > {self.tau:g}, {self.control} {self.alpha:g})"
        )

    @property
    def found(self) -> tuple[Move, ...]:
        """Moves at the error level."""
        return tuple(m for m in self.moves if m.found)

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per move that was looked at."""
        import pandas as pd

        names = [n for n in Move.__dataclass_fields__ if n not in _NOT_COLUMNS]
        rows = [
            {
                **{n: getattr(m, n) for n in names},
                "rising": " ".join(m.rising),
                "size_low": m.size_interval[0],
                "size_high": m.size_interval[1],
                "location_low": m.location[0],
                "location_high": m.location[1],
            }
            for m in self.moves
        ]
        extra = ["rising", "size_low", "size_high", "location_low", "location_high"]
        return pd.DataFrame(rows, columns=[*names, *extra])


@dataclass(frozen=True)
class OutcomeDistances:
    """Total variation between the answers at pairs of positions of one question.

    Attributes:
        question: its name.
        start: ``[M]`` position before.
        stop: ``[M]`` position after.
        plug_in: ``[M]`` total variation of observed frequencies; its mean is at least the true one.
        floor: ``[M]`` mean of the plug-in if nothing had changed, estimated at the pooled answers.
        floor_bound: ``[M]`` what that mean is at most, whatever the answers; the plug-in's bias is nowhere larger.
        corrected: ``[M]`` value whose mean is at most the true one, and 0 where nothing changed; may be negative.
        lower: ``[M]`` lower limit.
        upper: ``[M]`` upper limit.
        p_value: ``[M]`` of "nothing changed".
        level: coverage of each pair's interval.
        method: how the numbers were got.

    """

    question: str
    start: np.ndarray
    stop: np.ndarray
    plug_in: np.ndarray
    floor: np.ndarray
    floor_bound: np.ndarray
    corrected: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    p_value: np.ndarray
    level: float
    method: str

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    def __repr__(self) -> str:
        """Return what there is on one line."""
        if not self.start.size:
            return f"OutcomeDistances(question {self.question!r}, no pair)"
        return (
            f"OutcomeDistances(question {self.question!r}, {self.start.size} pairs, "
            f"plug-in up to {self.plug_in.max():.2f}, floor {self.floor.mean():.2f} on average)"
        )

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per pair."""
        import pandas as pd

        names = [n for n in self.__dataclass_fields__ if n not in ("question", "level", "method")]
        return pd.DataFrame({"question": self.question, **{n: getattr(self, n) for n in names}})
