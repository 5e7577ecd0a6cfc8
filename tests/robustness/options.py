"""Every option of every verb, read from the commands themselves, with texts that it cannot take.

What an option is follows from how it is declared: a switch, a number, one of some words.  An option that takes a text
of its own kind stands in :data:`OWN`; one that stands nowhere is an error, so that a new option is swept or said.
"""

from __future__ import annotations

import enum
import inspect
import math
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
import typer

from sloc.cli import app
from tests.robustness.values import UNICODE

MIXTURE = ["gaussians", "--means", "4;-4", "--n", "1024", "--times", "8"]
FILE = ["{dir}/data.npz", "--n", "1024", "--times", "8"]
BARE = ["gaussians", "--n", "1024", "--times", "8"]
QUESTIONS = ["--data", "{dir}/questions.jsonl"]
LINES = ["--model", "{dir}/none", *QUESTIONS, "--task", "math"]
SERVED = ["--model", "http://127.0.0.1:9/v1#none", *QUESTIONS, "--task", "math"]
SMALL = ["--model", "{dir}/model", *QUESTIONS, "--task", "math"]

GOOD: dict[tuple[str, ...], list[str]] = {
    ("window",): MIXTURE,
    ("tree",): MIXTURE,
    ("traces",): ["{dir}/answers.csv"],
    ("train",): ["digits", "--steps", "1"],
    ("uturn",): ["{dir}/none.safetensors"],
    ("lm", "windows"): LINES,
    ("lm", "demo"): ["grammar", "--steps", "1"],
    ("replay",): ["{dir}/none"],
    ("bench",): ["windows", "--smoke"],
    ("info",): [],
}
"""Arguments of each verb that are read without complaint."""

HUGE = "1" + "0" * 40
NOTHING = {
    "a unicode text": UNICODE,
    "an empty text": "",
    "control characters": "\x1b[2J\x07\r\n\x85\u2028x",
    "a NUL": "\0",
}
"""Texts that mean nothing anywhere."""
NO_NUMBER = {
    **NOTHING,
    "NaN": "nan",
    "infinity": "-inf",
    "two numbers": "1,2",
    "hexadecimal": "0x10",
    "beyond floats": "1e999999",
}

ANY: st.SearchStrategy[str] = st.text(max_size=40)
WORDLESS: st.SearchStrategy[str] = st.text(st.characters(exclude_categories=("Nd", "Nl", "No", "Cs")), max_size=40)
"""Texts without a digit of any script."""
REALS = st.one_of(st.sampled_from(["nan", "inf", "-inf", "1e400", "-1e400"]), WORDLESS)


def _below(least: float) -> st.SearchStrategy[str]:
    return st.floats(max_value=least, exclude_max=True, allow_infinity=False).map(repr)


def _above(most: float) -> st.SearchStrategy[str]:
    return st.floats(min_value=most, exclude_min=True, allow_infinity=False).map(repr)


@dataclass(frozen=True)
class Kind:
    """What an option takes.

    Attributes:
        name: for the table of the documentation.
        listed: label and text of what must be refused.
        drawn: where Hypothesis finds more of it; None where nothing else is wrong.
        command: the rest of the command, where that of :data:`GOOD` does not come to the option.
        said: what names the option in a refusal, where its own name does not.

    """

    name: str
    listed: Mapping[str, str]
    drawn: st.SearchStrategy[str] | None
    command: Sequence[str] | None = None
    said: tuple[str, ...] = field(default=())


