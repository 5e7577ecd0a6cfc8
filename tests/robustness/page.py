"""The tables of ``docs/reliability.md``, made from the sweep; ``python -m tests.robustness.page`` rewrites them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.robustness import reasons
from tests.robustness.files import FileKind
from tests.robustness.options import Option
from tests.robustness.sweep import Row
from tests.robustness.values import Argument

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
PARTS = ("swept", "commands", "files")
"""Parts of the page that are made here, each between two marks."""


def _kinds(rows: Sequence[Row]) -> dict[str, list[Argument]]:
    kinds: dict[str, list[Argument]] = {}
    for r in rows:
        for argument in r.arguments.values():
            kinds.setdefault(argument.kind.removesuffix(", or None"), []).append(argument)
    return dict(sorted(kinds.items(), key=lambda item: (-len(item[1]), item[0])))


def _usual(members: Sequence[Argument], share: float) -> list[str]:
    """Return the labels that at least a share of some arguments must refuse, in the order of the tables of values."""
    found = Counter(label for m in members for label in m.wrong)
    return [label for label, count in found.items() if count >= share * len(members)]


def _everywhere(rows: Sequence[Row]) -> list[str]:
    return _usual([a for r in rows for a in r.arguments.values() if a.wrong], 0.5)


def _room(name: str) -> str:
    return ".".join(part for part in name.split(".")[:-1] if not part[0].isupper())


def _methods(rows: Sequence[Row]) -> str:
    """Return every method that is swept, by its class."""
    by_class: dict[str, list[str]] = {}
    for r in rows:
        owner, _, own = r.name.rpartition(".")
        by_class.setdefault(owner, []).append(own)
    return "; ".join(f"`{owner}`: {', '.join(f'`{m}`' for m in own)}" for owner, own in by_class.items())


def _left(unswept: Sequence[str]) -> list[str]:
    """Return which methods have no row, and why, as Markdown."""
    lines = [f"{len(unswept)} methods that take something are not swept:", ""]
    lines += ["| methods without a row, which | how many | their names |", "|---|---|---|"]
    for why, names in reasons.METHODS.items():
        found = Counter(own for m in unswept if (own := m.rpartition(".")[2]) in names)
        lines.append(f"| {why} | {found.total()} | {', '.join(f'`{own}`' for own in found)} |")
    return [*lines, ""]


def tables(functions: Sequence[Row], methods: Sequence[Row], unswept: Sequence[str]) -> str:
    """Return what was tried, as Markdown: by room, by kind of argument, and what was left out and why."""
    rows = [*functions, *methods]
    calls, own = Counter(_room(r.name) for r in functions), Counter(_room(r.name) for r in methods)
    arguments = Counter(_room(r.name) for r in rows for _ in r.arguments)
    tried = Counter({_room(r.name): 0 for r in rows})
    for r in rows:
        tried[_room(r.name)] += sum(len(a.wrong) for a in r.arguments.values())
    lines = ["| package | functions and classes | methods | arguments | malformed values tried |"]
    lines += ["|---|---|---|---|---|"]
    lines += [
        f"| `{room}` | {calls[room]} | {own[room]} | {arguments[room]} | {tried[room]:,} |" for room in sorted(calls)
    ]
    lines += [
        f"| in all | {sum(calls.values())} | {sum(own.values())} | {sum(arguments.values())} "
        f"| {sum(tried.values()):,} |",
        "",
    ]
    lines += [f"Methods and class methods that are swept: {_methods(methods)}.", ""]
    lines += _left(unswept)
    everywhere = _everywhere(rows)
    lines += [f"Handed to nearly every argument, but where it is good there: {', '.join(everywhere)}.", ""]
    lines += ["| an argument that is | arguments | is handed, beside these |", "|---|---|---|"]
    plain = 0
    for kind, members in _kinds(rows).items():
        usual = _usual(members, 0.5)
        more = [label for label in usual if label not in everywhere]
        if more and len(members) >= 3:
            lines.append(f"| {kind} | {len(members)} | {', '.join(more)} |")
        else:
            plain += len(members)
    lines.append(f"| an object of one class, or of a kind that few calls take | {plain} | |")
    lines += ["", "| public names without a row | how many | why |", "|---|---|---|"]
    lines += [f"| {_some(names)} | {len(names)} | {why} |" for why, names in reasons.REASONS.items()]
    return "\n".join(lines)


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(f"`{n}`" for n in names[:most]) + (", …" if len(names) > most else "")


def commands(options: Sequence[Option]) -> str:
    """Return what options of the command line were handed, by what they take, as Markdown."""
    lines = [
        "| an option or argument that is | how many | is handed | and what Hypothesis draws |",
        "|---|---|---|---|",
    ]
    by_kind: dict[str, list[Option]] = {}
    for option in options:
        by_kind.setdefault(option.kind.name, []).append(option)
    for name, members in by_kind.items():
        labels = Counter(label for o in members for label in o.kind.listed)
        usual = [label for label, count in labels.items() if 2 * count >= len(members)]
        more = f" and {len(labels) - len(usual)} texts of one option each" if len(labels) > len(usual) else ""
        drawn = sum(o.kind.drawn is not None for o in members)
        lines.append(f"| {name} | {len(members)} | {', '.join(usual)}{more} | for {drawn} of them |")
    total, listed = len(options), sum(len(o.kind.listed) for o in options)
    return "\n".join([*lines, f"| in all | {total} | {listed:,} texts | |"])


def read(kinds: Sequence[FileKind]) -> str:
    """Return which kinds of files were damaged, and what was asked of each, as Markdown."""
    lines = ["| file | a cut is always refused | a change is refused, or changes nothing | values of its JSON |"]
    lines += ["|---|---|---|---|"]
    lines += [
        f"| {k.name} | {_yes(k.whole)} | {_yes(k.sealed)} | {'replaced, left out' if k.spoken else '—'} |"
        for k in kinds
    ]
    return "\n".join(lines)


def _yes(true: bool) -> str:
    return "yes" if true else "where it can be told"


def embedded(made: Sequence[str], text: str) -> str:
    """Return the page with its parts replaced."""
    for name, part in zip(PARTS, made, strict=True):
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        head, found, rest = text.partition(begin)
        _, closed, tail = rest.partition(end)
        assert found, f"the page has no place for {name}"
        assert closed, f"the page has no place for {name}"
        text = f"{head}{begin}\n\n{part}\n\n{end}{tail}"
    return text


if __name__ == "__main__":
    from tests.robustness.test_table import made

    PAGE.write_text(embedded(made(), PAGE.read_text("utf-8")), "utf-8")
