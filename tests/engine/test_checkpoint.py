"""Runs that are cut off: killed, damaged, without space, on other devices, of other runs and versions."""

from __future__ import annotations

import errno
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.engine import CheckpointError, CheckpointWarning
from sloc.engine.checkpoint import MANIFEST, Stage
from sloc.engine.collecting import collect
from sloc.engine.fingerprint import describe
from sloc.engine.streaming import stream, tally

ROOT = Path(__file__).parents[2]
KEY = jax.random.key(4)
ARGS = jnp.float32(1.5)


@dataclass(frozen=True)
class Uniforms:
    """Draws ``[2, 1024]``."""

    power: int = 1

    def setup(self, args):
        return args

    def __call__(self, state, key):
        return state * jax.random.uniform(key, (2, 1024)) ** self.power


class Cut(Exception):
    """The run is cut off here."""


def cut_after(blocks):
    def progress(done, total):
        if done >= blocks:
            raise Cut

    return progress


def plan(folder, progress=None, **more):
    return sloc.Plan(checkpoint=folder, every=0, chunk=0, progress=progress, **more)


def cut_run(folder, run, blocks=9, at=4, **more):
    with pytest.raises(Cut):
        run(Uniforms(), ARGS, KEY, blocks, plan=plan(folder, cut_after(at)), **more)


def same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("run", [stream, tally])
def test_a_run_cut_off_goes_on_to_the_same_bits(tmp_path, run):
    whole = run(Uniforms(), ARGS, KEY, 9)
    cut_run(tmp_path / "c", run)
    seen = []
    found = run(Uniforms(), ARGS, KEY, 9, plan=plan(tmp_path / "c", lambda *a: seen.append(a)))
    same(found, whole)
    # It went on: the first report is of the blocks that were there.
    assert seen[0] == (4, 9)
    # Once more: nothing is left to do, and nothing is counted twice.
    seen.clear()
    same(run(Uniforms(), ARGS, KEY, 9, plan=plan(tmp_path / "c", lambda *a: seen.append(a))), whole)
    assert seen == [(9, 9)]


def test_on_another_topology_it_goes_on_to_the_same_numbers(tmp_path):
    # Another block size deals the blocks left out anew, as other devices do.
    counts = tally(Uniforms(), ARGS, KEY, 11)
    cut_run(tmp_path / "c", tally, 11)
    moments, other = tally(Uniforms(), ARGS, KEY, 11, plan=plan(tmp_path / "c", block=3 * 1024))
    assert int(moments.count) == 11 * 1024
    np.testing.assert_allclose(moments.mean, counts[0].mean, rtol=0, atol=1e-6)
    # Integer counts are the same; a value's last digit may send it to the next edge.
    assert np.abs(other - counts[1]).sum() <= 4


def test_draws_and_values_are_kept(tmp_path):
    whole = collect(Uniforms(), ARGS, KEY, 5, n=5000, axis=1)
    with pytest.raises(Cut):
        collect(Uniforms(), ARGS, KEY, 5, n=5000, axis=1, plan=plan(tmp_path / "c", cut_after(2)))
    seen = []
    found = collect(Uniforms(), ARGS, KEY, 5, n=5000, axis=1, plan=plan(tmp_path / "c", lambda *a: seen.append(a)))
    np.testing.assert_array_equal(found, whole)
    assert seen[0][0] == 3
    kept = sloc.Plan(checkpoint=tmp_path / "d")
    values = collect(Uniforms(), ARGS, KEY, 3, plan=kept)
    np.testing.assert_array_equal(collect(Uniforms(), ARGS, KEY, 3, plan=kept), values)
    np.testing.assert_array_equal(values, whole[:, : 3 * 1024])


def newest(folder):
    (stage,) = [p for p in folder.iterdir() if p.is_dir()]
    return max((p for p in stage.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))


