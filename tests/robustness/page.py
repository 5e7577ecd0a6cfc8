"""The tables of ``docs/reliability.md``, made from the sweep; ``python -m tests.robustness.page`` rewrites them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.robustness import reasons
from tests.robustness.sweep import Row
from tests.robustness.values import Argument

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- swept: begin -->", "<!-- swept: end -->"


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


def tables(functions: Sequence[Row], methods: Sequence[Row]) -> str:
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
    lines += [f"Methods and class methods that are swept: {_methods(methods)}. Other methods are not.", ""]
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


def embedded(functions: Sequence[Row], methods: Sequence[Row], text: str) -> str:
    """Return the page with its tables replaced."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{tables(functions, methods)}\n\n{END}{tail}"


if __name__ == "__main__":
    from tests.robustness.test_table import METHODS, ROWS

    PAGE.write_text(embedded(ROWS, METHODS, PAGE.read_text("utf-8")), "utf-8")
