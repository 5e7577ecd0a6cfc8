"""Parts of self-contained pages: escaping, colours, curves as SVG that scale to a phone.

No script, nothing that is fetched; every text that a model or a file gave goes through ``safe``.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from sloc.report.style import LINES

COLOURS = LINES
"""Of answers; legible on white, told apart by colour-blind readers together with ``DASHES``."""
DASHES = ("", "7 4", "2 3", "9 3 2 3", "", "7 4", "2 3")
MOST_ANSWERS = len(COLOURS)
"""Answers that are drawn; the rest are one line, the last."""

STYLE = """
:root { color-scheme: light; } * { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff; margin: 0 auto; max-width: 78rem;
  padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.45rem; line-height: 1.25; margin: .4rem 0; } h2 { font-size: 1.1rem; margin: 1.6rem 0 .4rem; }
a { color: #0b5cad; } .quiet { color: #595959; } .pre { white-space: pre-wrap; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; margin: .3rem 0 1rem; }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; vertical-align: top; } th { border-bottom: 1px solid #999; }
th { font-weight: 600; white-space: nowrap; } td.n { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; } th.n { text-align: right; }
.asked { background: #f4f4f4; padding: .6rem .8rem; border-radius: .3rem; max-height: 16rem; overflow-y: auto; }
.chart { display: grid; grid-template-columns: 2.2rem 1fr; font-size: .8rem; color: #444; max-width: 52rem; }
.chart .y { display: flex; flex-direction: column; justify-content: space-between; text-align: right;
  padding-right: .35rem; line-height: 1; height: 15rem; } .chart svg { width: 100%; height: 15rem; display: block; }
.chart .name { grid-column: 1 / 3; padding-bottom: .3rem; }
.chart .x { grid-column: 2; display: flex; justify-content: space-between; padding-top: .2rem; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: .2rem 0 .6rem; padding-left: 2.2rem;
  font-size: .9rem; } .legend svg { width: 1.8rem; height: .7rem; margin-right: .35rem; }
.bar { display: inline-block; height: .7em; background: #d9480f; }
"""


def plain(text: str) -> str:
    """Return what a page can hold: control characters become a replacement mark, half a surrogate pair ``?``."""
    held = text.encode("utf-8", "replace").decode("utf-8")
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", "\ufffd", held)


def safe(text: Any) -> str:
    """Escape a text for HTML; what a page cannot hold becomes a mark (``plain``)."""
    return html.escape(plain(str(text)), quote=True)


def page(title: str, body: Sequence[str], style: str = "") -> str:
    """Return a whole page; the policy in its head forbids scripts and anything that would be fetched."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    head = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{safe(title)}</title><style>{STYLE}{style}</style></head><body>",
    ]
    return "".join([*head, *body, "</body></html>\n"])


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Return a table; cells are HTML already, those of the columns ``numbers`` stand to the right."""
    mark = [" class=n" if i in numbers else "" for i in range(len(head))]
    first = "".join(f"<th{m}>{safe(h)}</th>" for h, m in zip(head, mark, strict=True))
    rest = "".join(
        "<tr>" + "".join(f"<td{m}>{c}</td>" for c, m in zip(row, mark, strict=True)) + "</tr>" for row in rows
    )
    return f"<div class=scroll><table><tr>{first}</tr>{rest}</table></div>"


def chart(
    x: np.ndarray,
    full: float,
    names: Sequence[str],
    value: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    spans: Sequence[tuple[float, float]] = (),
    unit: str = "kept part",
) -> str:
    """Return curves with bands, and a legend.

    Args:
        x: ``[m]`` kept parts.
        full: the right end of the axis.
        names: ``A`` answers.
        value: ``[m, A]``.
        lower: ``[m, A]``.
        upper: ``[m, A]``.
        spans: shaded ranges.
        unit: what the axis counts.

    """

    def points(xs: np.ndarray, ys: np.ndarray) -> str:
        return " ".join(f"{1000 * a / full:.1f},{1000 * (1 - b):.1f}" for a, b in zip(xs, ys, strict=True))

    parts = [
        f'<rect x="{1000 * a / full:.1f}" y="0" width="{max(1000 * (b - a) / full, 3):.1f}" height="1000" '
        'fill="#ffd43b" fill-opacity=".45"/>'
        for a, b in spans
    ]
    parts += [f'<path d="M0 {y} H1000" class="grid"/>' for y in (0, 500, 1000)]
    line = 'fill="none" stroke-width="2" vector-effect="non-scaling-stroke"'
    # Bands of answers that are nowhere common hide the others.
    for i in np.flatnonzero(value.max(axis=0) >= 0.05):
        ring = points(np.concatenate([x, x[::-1]]), np.concatenate([upper[:, i], lower[::-1, i]]))
        parts.append(f'<polygon points="{ring}" fill="{COLOURS[i % len(COLOURS)]}" fill-opacity=".14"/>')
    for i in range(len(names)):
        dash = f'stroke-dasharray="{DASHES[i % len(DASHES)]}"' if DASHES[i % len(DASHES)] else ""
        stroke = f'stroke="{COLOURS[i % len(COLOURS)]}" {dash} {line}'
        parts.append(f'<polyline points="{points(x, value[:, i])}" {stroke}/>')
    keys = []
    for i, name in enumerate(names):
        dash = f'stroke-dasharray="{DASHES[i % len(DASHES)]}"' if DASHES[i % len(DASHES)] else ""
        swatch = f'<path d="M0 7 H36" stroke="{COLOURS[i % len(COLOURS)]}" stroke-width="3" {dash}/>'
        keys.append(f'<span><svg viewBox="0 0 36 14" aria-hidden="true">{swatch}</svg>{safe(shortened(name))}</span>')
    # Of tokens a whole number is written: a quarter of a token is not seen.
    places = [round(full * k / 4) if full >= 16 else full * k / 4 for k in range(5)]
    ticks = "".join(f"<span>{place:g}</span>" for place in places)
    said = f"shares of {len(names)} answers against the kept part"
    return (
        "<div class=chart><div class=name>share of the answers</div>"
        "<div class=y><span>1</span><span>½</span><span>0</span></div>"
        f'<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" role="img" aria-label="{said}">'
        "<style>.grid{stroke:#ccc;stroke-width:1;vector-effect:non-scaling-stroke}</style>"
        f"{''.join(parts)}</svg><div class=x>{ticks}</div><div class=x>{safe(unit)}</div></div>"
        f"<div class=legend>{''.join(keys)}</div>"
    )


def shortened(text: str, longest: int = 60) -> str:
    """Return a text on one line, cut with an ellipsis past so many characters."""
    one = " ".join(str(text).split()) or repr(text)
    return one if len(one) <= longest else one[: longest - 1] + "…"
