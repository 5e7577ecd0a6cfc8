"""The format of forking-fast releases: one JSON object a question, taken over and given back.

**The key** ``sloc`` of such an object, and of a branch in it, is this library's own.  It is written only where the
format would give something else back: of a question ``question, full, reference, meta``, each where needed; of a branch
``name`` and ``extra``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import checked_kind
from sloc.windows.recorded import Branch, Recording, contradiction, make_branch, make_recording
from sloc.windows.recorded_checks import (
    MOST_WHOLE,
    check_keys,
    checked_categories,
    checked_list,
    checked_object,
    checked_truth,
)
from sloc.windows.recorded_layout import laid_out, layout_of, token_place
from sloc.windows.recorded_write import check_storable

_OWN = "sloc"
_RECORD = ("branches", "categories", "idxs")
_BRANCH = ("t", "tok_id", "tok_p", "is_base", "answers", "cont_lens")


def from_forking_fast(record: Any, question: str | None = None) -> tuple[Recording, tuple[str, ...]]:
    """Take over the JSON object of one question of a forking-fast store.

    A branch is named by its token (``token_names``); ``extra`` has the token where that is not the name, as of
    numbers.  What ``to_forking_fast`` had to add under ``sloc`` is taken in again.

    Args:
        record: with ``branches`` (each ``t, tok_id, tok_p, is_base, answers``, and ``cont_lens`` where they are known),
            ``categories``, ``idxs``.
        question: its name; when None the one under ``sloc``, or ``row_id`` of ``meta``.

    Returns:
        As :func:`read_forking_fast`.

    Raises:
        InvalidInput: as :func:`read_forking_fast`.

    """
    require(isinstance(record, Mapping), "record", record, "a JSON object")
    for name in _RECORD:
        require(isinstance(record.get(name), list), f"record, {name}", record.get(name), "a list")
    said = _said_of(record, ("question", "full", "reference", "meta"), "record")
    name = said.get("question", _row_name(record)) if question is None else question
    require(bool(name), "question", question, "a name, where the store has no meta.row_id")
    where = f"question {name!r}"
    meta = _meta_of(record)
    _check_meta(meta, where)
    categories = checked_categories(record["categories"], f"{where}, categories")
    expected = tuple(token_place(t, f"{where}, idxs[{i}]") for i, t in enumerate(record["idxs"]))
    for i, b in enumerate(record["branches"]):
        at = f"{where}, branches[{i}]"
        require(isinstance(b, Mapping), at, b, "a JSON object")
        lacking = [k for k in _BRANCH if k not in b and k != "cont_lens"]
        require(not lacking, at, lacking, "a branch with " + ", ".join(_BRANCH))
        token_place(b["t"], f"{at}, t")
        require(_is_token(b["tok_id"]), f"{at}, tok_id", b["tok_id"], "a whole number or a text")
    names = token_names([(b["t"], b["tok_id"]) for b in record["branches"]])
    _check_lengths(where, record["branches"], names)
    branches = [
        _token_branch(f"{where}, branches[{i}], position {b['t']}", b, names[i], categories)
        for i, b in enumerate(record["branches"])
    ]
    return make_recording(
        name,
        categories,
        branches,
        full=said.get("full", _length_of(record)),
        reference=said.get("reference"),
        expected=expected,
        meta=said.get("meta", meta),
        layout=layout_of(record, [b.name for b in branches]),
    )


def _check_lengths(where: str, branches: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    """Refuse one branch of two numbers of draws as a contradiction, before either is held against its costs."""
    drawn: dict[tuple[float, str], int] = {}
    for i, (b, name) in enumerate(zip(branches, names, strict=True)):
        key = (float(b["t"]), str(_said_of(b, ("name", "extra"), f"{where}, branches[{i}]").get("name", name)))
        number = len(checked_list(b["answers"], f"{where}, branches[{i}], position {b['t']}, answers"))
        if drawn.setdefault(key, number) != number:
            raise contradiction(where, *key, drawn[key], number)


def _token_branch(where: str, written: Mapping[str, Any], name: str, categories: tuple[str, ...]) -> Branch:
    """One branch of a forking-fast store, ``name`` being what its token is called."""
    said = _said_of(written, ("name", "extra"), where)
    return make_branch(
        where,
        categories,
        checked_list(written["answers"], f"{where}, answers"),
        written["t"],
        said.get("name", name),
        written["tok_p"],
        taken=checked_truth(written["is_base"], f"{where}, is_base"),
        costs=written.get("cont_lens"),
        extra=said.get("extra", _extra_of(written, name)),
    )


def to_forking_fast(recording: Recording) -> dict[str, Any]:
    """Return the JSON object of a forking-fast store.

    Of an object that ``from_forking_fast`` read it is that object: order of branches and positions, repeated
    branches, kinds of numbers, fields that are null or absent, fields of other names.  (The order of the fields within
    an object is not kept; JSON gives it no meaning.)  Any other recording that has whole positions is written so that
    ``from_forking_fast`` gives it back; what the format has no room for (the question's name where ``meta`` has no
    ``row_id`` that says so, the full generation's answer, its length beyond its tokens, names of branches that are not
    their tokens) stands under the key ``sloc``, and only then.

    Args:
        recording: one question.

    Returns:
        The object, plain JSON.

    Raises:
        InvalidInput: fractions, positions that are not whole, or what no file would give back (a ``meta`` or ``extra``
            that is not plain JSON, half characters), with its place.

    """
    checked_kind(recording, "recording", Recording, "a Recording")
    where = f"question {recording.question!r}"
    require(recording.axis == "position", f"{where}, positions", recording.axis, "whole positions of tokens")
    for t in (*recording.positions.tolist(), *recording.expected):
        require(t.is_integer() and t < MOST_WHOLE, f"{where}, positions", t, "whole positions of tokens, below 2^53")
    check_storable(recording)
    idxs, laid = laid_out(recording)
    branches = []
    for b, entry in laid:
        token = b.extra.get("tok_id", b.name)
        branches.append(
            dict(b.extra)
            | {
                "t": entry["t"],
                "tok_id": token if _is_token(token) else b.name,
                "tok_p": entry["tok_p"] if entry["tok_p"] == b.weight else b.weight,
                "is_base": b.taken,
                "answers": [recording.categories[a] for a in b.answers],
                "cont_lens": None if b.costs is None else b.costs.tolist(),
            }
        )
    names = token_names([(b["t"], b["tok_id"]) for b in branches])
    for written, name, (b, entry) in zip(branches, names, laid, strict=True):
        if b.costs is None and "cont_lens" not in entry:
            del written["cont_lens"]
        written.pop(_OWN, None)
        if (name, _extra_of(written, name)) != (b.name, dict(b.extra)):
            written[_OWN] = {"name": b.name, "extra": dict(b.extra)}
    record = _meta_that_fits(recording.meta) | {
        "idxs": idxs,
        "categories": list(recording.categories),
        "branches": branches,
    }
    said = _beyond(recording, record)
    return record | ({_OWN: said} if said else {})


def names_itself(record: Mapping[str, Any]) -> bool:
    """Whether an object says what its question is called.

    Args:
        record: the object.

    """
    said = record.get(_OWN)
    return bool(_row_name(record)) or (isinstance(said, Mapping) and "question" in said)


def _is_token(value: Any) -> bool:
    """Whether a value names a token: a whole number or a text."""
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def token_names(tokens: Sequence[tuple[float, int | str]]) -> list[str]:
    """Return names of branches, distinct where their tokens are.

    A token's name is its text.  The number 4 and the text ``"4"`` are two tokens: where both stand at one position, the
    text is named as JSON writes it, in quotation marks.

    Args:
        tokens: position and token of each branch.

    Returns:
        A name for each.

    """
    numbers = {(float(t), str(token)) for t, token in tokens if not isinstance(token, str)}
    texts = {(float(t), token) for t, token in tokens if isinstance(token, str)}
    names = []
    for t, token in tokens:
        name = str(token)
        if isinstance(token, str) and (float(t), token) in numbers:
            name = json.dumps(token)
            while (float(t), name) in texts:
                name = json.dumps(name)
        names.append(name)
    return names


def _extra_of(branch: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what a file says of a branch and a recording has no field for; its token where that is not its name.

    Args:
        branch: as the file has it.
        name: of the branch, by ``token_names``.

    """
    token = branch["tok_id"]
    kept = {} if isinstance(token, str) and token == name else {"tok_id": token}
    return kept | {k: v for k, v in branch.items() if k not in (*_BRANCH, _OWN)}


