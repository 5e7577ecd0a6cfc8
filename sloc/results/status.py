"""Statuses of an edge: small integers on the device, names on the host, never a sentinel as an answer."""

from __future__ import annotations

from typing import Literal, get_args

from sloc.contracts.arguments import checked_choice, checked_whole

Status = Literal["resolved", "empty", "inverted", "below_grid", "above_grid", "unresolved", "one answer"]
"""How an edge was found.

``resolved``
    The edge lies inside the times that were looked at.
``empty``
    No time meets the definition's conditions.
``inverted``
    ``T_before < T_after``: both edges exist, the window between them does not.
``below_grid``, ``above_grid``
    The edge lies before the first or after the last time that was looked at.
``unresolved``
    The draws do not separate the curve from its threshold; more are needed.
``one answer``
    Of recorded answers: only one was ever seen, so that there is nothing to decide.
"""

STATUSES: tuple[str, ...] = get_args(Status)
"""The statuses in the order of their integer codes."""


def status_name(code: int) -> Status:
    """Return the name of an integer status code.

    Args:
        code: from 0.

    Returns:
        The name.

    Raises:
        InvalidInput: a code that stands for none.

    """
    return STATUSES[checked_whole(code, "code", 0, len(STATUSES) - 1)]  # pyright: ignore[reportReturnType]


def status_code(name: Status) -> int:
    """Return the integer code of a status name.

    Args:
        name: one of the statuses.

    Returns:
        Its code, from 0.

    Raises:
        InvalidInput: no such status.

    """
    return STATUSES.index(checked_choice(name, "name", STATUSES))
