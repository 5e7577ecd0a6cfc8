"""Draws the picture of the house: one box a folder of ``sloc``, highest first, each importing only those below it.

``python docs/_ext/house_picture.py`` writes ``docs/_static/house.svg``; a test holds the committed picture against this
code and the rooms against the import contract in ``pyproject.toml``.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path

PICTURE = Path(__file__).resolve().parents[1] / "_static" / "house.svg"

WIDTH = 880
MARGIN = 24
ROW = 58
GAP = 12
RAIL = 204

# Colours of Okabe and Ito, paled for fills.
ASK, READ, ESTIMATE, WORLD, GROUND = "#fdf1d8", "#d9ecf8", "#d5eee6", "#f7e2ee", "#e8e8ec"

FLOORS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("what a person types", ASK, (("cli", "options, exit codes"),)),
    (
        "what a person reads",
        ASK,
        (("testing", "conformance checks"), ("report", "tables, pictures, pages, run folders")),
    ),
    (
        "models that are learned",
        READ,
        (("bayes", "posteriors over windows"), ("lm", "language models"), ("nn", "networks, training")),
    ),
    ("answers", ESTIMATE, (("windows", "curves to edges, certificates, trees, recorded answers"),)),
    ("numbers", ESTIMATE, (("divergence", "TV and friends: estimators and intervals"), ("samplers", "the way back"))),
    ("the model", WORLD, (("populations", "what X is: log p(y) of each class"), ("processes", "how X is degraded"))),
    (
        "what all carry",
        GROUND,
        (("results", "Estimate, Curve, Window"), ("engine", "keys, devices, checkpoints")),
    ),
    ("what all agree on", GROUND, (("contracts", "abstract classes, families, refusals"),)),
)
"""Floors from the roof down: what the floor is for, its colour, and its rooms from the highest layer to the lowest."""

_STYLE = """
.card { fill: #ffffff; stroke: #d0d0d6 } .room { stroke: #3a3a44; stroke-width: 1.1 }
text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #1e1e26 }
.name { font: 600 16px ui-monospace, "SFMono-Regular", Menlo, Consolas, monospace } .job { font-size: 12.5px }
.floor { font-size: 13px; fill: #55555f } .arrow { stroke: #55555f; stroke-width: 1.6; fill: none }
.head { fill: #55555f } .note { font-size: 12.5px; fill: #55555f }
"""


def rooms() -> list[str]:
    """Return the rooms, highest first."""
    return [name for _, _, row in FLOORS for name, _ in row]


def _text(x: float, y: float, css: str, words: str, anchor: str = "middle") -> str:
    return f'<text class="{css}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{html.escape(words)}</text>'


def _lines() -> Iterator[str]:
    height = 2 * MARGIN + 28 + len(FLOORS) * (ROW + GAP)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-label="The folders of sloc, floor by floor; each imports only those below it.">'
    )
    yield f"<style>{_STYLE}</style>"
    yield f'<rect class="card" x="1" y="1" width="{WIDTH - 2}" height="{height - 2}" rx="14"/>'
    left, right = MARGIN + RAIL, WIDTH - MARGIN
    top = MARGIN
    for words, colour, row in FLOORS:
        yield _text(left - 52, top + ROW / 2 + 5, "floor", words, "end")
        # A room is as wide as what is said of it.
        lengths = [max(len(job) * 0.62, len(name)) + 4 for name, job in row]
        room = right - left - GAP * (len(row) - 1)
        x = float(left)
        for (name, job), length in zip(row, lengths, strict=True):
            width = room * length / sum(lengths)
            yield (
                f'<rect class="room" x="{x:.1f}" y="{top}" width="{width:.1f}" height="{ROW}" rx="8" fill="{colour}"/>'
            )
            yield _text(round(x + width / 2, 1), top + 25, "name", name)
            yield _text(round(x + width / 2, 1), top + 45, "job", job)
            x += width + GAP
        top += ROW + GAP
    rail, bottom = left - 26, top - GAP
    yield f'<path class="arrow" d="M{rail} {MARGIN} V{bottom - 10}"/>'
    yield f'<path class="head" d="M{rail - 6} {bottom - 12} h12 l-6 12 z"/>'
    yield _text(
        WIDTH / 2,
        top + 26,
        "note",
        "The arrow is an import: a room may use the rooms below it and those to its right; "
        "populations, though, know no process.",
    )
    yield "</svg>"


def picture() -> str:
    """Return the picture as SVG."""
    return "\n".join(_lines()) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(picture(), "utf-8")
