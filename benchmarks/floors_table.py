"""The measured numbers of ``FLOORS.md``, as a table that is made from the committed results.

Run ``python -m benchmarks.floors_table`` to write the table anew between the two marks of the page (``--check`` only
says whether it is current).  The page's prose names rows of this table in place of numbers, so that a new measurement
changes one part of it; numbers of experiments that were made once, by hand, stay in the prose and say so.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.show import number

FLOORS = Path(__file__).with_name("FLOORS.md")
RESULTS = Path(__file__).parent / "results"
DEVICE = "cpu-2-cores"
"""Whose results the page is about, as in the files' names."""
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
MISSING = "not in the committed result"


@dataclass(frozen=True)
class Shown:
    """One row of the table.

    Attributes:
        words: what it is called in the prose.
        suite: whose result it is read from.
        name: of the result's row.
        key: which of its numbers.

    """

    words: str
    suite: str
    name: str
    key: str = "value"


def _growth(suite: str, size: str) -> Shown:
    return Shown(f"growth of {suite} with {size}: exponent", suite, f"growth: exponent of {size} in sloc's time")


def _explained(words: str, kernel: str) -> tuple[Shown, ...]:
    name = f"{kernel}: share of the floor"
    return (
        Shown(f"{words}: share of operations over peak", "explain", name),
        Shown(f"{words}: one block of draws", "explain", name, "run_seconds"),
    )


_LARGE = "large: 60000 atoms, d = 784, 4096 draws, 64 times"
_MOST = "large: 1000000 atoms, d = 64, 1024 draws, 16 times"
_WIDE = "large: 20000 atoms, d = 3072, 1024 draws, 16 times"
_DIGITS = "digits, 16384 draws, 64 times"
_TREE = "random hierarchy, 1e5 trees, 1024 leaves"
_READING = "sloc's share of the floor, reading the likelihoods once at the speed of a copy"
SECTIONS: dict[str, tuple[Shown, ...]] = {
    "The machine": (
        Shown("exp in cache", "windows", "ceiling: exp of float32 in cache, all cores"),
        Shown("`jax.random.normal`", "windows", "ceiling: threefry normal draws, one stream"),
        Shown("normals written out", "windows", "ceiling: threefry normal draws, rounds written out"),
        Shown("copy", "windows", "ceiling: copy of memory, one thread, bytes read and written"),
        Shown("matrix product", "windows", "ceiling: float32 matrix product"),
        Shown("steps on bytes", "windows", "ceiling: bytes compared, chosen and kept where largest, in cache"),
    ),
    "Two Gaussians": (
        Shown("two Gaussians: time", "windows", "two Gaussians: sloc, run"),
        Shown(
            "two Gaussians: share of the floor",
            "windows",
            "two Gaussians: sloc's share of the floor, exps and two normals a trajectory",
        ),
        Shown(
            "two Gaussians: share of exp",
            "windows",
            "two Gaussians: sloc's share of the exp ceiling, one exp for each trajectory and time",
        ),
        Shown(
            "two Gaussians: projected by hand over sloc", "windows", "two Gaussians: projected JAX, by hand over sloc"
        ),
        Shown("generators: `rbg` over threefry", "windows", "generators: rbg over threefry2x32"),
        Shown("generators: `unsafe_rbg` over threefry", "windows", "generators: unsafe_rbg over threefry2x32"),
        *(_growth("windows", size) for size in ("d", "n", "K", "times")),
    ),
    "Atoms": (
        Shown("digits: time", "windows", "digits, OU: sloc, run"),
        Shown("digits: share of exp", "atoms", f"{_DIGITS}: share of exp, sloc"),
        Shown("digits: share of exp, sums alone", "atoms", f"{_DIGITS}: share of exp, sloc, sums alone"),
        *(
            Shown(f"digits: {peer} over sloc", "atoms", f"{_DIGITS}: {peer} over sloc")
            for peer in ("NumPy, float32, same algebra", "NumPy, float32, same algebra and nodes", "PyTorch, tuned")
        ),
        Shown("60,000 atoms: time", "atoms", f"{_LARGE}: time"),
        Shown("60,000 atoms: share of both floors", "atoms", f"{_LARGE}: floor by exp and matrix products over time"),
        Shown("60,000 atoms: share of the binding ceiling", "atoms", f"{_LARGE}: share of the binding ceiling"),
        Shown("a million atoms: time", "atoms", f"{_MOST}: time"),
        Shown("a million atoms: peak memory", "atoms", f"{_MOST}: peak resident"),
        Shown("a million atoms: share of the binding ceiling", "atoms", f"{_MOST}: share of the binding ceiling"),
        Shown("3,072 pixels: time", "atoms", f"{_WIDE}: time"),
        Shown("3,072 pixels: peak memory", "atoms", f"{_WIDE}: peak resident"),
        Shown("3,072 pixels: share of the binding ceiling", "atoms", f"{_WIDE}: share of the binding ceiling"),
        Shown("masked digits: time", "windows", "digits, masking: sloc, run"),
        Shown(
            "masked digits: share of the floor",
            "windows",
            "digits, masking: sloc's share of the floor, one step on bytes for each trajectory, image and pixel",
        ),
        *(_growth("atoms", size) for size in ("atoms", "d", "times", "draws")),
    ),
    "Filters and trees": (
        Shown(
            "filters, many draws: associative scan over one by one",
            "structures",
            "filter, many draws: 128 letters, 1024 draws: associative scan over one by one",
        ),
        Shown(
            "filters, one long sequence: associative scan over one by one",
            "structures",
            "filter, one long sequence: 16384 letters, 1 draws: associative scan over one by one",
        ),
        Shown(
            "trees: node by node over level by level",
            "structures",
            "belief propagation: 64 leaves, 1024 trees: node by node over level by level",
        ),
        *(
            shown
            for v, m in ((8, 4), (4, 2))
            for shown in (
                *(
                    Shown(
                        f"hierarchy, v = {v}, m = {m}: {peer} over sloc",
                        "structures",
                        f"{_TREE}, v = {v}, m = {m}: {peer} over sloc",
                    )
                    for peer in ("NumPy, gathers", "NumPy, symbol by symbol")
                ),
                Shown(
                    f"hierarchy, v = {v}, m = {m}: share of the floor",
                    "structures",
                    f"{_TREE}, v = {v}, m = {m}: {_READING}",
                ),
            )
        ),
        *_explained("masked chains", "masking; 4 Markov chains L = 64 q = 4"),
        *_explained("hidden chains under truncation", "truncation; 4 hidden Markov chains L = 64"),
        *_explained("Kalman discourse", "truncation; Kalman discourse 16 words"),
    ),
    "The way back": (
        *_explained("exact localization", "localization; 8 Gaussians d = 16 128 steps"),
        *_explained("Euler's reverse diffusion", "Euler reverse; 8 Gaussians d = 16 128 steps"),
        *_explained("forward–reverse kernel", "forward-reverse; 8 Gaussians d = 16"),
        Shown(
            "forward–reverse, labels: share of the floor",
            "samplers",
            "forward–reverse: labels, share of the floor of exps, normals and products",
        ),
        Shown(
            "forward–reverse, labels and samples: share of the floor",
            "samplers",
            "forward–reverse: labels and samples, share of the floor with their bytes",
        ),
        Shown(
            "reverse diffusion: share of the floor",
            "samplers",
            "reverse diffusion: share of the floor of normals written out, exps and products",
        ),
        *(
            Shown(f"clones: {peer} over sloc", "samplers", f"clones, 1048576 pairs, 16 times: {peer} over sloc")
            for peer in ("PyTorch, as written", "PyTorch, tuned")
        ),
        Shown(
            "reverse diffusion: sloc over a scan by hand", "samplers", "reverse diffusion: sloc over lax.scan by hand"
        ),
    ),
}


