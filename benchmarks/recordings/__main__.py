"""``python -m benchmarks.recordings FOLDER``: reproduce what was published of the recordings, and write it down.

``FOLDER`` holds the published numbers (``cot_windows_llama31_8b.csv`` and the others); only summaries are kept, in
``benchmarks/recordings/recordings.json``, which the page of the documentation shows.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.recordings import blanks, chain_of_thought, curves

HERE = Path(__file__).parent


def everything(folder: Path) -> dict[str, Any]:
    """Compute all tables."""
    published = chain_of_thought.read_curves(folder)
    counts, tests = chain_of_thought.window_counts(published)
    return {
        "windows": counts,
        "table": chain_of_thought.table_rows(published, folder),
        "printed": chain_of_thought.printed_rows(folder),
        "computed": chain_of_thought.computed_rows(published),
        "posterior": chain_of_thought.posterior_rows(published, tests),
        "blanks": blanks.blank_rows(folder),
        "consistency": blanks.consistency(folder),
        "curves": curves.curves(folder),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="of the published numbers")
    parser.add_argument("--json", type=Path, default=HERE / "recordings.json")
    options = parser.parse_args()
    text = json.dumps(everything(options.folder), indent=1, allow_nan=False)
    aside = options.json.with_name(f".{options.json.name}.partial")
    aside.write_text(text + "\n", encoding="utf-8")
    aside.replace(options.json)
    print(text)


if __name__ == "__main__":
    main()
