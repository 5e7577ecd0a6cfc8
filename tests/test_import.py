"""What importing the package costs and leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HEAVY = ["scipy", "pandas", "xarray", "matplotlib", "flax", "optax", "numpyro", "typer", "rich", "sklearn", "h5py"]
CODE = f"""
import json, sys, time
import jax, numpy
settings = dict(jax.config.values)
before = set(sys.modules)
began = time.process_time()
import sloc
took = time.process_time() - began
new = sorted(m for m in set(sys.modules) - before if m.split(".")[0] in {HEAVY!r})
changed = sorted(k for k, v in jax.config.values.items() if settings.get(k) != v)
print(json.dumps([took, new, changed]))
"""


def test_import_is_light_and_changes_no_setting():
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE], capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    took, heavy, changed = json.loads(done.stdout)
    assert heavy == []
    assert changed == []
    # Processor seconds, so that a busy machine does not fail it.
    assert took < 1.0