def read_rows(folder: Path) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Return the rows of each suite's committed result of the page's device, by name; of none where there is none."""
    found = {}
    for suite in sorted({shown.suite for rows in SECTIONS.values() for shown in rows}):
        file = folder / f"{suite}-{DEVICE}.json"
        rows = json.loads(file.read_text(encoding="utf-8"))["rows"] if file.exists() else []
        found[suite] = {row["name"]: row for row in rows}
    return found


def cell(row: Mapping[str, Any] | None, key: str) -> str:
    """Return a row's number in words: with its unit, its range, and what is expected of it."""
    if row is None:
        return MISSING
    if key != "value":
        # Other numbers of a row say their unit in their name.
        return number(row[key], "s" if key.endswith("seconds") else "")
    text = number(row["value"], row["unit"]) if row["value"] is not None else str(row["status"])
    if "min" in row and not row["name"].startswith("ceiling"):
        text += f" ({number(row['min'], row['unit'])} to {number(row['max'], row['unit'])})"
    if "expected" in row:
        text += f", {row['expected']:.3g} expected"
    if "target" in row:
        text += f", target {row['target']} {'met' if row['met'] else '**not met**'}"
    return text


def table(folder: Path = RESULTS) -> str:
    """Return the table in Markdown, one for each section of the page."""
    found, lines = read_rows(folder), []
    for section, rows in SECTIONS.items():
        lines += [f"| {section} | measured | suite |", "| --- | --- | --- |"]
        lines += [f"| {s.words} | {cell(found[s.suite].get(s.name), s.key)} | `{s.suite}` |" for s in rows]
        lines.append("")
    return "\n".join(lines)


def missing(folder: Path = RESULTS) -> list[str]:
    """Return the rows that the table shows and the results lack, ``suite: name``."""
    found = read_rows(folder)
    shown = [s for rows in SECTIONS.values() for s in rows]
    return list(dict.fromkeys(f"{s.suite}: {s.name}" for s in shown if s.name not in found[s.suite]))


def renewed(text: str, folder: Path = RESULTS) -> str:
    """Return a page with its table made anew.

    Raises:
        ValueError: the page lacks the marks.

    """
    before, mark, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (mark and end):
        raise ValueError(f"expected the marks {BEGIN} and {END}, in this order")
    return f"{before}{BEGIN}\n\n{table(folder)}\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table; return 1 where a row it shows is not there, or with ``--check`` where it is not current."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floors_table", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, say whether the table is current")
    given = parser.parse_args(arguments)
    old = FLOORS.read_text(encoding="utf-8")
    new = renewed(old)
    if given.check:
        if new != old:
            print(
                f"{FLOORS}: the table is not of the committed results: python -m benchmarks.floors_table",
                file=sys.stderr,
            )
        return int(new != old)
    aside = FLOORS.with_name(f".{FLOORS.name}.partial")
    aside.write_text(new, encoding="utf-8")
    aside.replace(FLOORS)
    absent = missing()
    for name in absent:
        print(f"{MISSING}: {name}", file=sys.stderr)
    return int(bool(absent))


if __name__ == "__main__":
    sys.exit(main())
