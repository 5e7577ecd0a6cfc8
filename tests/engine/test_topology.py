"""One answer on any number of devices, in either precision, in memory that does not grow: in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]

MEASURE = """
import json, sys
import jax, numpy as np
import sloc
from sloc.populations import Empirical, GaussianMixture
from sloc.processes import Masking, OrnsteinUhlenbeck
population = GaussianMixture([.2, .5, .3], [[0., 1.], [1., 0.], [-1., -1.]], .5)
letters = np.random.default_rng(0).integers(0, 3, (50, 7))
atoms = Empirical(letters, np.repeat([0, 1, 2], [11, 16, 23]))
floating = Empirical(letters.astype(np.float32), np.repeat([0, 1, 2], [11, 16, 23]))
def answers(process, population, n, devices):
    curves = sloc.measure(jax.random.key(3), process, population, [.1, .5, .9],
                          {"tv": sloc.TV(0, [1, 2]), "labels": sloc.Labels(1), "clones": sloc.Clones()}, n=n,
                          plan=sloc.Plan(devices=devices), method="monte-carlo")
    found = [np.asarray(getattr(c, f), np.float64) for c in curves.values() for f in ("value", "stderr")]
    return [f.ravel().tolist() for f in found]
def values(n, devices):
    curves = sloc.measure(jax.random.key(3), OrnsteinUhlenbeck(), population, [.1, .5, 1.],
                          {"tv": sloc.TV(0, [1, 2]), "information": sloc.Information()}, n=n,
                          plan=sloc.Plan(devices=devices), method="monte-carlo")
    return [np.asarray(getattr(c, f), np.float64).tolist() for c in curves.values() for f in ("value", "stderr")]
"""


def run(code, **environment):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", **environment}
    done = subprocess.run([sys.executable, "-c", MEASURE + code], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_devices_agree_with_strata_that_divide_nothing():
    # K = 3: 341 rounds a block; 11 blocks on 1, 2 and 8 devices.
    found = run(
        "print(json.dumps([values(11000, d) for d in (1, 2, 8)]))",
        XLA_FLAGS=os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8",
    )
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=0, atol=1e-6)


@pytest.mark.slow
def test_devices_agree_on_atoms_and_masks():
    found = run(
        "pairs = ((OrnsteinUhlenbeck(), floating), (Masking(), atoms))\n"
        "print(json.dumps([sum((answers(*pair, 5000, d) for pair in pairs), []) for d in (1, 2, 8)]))",
        XLA_FLAGS=os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8",
    )
    for other in found[1:]:
        for a, b in zip(other, found[0], strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_single_precision_agrees_with_double():
    single = run("print(json.dumps(values(1 << 18, 1)))")
    double = run("print(json.dumps(values(1 << 18, 1)))", JAX_ENABLE_X64="1")
    # Other bits, other draws: the values agree within noise (6.5 sigma, 6 numbers: 5e-10).
    for i in (0, 2):
        spread = np.hypot(single[i + 1], double[i + 1])
        assert np.all(np.abs(np.subtract(single[i], double[i])) < 6.5 * spread)


HIGH_WATER = """
times = np.linspace(.05, .95, 64)
pair = {"gaussians": (OrnsteinUhlenbeck(), population), "atoms": (Masking(), atoms)}["PAIR"]
curves = sloc.measure(jax.random.key(3), *pair, times, {"tv": sloc.TV(0, [1, 2]), "information": sloc.Information()},
                      n=N, plan=sloc.Plan(devices=1), method="monte-carlo")
assert curves["tv"].n >= N
# Not ru_maxrss: on Linux a child inherits it from the process that started it.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not tell a process's peak memory")
@pytest.mark.parametrize("pair", ["gaussians", "atoms"])
def test_memory_does_not_grow_with_n(pair):
    # Values of all draws and times would take 256 MiB of float32, more than half of what a process holds.
    code = HIGH_WATER.replace("PAIR", pair)
    few, many = (run(code.replace("N", str(n))) for n in (1 << 14, 1 << 20))
    assert abs(many - few) < 0.05 * few
