"""The run that the README shows, with fewer draws and levels: what the command line leaves behind, and its numbers.

False-alarm rate: the numbers are compared within more than seven standard errors at 3,060 draws, four comparisons:
1e-11.  The intervals of the half levels hold at 95 % and their seed is fixed; they are asked about nothing but size.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

ROOT = Path(__file__).parents[2]
WORDS = {"three": 3, "four": 4}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """Run the command in a process of its own: its folder, its record and what it said on standard error."""
    out = tmp_path_factory.mktemp("digits") / "out"
    options = ["--process", "ou,masking", "--n", "2048", "--times", "12", "--json", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "sloc.cli", "window", "digits", *options],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "MPLBACKEND": "Agg"},
    )
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout), done.stderr


@pytest.mark.slow
def test_the_folder_is_complete(digits: tuple[Path, dict[str, Any], str]) -> None:
    out, record, said = digits
    files = ["curves.nc", "run.json", "tree.csv", "tree.nwk", "windows.csv", "windows.png"]
    assert sorted(p.name for p in out.iterdir()) == files
    assert record["output"] == str(out)
    assert re.search(r"about \d+ s|less than a second", " ".join(said.split()))
    frame = pd.read_csv(out / "windows.csv")
    for process in ("ou", "masking"):
        found = record["results"]["processes"][process]
        assert sorted(w["a"] for w in found["windows"]) == list("0123456789")
        assert len({frozenset((p["a"], p["b"])) for p in found["pairs"]}) == len(found["pairs"]) == 45
        assert (frame["process"] == process).sum() == 55
    tree = pd.read_csv(out / "tree.csv")
    assert set(tree["process"]) == {"ou", "masking"}


@pytest.mark.slow
def test_numbers_in_the_documents(digits: tuple[Path, dict[str, Any], str]) -> None:
    out, record, _ = digits
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    said = re.search(
        r"half of the class information is there at t = ([\d.]+); under masking it takes no more than (\w+) or "
        r"(\w+) of (\d+) pixels",
        readme,
    )
    assert said is not None
    t, few, some, pixels = float(said[1]), WORDS[said[2]], WORDS[said[3]], int(said[4])
    quickstart = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    images = re.search(r"scikit-learn's ([\d,]+) handwritten digits", quickstart)
    assert images is not None
    assert record["results"]["source"].startswith(f"{images[1]} handwritten digits")

    halves = []
    with xr.open_dataset(out / "curves.nc", engine="h5netcdf") as curves:
        for process in ("ou", "masking"):
            found = record["results"]["processes"][process]
            half, curve = found["half_information"], curves.sel(process=process)
            assert half["status"] == "resolved"
            assert half["interval"][0] <= half["t"] <= half["interval"][1]
            level, bits = curve["time"].values, curve["information"].values
            halves.append(float(np.interp(-found["entropy_bits"] / 2, -bits, level)))
            assert half["interval"][0] <= halves[-1] <= half["interval"][1]
    # Between two of twelve levels the curve is not straight: 0.01 of this.
    assert abs(halves[0] - t) < 0.06
    interval = record["results"]["processes"]["ou"]["half_information"]["interval"]
    assert interval[0] <= t <= interval[1]
    assert few < pixels * (1 - halves[1]) < some