MOST = 2**32 - 1
RANGES: dict[str, tuple[float, float, str]] = {
    **dict.fromkeys(("--delta", "--alpha", "--level"), (0.0, 1.0, "")),
    "--epsilon": (1e-6, 1.0, "["),
    "--top-p": (0.0, 1.0, "]"),
    "--rise": (0.0, 1.0, "["),
    **dict.fromkeys(("--max-drop", "--min-p"), (0.0, 1.0, "[]")),
    **dict.fromkeys(("--gap", "--rate", "--timeout"), (0.0, math.inf, "]")),
    "--temperature": (0.0, math.inf, "[]"),
    "--guidance": (-math.inf, math.inf, "[]"),
    "--seed": (0, MOST, "[]"),
    "--n": (1, MOST, "[]"),
    "--times": (8, 4096, "[]"),
    "--resamples": (2, MOST, "[]"),
    **dict.fromkeys(("--top-k", "--revise", "--retries"), (0, MOST, "[]")),
    **dict.fromkeys(("--steps", "--batch", "--samples", "--rounds", "--every", "--generations"), (1, MOST, "[]")),
    **dict.fromkeys(("--new-tokens", "--lanes", "--per-request", "--concurrency", "--texts"), (1, MOST, "[]")),
}
"""The range that an option takes, and which ends belong to it; what lies outside must be refused."""
WIDER = {("uturn", "--times"): (2, MOST)}
"""Whole numbers whose range in one verb is wider than elsewhere."""
SERVER = ("--per-request", "--concurrency", "--rate", "--retries", "--timeout")


def _whole(low: int, high: int) -> Kind:
    listed = {**NO_NUMBER, "a broken number": "1.5", "a huge number": HUGE, "below the least": str(low - 1)}
    listed |= {"a huge negative number": f"-{HUGE}", "above the most": str(high + 1)}
    outside = st.one_of(st.integers(max_value=low - 1), st.integers(high + 1)).map(str)
    broken = st.floats().filter(lambda v: not math.isfinite(v) or v != int(v)).map(repr)
    return Kind("a whole number", listed, st.one_of(outside, broken, WORDLESS))


def _real(option: str) -> Kind:
    low, high, ends = RANGES[option]
    listed, drawn = dict(NO_NUMBER), REALS
    if low > -math.inf:
        listed |= {"below the least": repr(low - 1), "a huge negative number": "-1e300"}
        listed |= {} if "[" in ends else {"the lower end": repr(low)}
        drawn = st.one_of(drawn, _below(low))
    if high < math.inf:
        listed |= {"above the most": repr(high + 1), "a huge number": "1e300"}
        listed |= {} if "]" in ends else {"the upper end": repr(high)}
        drawn = st.one_of(drawn, _above(high))
    return Kind("a number", listed, drawn)


def _choice(words: Sequence[str]) -> Kind:
    return Kind("one of some words", {**NOTHING, "another word": "magic"}, ANY.filter(lambda t: t not in words))


def _text(
    listed: Sequence[str], drawn: st.SearchStrategy[str] | None, command: Sequence[str] | None = None, *said: str
) -> Kind:
    """Return an option whose text has a form of its own; the texts are malformed ones."""
    return Kind("a text of a form of its own", {f"{t[:20]!r}": t for t in listed}, drawn, command, said)


PLACES = {
    **{k: v for k, v in NOTHING.items() if k != "control characters"},
    "missing": "{dir}/none.there",
    "a folder": "{dir}/folder",
    "noise": "{dir}/noise.npz",
    "an empty file": "{dir}/empty.csv",
    "a file of another kind": "{dir}/picture.png",
    "a name that is too long": "{dir}/" + "x" * 300,
    "through ..": "{dir}/../../nowhere/at.all",
    "nobody's home": "~nobody-at-all/a.csv",
    "inside a file": "{dir}/answers.csv/inside",
    "control characters": "{dir}/\x1b[2J\r\nx",
}
NOWHERE = st.text(max_size=60).map(lambda t: "/nowhere-at-all/" + t)


def _path(command: Sequence[str] | None = None, *said: str) -> Kind:
    return Kind("a path of something to read", PLACES, NOWHERE, command, said)


LISTS = ("", "nan", "1;;2", "inf;1", "1e999;0", "a", "0x10;1", ";", ",")
"""Lists of numbers that are none."""
_NUMBERS = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=3)


def _not(*words: str) -> st.SearchStrategy[str]:
    return WORDLESS.filter(lambda t: t.strip() not in words)


def _descending(pair: tuple[float, float]) -> str:
    return f"{max(pair)!r},{min(pair)!r}"


