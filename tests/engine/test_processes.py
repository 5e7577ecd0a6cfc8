"""Two processes of two devices each, talking over loopback: one answer, one writer, and no run on different calls."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
import pytest

from sloc.cli import main
from sloc.contracts import InvalidInput
from sloc.engine import start_processes
from sloc.engine.cluster import check_agreement, launch_index
from sloc.engine.plan import device_mesh

ROOT = Path(__file__).parents[2]

SCRIPT = """
import json, sys
from sloc.engine import start_processes, gather
assert start_processes()
import jax, numpy as np, sloc
assert jax.process_count() == 2 and jax.device_count() == 4, jax.devices()
population = sloc.populations.GaussianMixture([.2, .5, .3], [[0., 1.], [1., 0.], [-1., -1.]], .5)
ou, key = sloc.processes.OrnsteinUhlenbeck(), jax.random.key(3)
n = 11000 if DIFFER is False else 11000 + 2000 * jax.process_index()
plan = sloc.Plan(checkpoint=FOLDER, every=0) if FOLDER else None
curves = sloc.measure(key, ou, population, [.1, .5, 1.], {"tv": sloc.TV(0, [1, 2]), "labels": sloc.Labels(1)}, n=n,
                      method="monte-carlo", plan=plan)
labels, x = sloc.forward_reverse(key, ou, population, 0, [.2, .8], n=3000, plan=plan)
found = [np.asarray(getattr(c, f), np.float64).ravel().tolist() for c in curves.values() for f in ("value", "lower")]
found += [labels.ravel().tolist(), np.asarray(x, np.float64).ravel().tolist()]
print(json.dumps(found))
"""


def launch(code, processes=2, devices=2, **values):
    for name, value in values.items():
        code = code.replace(name, repr(value))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    running = []
    for i in range(processes):
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}",
            "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
            "JAX_NUM_PROCESSES": str(processes),
            "JAX_PROCESS_ID": str(i),
        }
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
    # All at once: a process that waits for its output to be read would keep the others waiting for it.
    with ThreadPoolExecutor(processes) as pool:
        said = list(pool.map(lambda child: child.communicate(timeout=400), running))
    return [(child.returncode, *text) for child, text in zip(running, said, strict=True)]


def last_line(out):
    # Before it stands what the transport says of itself.
    return out.splitlines()[-1]


def close(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(np.asarray(x, float), np.asarray(y, float), rtol=0, atol=2e-6)


@pytest.mark.nightly
def test_two_processes_of_two_devices_give_the_answer_of_one(tmp_path):
    single = SCRIPT.replace("assert start_processes()", "").replace(
        "assert jax.process_count() == 2 and jax.device_count() == 4, jax.devices()", ""
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    code = single.replace("DIFFER", "False").replace("FOLDER", "None")
    alone = json.loads(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True).stdout
    )
    ended = launch(SCRIPT, DIFFER=False, FOLDER=None)
    assert [code for code, *_ in ended] == [0, 0], ended
    for _, out, _ in ended:
        close(json.loads(out.splitlines()[-1]), alone)
    # With checkpoints, which the first process writes; then from them in one process.
    folder = str(tmp_path / "c")
    ended = launch(SCRIPT, DIFFER=False, FOLDER=folder)
    assert [code for code, *_ in ended] == [0, 0], ended
    for _, out, _ in ended:
        close(json.loads(out.splitlines()[-1]), alone)
    code = single.replace("DIFFER", "False").replace("FOLDER", repr(folder))
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True).stdout
    close(json.loads(again), alone)


HALF = """
import json, os
from sloc.engine import start_processes
assert start_processes() == JOINED
import jax, numpy as np, sloc
population = sloc.populations.GaussianMixture([.2, .5, .3], [[0., 1.], [1., 0.], [-1., -1.]], .5)
def half(done, total):
    print(done, total, flush=True)
    if CUT and 2 * done >= total:
        os._exit(9)
plan = sloc.Plan(checkpoint=FOLDER, every=0, chunk=0, progress=half) if FOLDER else None
curve = sloc.tv_curve(jax.random.key(3), sloc.processes.OrnsteinUhlenbeck(), population, [.1, .5, 1.], 0, [1, 2],
                      n=200_000, method="balanced", plan=plan)