def damage_flip(state):
    """Change bytes of every file of the arrays, as a bad disk would."""
    for file in sorted((state / "arrays").rglob("*")):
        if file.is_file() and file.stat().st_size > 8:
            data = bytearray(file.read_bytes())
            for i in range(len(data) // 3, len(data), 7):
                data[i] ^= 0x5A
            file.write_bytes(bytes(data))


def damage_truncate(state):
    for file in sorted(state.rglob("*")):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def damage_remove(state):
    shutil.rmtree(state / "arrays")


@pytest.mark.parametrize("damage", [damage_flip, damage_truncate, damage_remove])
def test_a_damaged_state_is_passed_over_for_the_one_before(tmp_path, damage):
    folder = tmp_path / "c"
    whole = stream(Uniforms(), ARGS, KEY, 9)
    cut_run(folder, stream)
    damage(newest(folder))
    with pytest.warns(CheckpointWarning, match="passed over damaged states"):
        found = stream(Uniforms(), ARGS, KEY, 9, plan=plan(folder))
    same(found, whole)


@pytest.mark.filterwarnings("ignore::sloc.engine.CheckpointWarning")
def test_a_state_with_a_wrong_number_in_it_is_found_out(tmp_path):
    stage = Stage(tmp_path / "s", "s")
    stage.save(1, {"done": 1}, [np.zeros(3)])
    stage.save(2, {"done": 2}, [np.ones(3)])
    stage.close()
    note = next((tmp_path / "s" / "2" / "note").glob("metadata"))
    record = json.loads(note.read_text())
    record["digest"] = "0" * 64
    note.write_text(json.dumps(record))
    found = Stage(tmp_path / "s", "s").load()
    assert found is not None
    assert found[0] == {"done": 1}


def test_where_nothing_can_be_read_it_says_so(tmp_path):
    folder = tmp_path / "c"
    cut_run(folder, stream)
    state = newest(folder)
    for other in state.parent.iterdir():
        if other.name.isdigit():
            damage_remove(other)
    with pytest.raises(CheckpointError, match=r"no state of it can be read .*; remove the folder to start again"):
        stream(Uniforms(), ARGS, KEY, 9, plan=plan(folder))


def test_a_full_disk_is_a_warning_and_the_run_goes_on(tmp_path, monkeypatch):
    folder = tmp_path / "c"
    whole = stream(Uniforms(), ARGS, KEY, 9)
    cut_run(folder, stream)
    import orbax.checkpoint as ocp

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ocp.CheckpointManager, "save", full)
    with pytest.warns(CheckpointWarning, match=r"could not be written .*No space left.*goes on"):
        found = stream(Uniforms(), ARGS, KEY, 9, plan=plan(folder))
    same(found, whole)
    monkeypatch.undo()
    # The states before it stayed.
    seen = []
    same(stream(Uniforms(), ARGS, KEY, 9, plan=plan(folder, lambda *a: seen.append(a))), whole)
    assert seen[0] == (4, 9)