_ALONE = st.floats(-1e6, 1e6)
TASKS = ("regex:", "template:", "json", "python:", "math", "choice")
OWN: dict[tuple[str, str], Kind] = {
    ("*", "--out"): Kind(
        "a folder to write",
        {
            "a file": "{dir}/answers.csv",
            "inside a file": "{dir}/answers.csv/inside",
            "nothing": "",
            "a name that is too long": "{dir}/" + "x" * 300,
            "a NUL": "{dir}\0x",
        },
        st.text(max_size=20).map(lambda t: "{dir}/answers.csv/" + t),
    ),
    ("*", "--from"): _path([]),
    ("*", "--process"): _text((UNICODE, "ou,ou", "brownian", "", ","), _not("ou", "ve", "flow", "masking"), FILE),
    ("*", "--devices"): _text(
        (UNICODE, "", "0", "-1", "1.5", "\u00b2", "abacus", HUGE), _not("cpu", "gpu", "tpu"), FILE
    ),
    ("*", "--x"): _text((UNICODE, "", "z", "nan"), ANY.filter(lambda t: t not in ("x", "y")), FILE),
    ("*", "--labels"): _text((UNICODE, "", "z"), ANY.filter(lambda t: t not in ("x", "y")), FILE),
    ("*", "--scale"): _text(
        (UNICODE, "", "1", "1,2,3", "2,1", "nan,1", "-inf,1", "1;2"),
        st.one_of(_not("standard", "none"), st.tuples(_ALONE, _ALONE).map(_descending)),
        FILE,
    ),
    ("*", "--image"): _text(
        (UNICODE, "", "8", "0x0", "-1x2", "2x1x1", "\u00b2x1", "3x3", f"{HUGE}x{HUGE}"),
        st.one_of(WORDLESS, st.tuples(st.integers(3), st.integers(3)).map(lambda p: f"{p[0]}x{p[1]}")),
        FILE,
    ),
    ("*", "--means"): _text((*LISTS, "1;2,3", "1", UNICODE), WORDLESS, BARE),
    ("*", "--weights"): _text(
        (*LISTS, "0,0", "-1,2", "1,1", "0.5", UNICODE),
        st.one_of(WORDLESS, _NUMBERS.filter(lambda v: len(v) != 2).map(lambda v: ",".join(map(repr, v)))),
    ),
    ("*", "--covariances"): _text(
        (*LISTS, "-1", "0", "1,2,3", "1|2|3", UNICODE),
        st.one_of(WORDLESS, st.floats(max_value=-1e-3, allow_infinity=False).map(repr)),
    ),
    ("*", "SOURCE"): Kind(
        "a path of something to read", PLACES, st.one_of(NOWHERE, ANY.map(lambda t: f"/{t}.npz")), FILE
    ),
    ("window", "--classes"): _text((UNICODE, "0,0", "7", "", ","), WORDLESS, FILE),
    ("traces", "TABLE"): _path(),
    ("train", "SOURCE"): _text((UNICODE, "", "letters", "\0"), ANY.filter(lambda t: t != "digits")),
    ("uturn", "WEIGHTS"): _path(),
    ("uturn", "--start"): _text((UNICODE, "", "11", "-1", "nan", HUGE), WORDLESS),
    ("uturn", "--classifier"): _path(["{dir}/weights.safetensors", "--n", "1"]),
    ("replay", "FOLDER"): _path(),
    ("bench", "SUITES"): _text(
        (UNICODE, "", "window", "\0"), WORDLESS.filter(lambda t: t not in ("lm",)), None, "SUITE"
    ),
    ("bench", "--only"): _text((UNICODE, "", ",", "everything"), _not("digits", "gaussians", "devices", "generators")),
    ("bench", "--against"): Kind("a path of something to read", PLACES, NOWHERE, ["windows"]),
    ("lm demo", "NAME"): _text(
        (UNICODE, "", "story", "\0"), WORDLESS.filter(lambda t: t not in ("grammar", "addition"))
    ),
    ("lm demo", "--model"): _path(["stories"]),
    ("lm windows", "--model"): Kind(
        "a model", {**PLACES, "no address": "http://", "no such port": "http://127.0.0.1:x/v1#a"}, NOWHERE, LINES[2:]
    ),
    ("lm windows", "--judge"): Kind(
        "a model", {**PLACES, "no address": "http://", "no such port": "http://127.0.0.1:x/v1#a"}, NOWHERE, SMALL
    ),
    ("lm windows", "--data"): _path([*LINES[:2], *LINES[4:]]),
    ("lm windows", "--task"): _text(
        (UNICODE, "", "regex:(", "regex:", "template:cat", "python:none.none", "python:json", "python:.", "\0"),
        st.one_of(ANY, st.text().map("python:".__add__)).filter(
            lambda t: not t.startswith(tuple(k for k in TASKS if k != "python:")) and t.count(".") != 1
        ),
        LINES[:4],
    ),
    ("lm windows", "--benchmark"): _text(
        (UNICODE, "", "gre", "\0"), WORDLESS.filter(lambda t: t not in ("math", "logiqa")), LINES[:4]
    ),
    ("lm windows", "--fractions"): _text(
        (UNICODE, "", "nan", "2", "-0.1", "a,b", "0.5,0.2,x", ","),
        st.one_of(REALS, _below(0.0), _above(1.0)),
    ),
    ("lm windows", "--sweep"): _text((UNICODE, "", "nan", "-1", "hot", "1e999"), st.one_of(REALS, _below(0.0))),
    ("lm windows", "--stop"): _text(("",), None),
    ("lm windows", "--judge-labels"): _text(
        ("", "right", "right,right", ",", ",,a"),
        st.text(max_size=20).filter(lambda t: len({p.strip() for p in t.split(",") if p.strip()}) < 2),
        [*SMALL, "--judge", "{dir}/model"],
    ),
    ("lm windows", "--dtype"): _text((UNICODE, "", "float16", "float64", "\0"), WORDLESS, SMALL),
    ("lm windows", "--adapter"): _path(SMALL),
    ("lm windows", "--tokenizer"): _path(SERVED),
}
"""Options that take a text of their own kind, by verb (``*`` for every other) and name."""


