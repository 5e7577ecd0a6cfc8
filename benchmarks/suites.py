"""The suites of benchmarks by name, and what may be asked of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from benchmarks import atoms, certificates, learned, lm, samplers, structures, traces, unnormalized, windows
from benchmarks.timing import Row
from sloc.contracts import require

Run = Callable[[int, bool, Sequence[str]], Iterator[Row]]

SUITES: dict[str, tuple[Run, tuple[str, ...]]] = {
    "atoms": (atoms.run, atoms.PARTS),
    "certificates": (certificates.run, certificates.PARTS),
    "learned": (learned.run, learned.PARTS),
    "lm": (lm.run, lm.PARTS),
    "samplers": (samplers.run, samplers.PARTS),
    "structures": (structures.run, structures.PARTS),
    "traces": (traces.run, traces.PARTS),
    "unnormalized": (unnormalized.run, unnormalized.PARTS),
    "windows": (windows.run, windows.PARTS),
}
"""Each suite's rows, ``(rounds, smoke, parts) -> rows``, and the names of its parts."""

ALIASES = {"certified": "certificates", "reverse": "samplers", "tree": "structures"}
"""Other words for some suites; results bear the suite's own name."""


def chosen_suites(names: Sequence[str]) -> tuple[str, ...]:
    """Return the suites of these names, each once; all of them where none is named.

    Raises:
        InvalidInput: a name that is none.

    """
    for name in names:
        require(name in SUITES or name in ALIASES, "SUITE", name, f"one of {', '.join([*SUITES, *ALIASES])}")
    return tuple(dict.fromkeys(ALIASES.get(name, name) for name in names)) or tuple(SUITES)


def chosen_parts(suites: Sequence[str], only: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the parts to run of each suite: those of ``only`` that it has, or all where nothing is named.

    Raises:
        InvalidInput: a part that none of the suites has, or a suite without any of the parts.

    """
    listed = "; ".join(f"{suite}: {', '.join(SUITES[suite][1])}" for suite in suites)
    for part in only:
        require(any(part in SUITES[suite][1] for suite in suites), "--only", part, f"a part of a suite ({listed})")
    found = {suite: tuple(p for p in SUITES[suite][1] if not only or p in only) for suite in suites}
    for parts in found.values():
        require(bool(parts), "--only", list(only), f"a part of each suite that is run ({listed})")
    return found