FULL = """
import jax, numpy as np, resource, sys, warnings
from tests.engine.test_checkpoint import ARGS, KEY, Uniforms, plan
from sloc.engine.streaming import stream
folder, most = sys.argv[1], int(sys.argv[2])
def progress(done, total):
    # From here on no file may grow beyond so many bytes: the system itself refuses the writes of the next states.
    if done == 4 and most:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    found = stream(Uniforms(), ARGS, KEY, 9, plan=plan(folder, progress))
for warning in caught:
    print(f"{warning.category.__name__}: {warning.message}")
print(*(np.asarray(leaf).tobytes().hex() for leaf in jax.tree.leaves(found)))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no limits of a process")
def test_a_system_that_refuses_to_write_is_a_warning_and_leaves_no_half_written_state(tmp_path):
    folder = tmp_path / "c"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", FULL, str(folder), "100"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    *said, numbers = done.stdout.splitlines()
    assert len(said) == 5, said
    for block, words in zip(range(5, 10), said, strict=True):
        assert words.startswith(f"CheckpointWarning: checkpoint {folder}")
        assert f"state {block} could not be written" in words
        assert "File too large" in words
        assert words.endswith("the run goes on, and the states before it are kept")
    whole = stream(Uniforms(), ARGS, KEY, 9)
    assert numbers.split() == [np.asarray(leaf).tobytes().hex() for leaf in jax.tree.leaves(whole)]
    # The states before it are there and whole, and none that was cut off passes for one: no warning, and on from 4.
    assert newest(folder).name == "4"
    seen = []
    same(stream(Uniforms(), ARGS, KEY, 9, plan=plan(folder, lambda *a: seen.append(a))), whole)
    assert seen[0] == (4, 9)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ((Uniforms(2), ARGS, KEY, 9), "differs in kernel;"),
        ((Uniforms(), jnp.float32(2.0), KEY, 9), "differs in arguments;"),
        ((Uniforms(), ARGS, jax.random.key(5), 9), "differs in key;"),
        ((Uniforms(), ARGS, KEY, 10), "differs in n;"),
    ],
)
def test_the_folder_of_another_run_is_refused_and_kept(tmp_path, other, words):
    folder = tmp_path / "c"
    cut_run(folder, stream)
    before = sorted(p.name for p in folder.iterdir())
    with pytest.raises(CheckpointError, match="it holds another one") as caught:
        stream(*other, plan=plan(folder))
    assert words in str(caught.value)
    assert sorted(p.name for p in folder.iterdir()) == before


def test_several_calls_of_one_run_share_a_folder(tmp_path):
    one = plan(tmp_path / "c")
    stream(Uniforms(), ARGS, KEY, 2, plan=one)
    stream(Uniforms(2), ARGS, KEY, 2, plan=one.reporting(None))
    again = plan(tmp_path / "c")
    same(stream(Uniforms(2), ARGS, KEY, 2, plan=again), stream(Uniforms(2), ARGS, KEY, 2))


def edited(folder, **changes):
    file = folder / MANIFEST
    record = json.loads(file.read_text())
    for prints in record["stages"].values():
        prints.update({k: v for k, v in changes.items() if k in prints})
    record.update({k: v for k, v in changes.items() if k in record})
    if "sloc" in changes:
        record["stages"] = {"0" * 16: next(iter(record["stages"].values()))}
    file.write_text(json.dumps(record))


def test_a_kill_before_the_first_manifest_is_in_place_does_no_harm(tmp_path):
    folder = tmp_path / "c"
    folder.mkdir()
    (folder / f".{MANIFEST}.partial-0123abcd").write_text('{"form')
    same(stream(Uniforms(), ARGS, KEY, 2, plan=plan(folder)), stream(Uniforms(), ARGS, KEY, 2))


def test_a_later_stage_that_cannot_be_noted_is_a_warning(tmp_path, monkeypatch):
    one = plan(tmp_path / "c")
    stream(Uniforms(), ARGS, KEY, 2, plan=one)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sloc.engine.checkpoint.Store._write", full)
    with pytest.warns(CheckpointWarning, match=r"manifest.json could not be written .*goes on"):
        found = stream(Uniforms(2), ARGS, KEY, 2, plan=one)
    same(found, stream(Uniforms(2), ARGS, KEY, 2))
    with pytest.raises(CheckpointError, match="could not be written"):
        stream(Uniforms(), ARGS, KEY, 2, plan=plan(tmp_path / "d"))


def made(factor):
    return lambda x: factor * x


class Plain:
    def __init__(self, size):
        self.size = size


def test_what_differs_is_described_differently():
    pairs = [
        (lambda x: x, lambda x: 2 * x),
        (made(1), made(2)),
        (Plain(1), Plain(2)),
        (np.arange(5000), np.arange(5000)[::-1]),
        (functools.partial(made, 1), functools.partial(made, 2)),
    ]
    for a, b in pairs:
        assert describe(a) != describe(b)
    assert describe(made(1)) == describe(made(1))
    assert describe(Plain(1)) == describe(Plain(1))


def test_another_versions_checkpoint_is_refused(tmp_path):
    folder = tmp_path / "c"
    cut_run(folder, stream)
    edited(folder, sloc="0.0.1")
    with pytest.raises(CheckpointError, match=r"of these versions \(sloc 0.0.1 there, .* here\)"):
        stream(Uniforms(), ARGS, KEY, 9, plan=plan(folder))
    edited(folder, sloc=sloc.__version__, jax="0.4.1")
    with pytest.raises(CheckpointError, match=rf"of these versions \(jax 0.4.1 there, {jax.__version__} here\)"):
        stream(Uniforms(), ARGS, KEY, 9, plan=plan(folder))
    edited(folder, format=7)
    with pytest.raises(CheckpointError, match="written in format 7, this version reads 1"):
        stream(Uniforms(), ARGS, KEY, 9, plan=plan(folder))
    (folder / MANIFEST).write_text('{"format": 1')
    with pytest.raises(CheckpointError, match=r"manifest.json cannot be read"):
        stream(Uniforms(), ARGS, KEY, 9, plan=plan(folder))


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(CheckpointError, match="other files"):
        stream(Uniforms(), ARGS, KEY, 2, plan=plan(tmp_path))
    with pytest.raises(sloc.InvalidInput, match="a folder; this is a file"):
        plan(tmp_path / "letter.txt")


MIXTURE = sloc.populations.GaussianMixture([0.5, 0.5], [[3.0], [-3.0]])


@pytest.mark.nightly
def test_windows_trees_and_experiments_go_on(tmp_path):
    """Everything public that runs long: each stage is found again, and no draw is made twice."""
    calls = {
        "window": lambda p: sloc.critical_window(
            KEY,
            sloc.processes.OrnsteinUhlenbeck(),
            MIXTURE,
            0,
            [0, 1],
            epsilon=0.2,
            n=4096,
            method="monte-carlo",
            plan=p,
        ),
        "certified": lambda p: sloc.critical_window(
            KEY,
            sloc.processes.OrnsteinUhlenbeck(),
            MIXTURE,
            0,
            [0, 1],
            epsilon=0.2,
            method="monte-carlo",
            certify=True,
            budget=40_000,
            plan=p,
        ),
        "tree": lambda p: sloc.mixture_tree(
            KEY, sloc.processes.OrnsteinUhlenbeck(), MIXTURE, epsilon=0.2, n=4096, method="monte-carlo", plan=p
        ),
        "labels": lambda p: sloc.forward_reverse(
            KEY, sloc.processes.OrnsteinUhlenbeck(), MIXTURE, 0, [0.5, 1.0], n=3000, plan=p
        ),
    }
    for name, call in calls.items():
        plain, folder = call(None), tmp_path / name
        assert repr(call(plan(folder))) == repr(plain)
        stamps = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
        assert stamps
        assert repr(call(plan(folder))) == repr(plain)
        assert {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()} == stamps


CHILD = """
import json, sys, jax, numpy as np, sloc
population = sloc.populations.GaussianMixture([.2, .5, .3], [[0., 1.], [1., 0.], [-1., -1.]], .5)
plan = sloc.Plan(checkpoint=sys.argv[1], every=0.0, chunk=0.02) if sys.argv[1] != "-" else None
curves = sloc.measure(jax.random.key(3), sloc.processes.OrnsteinUhlenbeck(), population, np.linspace(.1, 1., 16),
                      {"tv": sloc.TV(0, [1, 2]), "labels": sloc.Labels(1)}, n=3_000_000,
                      method="monte-carlo", plan=plan)