def verbs(group: Any = None, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command with the words that call it."""
    group = COMMAND if group is None else group
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from verbs(command, (*at, name))
        else:
            yield (*at, name), command


COMMAND: Any = typer.main.get_command(app)
VERBS = dict(verbs())


def own_name(option: Any) -> str:
    """Return an option as it is typed, and what an argument is called in the usage of its verb."""
    named = next((o for o in option.opts if o.startswith("--")), None)
    return named or (option.metavar or option.name).strip("[].").upper()


def kind_of(verb: tuple[str, ...], option: Any, hint: Any) -> Kind:
    """Return what an option takes; an error where nobody said."""
    name, spoken = own_name(option), " ".join(verb)
    if getattr(option, "is_flag", False):
        return Kind("a switch", {**NOTHING, "a word": "yes", "a number": "1"}, ANY)
    members = next(
        (h for h in (hint, *typing.get_args(hint)) if isinstance(h, type) and issubclass(h, enum.Enum)), None
    )
    if members is not None:
        return _choice([str(m.value) for m in members])
    if option.metavar in ("WHOLE", "NUMBER"):
        assert name in RANGES, f"sloc {spoken} {name}: which numbers it takes is not said in RANGES"
        low, high = WIDER.get((spoken, name), RANGES[name][:2])
        found = _whole(int(low), int(high)) if option.metavar == "WHOLE" else _real(name)
        return Kind(found.name, found.listed, found.drawn, SERVED if name in SERVER else None)
    found = OWN.get((spoken, name)) or OWN.get(("*", name))
    assert found is not None, f"sloc {spoken} {name}: what it takes is not said in OWN"
    return found


@dataclass(frozen=True)
class Option:
    """One option of one verb, with what it takes."""

    verb: tuple[str, ...]
    name: str
    kind: Kind

    def arguments(self, value: str, fill: Callable[[str], str]) -> list[str]:
        """Return the command in which the option has a value; ``fill`` names the places."""
        rest = list(GOOD[self.verb] if self.kind.command is None else self.kind.command)
        if self.name.startswith("--"):
            return [*self.verb, *map(fill, rest), f"{self.name}={fill(value)}"]
        # The first of its words is the argument; a value that begins with a dash is no option.
        return [*self.verb, *map(fill, rest[1:]), "--", fill(value)]


def options() -> list[Option]:
    """Return every option and argument of every verb."""
    found = []
    for verb, command in VERBS.items():
        hints = typing.get_type_hints(inspect.unwrap(command.callback))
        found += [Option(verb, own_name(o), kind_of(verb, o, hints.get(o.name))) for o in command.params]
    return found
