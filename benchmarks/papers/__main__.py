"""``python -m benchmarks.papers``: compute every example, write the table and the pictures."""

from __future__ import annotations

import argparse
import csv
import importlib
import json
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from .pictures import picture
from .rows import Result, Row

EXAMPLES = (
    "gaussian_pair",
    "gaussian_mixture",
    "masked_pair",
    "critical_token",
    "coins",
    "discourse",
    "in_context",
    "interwoven",
    "all_or_nothing",
    "masking_orders",
    "speciation",
    "grammar",
)
HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def plain(value: Any) -> Any:
    """Return arrays and NumPy numbers as lists and numbers, rounded to ten digits."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        # No edge is no number: JSON has no NaN.
        return float(f"{float(value):.10g}") if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def record(found: Result) -> dict[str, Any]:
    """Return a result as what JSON can hold."""
    rows = [{**asdict(row), "ratio": row.ratio} for row in found.rows]
    return plain({"rows": rows, "fits": [asdict(fit) for fit in found.fits], "series": found.series})


def main() -> None:
    """Run what is asked for and keep the rest as it stands in the file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.papers", description=__doc__)
    parser.add_argument("examples", nargs="*", metavar="EXAMPLE", help=f"of {', '.join(EXAMPLES)}; default all")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of papers.json and papers.csv")
    parser.add_argument(
        "--pictures", type=Path, default=ROOT / "docs" / "_static" / "papers", help="folder of the PNGs"
    )
    parser.add_argument("--draw", action="store_true", help="draw again from papers.json, computing nothing")
    asked = parser.parse_args()
    unknown = set(asked.examples) - set(EXAMPLES)
    if unknown:
        parser.error(f"no such example: {', '.join(sorted(unknown))}; there are {', '.join(EXAMPLES)}")
    file = asked.out / "papers.json"
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    asked.out.mkdir(parents=True, exist_ok=True)
    asked.pictures.mkdir(parents=True, exist_ok=True)
    for name in asked.examples or EXAMPLES:
        module, began = importlib.import_module(f"{__package__}.{name}"), time.perf_counter()
        if not asked.draw:
            kept[name] = record(module.run())
        picture(asked.pictures / f"{name}.png", module.draw, kept[name]["series"])
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
        # After each, so that a run that is broken off keeps what it has.
        ordered = {key: kept[key] for key in EXAMPLES if key in kept}
        file.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    columns = [*(f.name for f in fields(Row)), "ratio"]
    with (asked.out / "papers.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for name in EXAMPLES if name in kept for row in kept[name]["rows"])


if __name__ == "__main__":
    main()