print(json.dumps([np.asarray(getattr(c, f), np.float64).tobytes().hex() for c in curves.values()
                  for f in ("value", "stderr", "lower", "upper")]))
"""


@pytest.mark.nightly
def test_twenty_kills_at_random_moments_change_no_bit(tmp_path):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", CHILD]
    began = time.monotonic()
    whole = subprocess.run([*command, "-"], capture_output=True, text=True, env=env, check=True).stdout
    length = time.monotonic() - began
    folder, rng, kills = tmp_path / "c", np.random.default_rng(0), 0
    for _ in range(60):
        if kills == 20:
            break
        with subprocess.Popen(
            [*command, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
        ) as child:
            try:
                said, errors = child.communicate(timeout=float(rng.uniform(0.4, 1.0)) * length)
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
                kills += 1
                continue
        # It ended before it was killed: well, or the test fails.  Begin again, so that all twenty kills hit a run.
        assert child.returncode == 0, errors
        assert said.decode() == whole
        shutil.rmtree(folder)
    assert kills == 20
    ended = subprocess.run([*command, str(folder)], capture_output=True, text=True, env=env, check=True)
    assert ended.stdout == whole


LONG = """
import hashlib, sys, jax, numpy as np, sloc
folder, name = sys.argv[1:]
key, ou = jax.random.key(3), sloc.processes.OrnsteinUhlenbeck()
population = sloc.populations.GaussianMixture([.2, .5, .3], [[0., 1.], [1., 0.], [-4., -4.]], .05)
plan = sloc.Plan(checkpoint=folder, every=0.0, chunk=0.0,
                 progress=lambda done, total: print("block", done, total, flush=True))