def _meta_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file says of a question and a recording has no field for.

    Args:
        record: the file's object.

    """
    return {k: v for k, v in record.items() if k not in (*_RECORD, _OWN)}


def _row_name(record: Mapping[str, Any]) -> str:
    """Return the name of a question by its ``meta.row_id``; empty where there is none.

    Args:
        record: the file's object.

    """
    meta = record.get("meta")
    found = meta.get("row_id") if isinstance(meta, Mapping) else None
    return str(found) if isinstance(found, (str, int)) and not isinstance(found, bool) else ""


def _length_of(record: Mapping[str, Any]) -> float:
    """Return the full generation's length: its tokens, and no less than the last position with draws, or 1.

    Args:
        record: the file's object.

    """
    tokens = (record.get("base") or {}).get("gen_ids")
    return max([float(len(tokens or [])), 1.0, *(float(b["t"]) for b in record["branches"])])


def _said_of(value: Mapping[str, Any], names: Sequence[str], argument: str) -> Mapping[str, Any]:
    """Return what stands under the key ``sloc``, an empty object where there is none.

    Args:
        value: a file's object, or a branch.
        names: that may stand there.
        argument: what to call the value.

    Raises:
        InvalidInput: no object, or other names.

    """
    said = checked_object(value.get(_OWN, {}), f"{argument}, {_OWN}")
    check_keys(said, names, f"{argument}, {_OWN}")
    return said


def _beyond(recording: Recording, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the format would give back otherwise, for the key ``sloc``.

    Args:
        recording: one question.
        record: the object that it is written as.

    """
    said: dict[str, Any] = {}
    if _row_name(record) != recording.question:
        said["question"] = recording.question
    if _length_of(record) != recording.full:
        said["full"] = recording.full
    if recording.reference is not None:
        said["reference"] = recording.reference
    if _meta_of(record) != dict(recording.meta):
        said["meta"] = dict(recording.meta)
    return said


def _check_meta(meta: Mapping[str, Any], where: str) -> None:
    """Refuse ``meta`` and ``base`` of a file that are no objects, and tokens that are no list.

    Args:
        meta: what the file says of a question.
        where: what to call the question.

    Raises:
        InvalidInput: such a field.

    """
    for key in ("meta", "base"):
        require(isinstance(meta.get(key, {}), (Mapping, type(None))), f"record, {key}", meta.get(key), "a JSON object")
    tokens = (meta.get("base") or {}).get("gen_ids")
    require(tokens is None or isinstance(tokens, list), f"{where}, base, gen_ids", tokens, "a list")


def _meta_that_fits(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a recording's ``meta`` a file has room for beside its own fields.

    Args:
        meta: of the recording.

    """
    fits = {}
    for name, value in _meta_of(meta).items():
        try:
            _check_meta({name: value}, "")
        except InvalidInput:
            continue
        fits[name] = value
    return fits