print(json.dumps([np.asarray(getattr(curve, f), np.float64).tolist() for f in ("value", "lower", "upper")]))
"""


def in_one_process(code, **values):
    """Run a script alone, on one device; return what it printed, line by line."""
    for name, value in values.items():
        code = code.replace(name, repr(value))
    env = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    return done.returncode, done.stdout.splitlines()


@pytest.mark.nightly
@pytest.mark.parametrize("first", [2, 1])
def test_a_run_cut_off_in_the_middle_goes_on_with_other_processes(tmp_path, first):
    folder = str(tmp_path / "c")
    _, said = in_one_process(HALF, JOINED=False, CUT=False, FOLDER=None)
    alone = json.loads(said[-1])
    if first == 2:
        ended = launch(HALF, JOINED=True, CUT=True, FOLDER=folder)
        assert 9 in [code for code, *_ in ended], ended
        code, said = in_one_process(HALF, JOINED=False, CUT=False, FOLDER=folder)
        assert code == 0
    else:
        assert in_one_process(HALF, JOINED=False, CUT=True, FOLDER=folder)[0] == 9
        ended = launch(HALF, JOINED=True, CUT=False, FOLDER=folder)
        assert [code for code, *_ in ended] == [0, 0], ended
        said = ended[0][1].splitlines()
    # It goes on from the middle: what is done already is never done again, nor counted twice.
    done, total = next(map(int, line.split()) for line in said if line.replace(" ", "").isdecimal())
    assert total <= 2 * done < 2 * total, said
    close(json.loads(said[-1]), alone)


@pytest.mark.nightly
def test_processes_that_disagree_are_refused():
    ended = launch(SCRIPT, DIFFER=True, FOLDER=None)
    assert all(code != 0 for code, *_ in ended)
    assert all("expected the same call with the same arguments" in err for *_, err in ended), ended


@pytest.mark.nightly
def test_what_the_first_process_refuses_is_refused_by_all(tmp_path):
    folder = tmp_path / "c"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"format": 1, "stages": {"0" * 16: {"kernel": "another"}}}))
    ended = launch(SCRIPT, DIFFER=False, FOLDER=str(folder))
    assert all(code != 0 for code, *_ in ended)
    assert all("CheckpointError" in err for *_, err in ended), ended


@pytest.mark.nightly
def test_the_command_line_runs_unchanged_in_two_processes(tmp_path):
    code = (
        "import sys; sys.argv = ['sloc', 'window', 'gaussians', '--means', '3;-3', '--n', '4096', '--times', '8',"
        " '--process', 'ou', '--out', FOLDER, '--json']\nfrom sloc.cli import main\nmain()"
    )
    ended = launch(code, FOLDER=str(tmp_path / "out"))
    assert [code for code, *_ in ended] == [0, 0], ended
    assert json.loads(last_line(ended[0][1]))["command"] == "window"
    assert "command" not in ended[1][1]
    assert (tmp_path / "out" / "run.json").is_file()


@pytest.mark.parametrize(
    ("variables", "index"),
    [
        ({}, 0),
        ({"JAX_PROCESS_ID": "3"}, 3),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "2", "SLURM_STEP_NODELIST": "a"}, 2),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "2"}, 0),  # an allocation without a step
        ({"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": "1"}, 1),
        ({"KUBERNETES_SERVICE_HOST": "a", "JOB_COMPLETION_INDEX": "5"}, 5),
    ],
)
def test_the_environment_says_which_process_this_is(monkeypatch, variables, index):
    for name in (*os.environ,):
        if name.startswith(("JAX_PROCESS_ID", "SLURM_", "TPU_WORKER", "KUBERNETES_", "JOB_COMPLETION")):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert launch_index() == index


def test_a_command_that_does_not_spread_runs_in_the_first_process_only(monkeypatch, capsys):
    monkeypatch.setenv("JAX_PROCESS_ID", "1")
    monkeypatch.setattr(sys, "argv", ["sloc", "info"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    said = capsys.readouterr()
    assert not said.out
    assert said.err == "sloc info: runs in the first process of a launch alone; this is process 1\n"


def test_half_a_launch_is_refused(monkeypatch):
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "127.0.0.1:1")
    with pytest.raises(
        InvalidInput, match="JAX_NUM_PROCESSES, JAX_PROCESS_ID: expected beside JAX_COORDINATOR_ADDRESS"
    ):
        start_processes()
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    monkeypatch.setenv("JAX_PROCESS_ID", "0")
    with pytest.raises(InvalidInput, match="expected whole numbers"):
        start_processes()


def test_without_a_launch_there_is_one_process(monkeypatch):
    for name in ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    assert not start_processes()
    assert jax.process_count() == 1
    check_agreement("00" * 8, device_mesh(1))