calls = {
    "window": lambda: sloc.critical_window(key, ou, population, 0, [0, 1], epsilon=.2, certify=True, budget=60_000,
                                           plan=plan),
    "forward-reverse": lambda: sloc.forward_reverse(key, ou, population, [0, 1], np.linspace(.1, 2., 16), n=400_000,
                                                    plan=plan),
    "tree": lambda: sloc.mixture_tree(key, ou, population, epsilon=.2, n=1 << 18, method="monte-carlo", plan=plan),
}
found = calls[name]()
# Whole: numbers of a window or a tree are written to the last digit, arrays of draws as a digest of their bytes.
words = [hashlib.sha256(np.asarray(a).tobytes()).hexdigest() for a in found] if isinstance(found, tuple) else [
    repr(jax.tree.map(lambda a: np.asarray(a).tolist(), vars(found)))]
print("found", *words)
"""


def marks(folder, said):
    """What a run has behind it: reports of blocks, and stages that are noted (a certified search reports no blocks)."""
    manifest = folder / MANIFEST
    stages = json.loads(manifest.read_text())["stages"] if manifest.exists() else {}
    return said.read_text().count("block "), len(stages)


def killed_at(folder, said, name, enough):
    """Run the long call, its words to a file; kill -9 it when it has ``enough`` behind it, or let it end."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", LONG, str(folder), name]
    with (
        said.open("w") as out,
        subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, env=env) as child,
    ):
        while child.poll() is None and not (enough is not None and sum(marks(folder, said)) >= enough):
            time.sleep(0.004)
        if enough is not None:
            child.send_signal(signal.SIGKILL)
    assert child.returncode == (0 if enough is None else -signal.SIGKILL)
    return marks(folder, said)


def stamps(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST}


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["window", "forward-reverse", "tree"])
def test_other_runs_that_are_killed_in_the_middle_go_on_to_the_same_bits(tmp_path, name):
    whole, said, folder = tmp_path / "whole", tmp_path / "said", tmp_path / "c"
    blocks, stages = killed_at(tmp_path / "other", whole, name, None)
    assert blocks + stages >= 8
    done, noted = killed_at(folder, said, name, (blocks + stages) // 2)
    assert (blocks + stages) // 2 <= done + noted < blocks + stages
    kept = stamps(folder)
    again, all_noted = killed_at(folder, said, name, None)
    assert said.read_text().splitlines()[-1] == whole.read_text().splitlines()[-1]
    assert whole.read_text().splitlines()[-1].startswith("found ")
    # Goes on from the middle: what was kept is passed over.  The last blocks before the kill may not have been, and a
    # stage that was ended is reported once.
    assert all_noted == stages
    if blocks:
        assert again <= blocks - done + noted + 3
    else:
        # But for the stage that was being written.
        assert len(kept.items() & stamps(folder).items()) >= len(kept) * (noted - 1) / noted
