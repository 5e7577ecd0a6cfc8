"""Every option and argument of every verb refuses malformed texts in one line that names it, and leaves no file.

The options are read from the commands themselves (:mod:`tests.robustness.options`).  Nothing is random.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import hypothesis
import pytest

import sloc
from tests.robustness.calling import listing, no_refusal, place
from tests.robustness.options import GOOD, OWN, RANGES, VERBS, Option, options

pytest.importorskip("tokenizers")

OPTIONS = options()


def test_every_option_is_swept() -> None:
    assert set(GOOD) == set(VERBS)
    declared = {(verb, o) for verb, command in VERBS.items() for o in command.params}
    assert len(OPTIONS) == len(declared)
    names = {(" ".join(o.verb), o.name) for o in OPTIONS} | {("*", o.name) for o in OPTIONS}
    assert set(OWN) <= names, "options that are no more"
    assert {("*", name) for name in RANGES} <= names, "numbers that are no more"


def faults(option: Option, folder: Path, examples: int) -> list[str]:
    """Return how an option was not refused as it should be."""
    found: list[str] = []
    before = listing(folder)

    def hand(value: str) -> None:
        said = fault(option, value, folder, before)
        if said and len(found) < 20:
            found.append(f"{option.name} = {value!r}: {said}")

    for value in option.kind.listed.values():
        hand(value)
    if option.kind.drawn is not None:
        settings = hypothesis.settings(max_examples=examples, database=None, derandomize=True, deadline=None)
        settings(hypothesis.given(option.kind.drawn)(hand))()
    return found


def fault(option: Option, value: str, folder: Path, before: object) -> str | None:
    """Return what is wrong with how a command takes a text."""

    def fill(text: str) -> str:
        return text.replace("{dir}", str(folder / "in"))

    arguments = option.arguments(value, fill)
    names = {o for p in VERBS[option.verb].params for o in p.opts}
    if "--out" in names and option.name != "--out":
        place_ = arguments.index("--") if "--" in arguments else len(arguments)
        arguments[place_:place_] = ["--out", str(folder / "out")]
    said, wrong = no_refusal(arguments)
    if wrong:
        return wrong
    if listing(folder) != before:
        return "files were left"
    if not any(name in said for name in option.kind.said or (option.name,)):
        return f"not named: {said}"
    if option.kind.name != "a switch" and not shows(said, fill(value)):
        return f"the value is not shown: {said}"
    return None


def shows(said: str, value: str) -> bool:
    """Whether a refusal holds the value, or the beginning of it: blanks count as one, and a number may be rewritten."""
    # As it was typed, or as Python writes it.
    bare = str.maketrans("", "", "\\'\"")
    said, value = said.translate(bare), value.translate(bare)
    start = " ".join(value.split())
    start = "".join(c if c.isprintable() else "\0" for c in start).split("\0")[0][:12].strip()
    if start in said:
        return True
    try:
        number = float(value)
    except ValueError:
        # A text with a mark before a colon is refused by what stands behind it, a list by one of its parts.
        parts = [*re.split(r"[|;,]", start), *start.split(":", 1)[1:]]
        return any(part.strip() and part.strip() in said for part in parts)
    return math.isinf(number) or any(
        float(n) == number for n in re.findall(r"-?\d[\d.]*(?:e[+-]?\d+)?", said) if n.count(".") < 2
    )


def skip_where_there_is_nothing_to_call(option: Option) -> None:
    """Skip the benchmarks of an installed wheel: it has none, and refuses the verb whatever its options."""
    if option.verb == ("bench",) and not (Path(sloc.__file__).parents[1] / "benchmarks").is_dir():
        pytest.skip("no checkout: the benchmarks are no part of the wheel")


@pytest.mark.parametrize("option", OPTIONS, ids=lambda o: f"{' '.join(o.verb)} {o.name}")
def test_malformed_texts_are_refused(option: Option, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_where_there_is_nothing_to_call(option)
    place(tmp_path, monkeypatch)
    found = faults(option, tmp_path, 5)
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("option", OPTIONS, ids=lambda o: f"{' '.join(o.verb)} {o.name}")
def test_malformed_texts_that_are_found_are_refused(
    option: Option, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_where_there_is_nothing_to_call(option)
    place(tmp_path, monkeypatch)
    found = faults(option, tmp_path, 150)
    assert not found, "\n".join(found)
