"""How a forking-fast file was laid out, kept so that it can be written again as it was.

**The layout** is how the file was written where it could have been written otherwise: the order of its branches,
branches that it repeats, numbers such as ``3.0`` for 3, lengths that are null rather than absent.  No estimate depends
on it, so it is kept apart (:attr:`sloc.windows.Recording.layout`) and does not count where recordings are compared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_whole
from sloc.windows.recorded_checks import MOST_WHOLE, check_keys, checked_object, checked_place

if TYPE_CHECKING:
    from sloc.windows.recorded import Branch, Recording


def token_place(value: Any, argument: str) -> float:
    """Return a position of a token.

    Args:
        value: the position, ``3.0`` as good as 3.
        argument: what to call it.

    Raises:
        InvalidInput: no whole number from 0, or one of 2^53 or more, which a float need not hold.

    """
    number = as_whole(value)
    require(0 <= number < MOST_WHOLE, argument, value, "a number of tokens: whole, not negative, below 2^53")
    return number


def layout_of(record: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return how a file was written where ``sloc.windows.forking_fast.to_forking_fast`` would write otherwise.

    Args:
        record: the file's object, checked.
        names: of its branches, in its order.

    Returns:
        ``idxs`` as they stand, and ``branches``: of each, in the file's order, ``t``, ``name``, ``tok_p``, and
        ``cont_lens`` where it is null.  Either is left out where nothing has to be said.

    """
    layout: dict[str, Any] = {}
    idxs = [_plain(t) for t in record["idxs"]]
    if not _alike(idxs, [int(t) for t in idxs]):
        layout["idxs"] = idxs
    entries: list[dict[str, Any]] = [
        {"t": _plain(b["t"]), "name": name, "tok_p": _plain(b["tok_p"])}
        | ({"cont_lens": None} if b.get("cont_lens", 0) is None else {})
        for b, name in zip(record["branches"], names, strict=True)
    ]
    plain = [{"t": int(e["t"]), "name": e["name"], "tok_p": float(e["tok_p"])} for e in entries]
    repeated = len({(e["t"], e["name"]) for e in plain}) < len(plain)
    if repeated or not _alike(entries, sorted(plain, key=lambda e: e["t"])):
        layout["branches"] = entries
    return layout


def _plain(number: Any) -> int | float:
    """A number as JSON has it."""
    if isinstance(number, (np.generic, np.ndarray)):
        return number.item()
    return number if type(number) in (int, float) else float(number)


def _alike(one: Any, other: Any) -> bool:
    """Whether two lists are the same to the kind of their numbers."""
    return json.dumps(one) == json.dumps(other)


def checked_layout(value: Any) -> dict[str, Any]:
    """Return a layout.

    Args:
        value: as ``layout_of`` gives it.

    Raises:
        InvalidInput: anything else.

    """
    layout = dict(checked_object(value, "layout"))
    check_keys(layout, ("idxs", "branches"), "layout")
    for name, inner in layout.items():
        require(isinstance(inner, list), f"layout, {name}", inner, "a list")
    for i, t in enumerate(layout.get("idxs", ())):
        token_place(t, f"layout, idxs[{i}]")
    for i, entry in enumerate(layout.get("branches", ())):
        where = f"layout, branches[{i}]"
        checked_object(entry, where)
        check_keys(entry, ("t", "name", "tok_p", "cont_lens"), where)
        lacking = [k for k in ("t", "name", "tok_p") if k not in entry]
        require(not lacking, where, lacking, "an object with t, name, tok_p")
        token_place(entry["t"], f"{where}, t")
        require(isinstance(entry["name"], str), f"{where}, name", entry["name"], "a text")
        checked_place(entry["tok_p"], f"{where}, tok_p")
        require(entry.get("cont_lens") is None, f"{where}, cont_lens", entry.get("cont_lens"), "null, or none")
    return layout


def laid_out(recording: Recording) -> tuple[list[int | float], list[tuple[Branch, Mapping[str, Any]]]]:
    """Return expected positions and branches in the order, and with the numbers, of the file they were read from.

    A layout may be of a recording that was changed since: what it says of branches that are gone is passed over, and
    branches that it does not know come last.

    Args:
        recording: with whole positions.

    Returns:
        ``idxs`` of the file, and each of its branches with its entry of the layout.

    """
    layout = recording.layout
    idxs = layout.get("idxs", [])
    if tuple(float(t) for t in idxs) != recording.expected:
        idxs = [int(t) for t in recording.expected]
    own = {(b.position, b.name): b for b in recording.branches}
    listed = [e for e in layout.get("branches", ()) if (float(e["t"]), e["name"]) in own]
    known = {(float(e["t"]), e["name"]) for e in listed}
    listed += [
        {"t": int(position), "name": name, "tok_p": b.weight}
        for (position, name), b in own.items()
        if (position, name) not in known
    ]
    return list(idxs), [(own[float(e["t"]), e["name"]], e) for e in listed]
