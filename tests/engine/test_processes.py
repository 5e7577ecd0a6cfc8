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
from sloc.engine import start_processes
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
print(json.dumps({"curves": found, "labels": labels.ravel().tolist(), "samples": np.asarray(x, np.float64).tolist()}))
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
    """Curves agree to 1e-6."""
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(np.asarray(x, float), np.asarray(y, float), rtol=0, atol=1e-6)


def same_answer(a, b):
    """Curves agree to 1e-6, labels exactly, samples to 1e-6 of their size where that is above 1: they are float32."""
    close(a["curves"], b["curves"])
    assert a["labels"] == b["labels"]
    np.testing.assert_allclose(a["samples"], b["samples"], rtol=1e-6, atol=1e-6)


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
        same_answer(json.loads(out.splitlines()[-1]), alone)
    # With checkpoints, which the first process writes; then from them in one process.
    folder = str(tmp_path / "c")
    ended = launch(SCRIPT, DIFFER=False, FOLDER=folder)
    assert [code for code, *_ in ended] == [0, 0], ended
    for _, out, _ in ended:
        same_answer(json.loads(out.splitlines()[-1]), alone)
    code = single.replace("DIFFER", "False").replace("FOLDER", repr(folder))
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True).stdout
    same_answer(json.loads(again), alone)


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


def in_one_process(code, devices=1, **values):
    """Run a script alone, on so many forced devices; return its exit status and what it printed, line by line."""
    for name, value in values.items():
        code = code.replace(name, repr(value))
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    return done.returncode, done.stdout.splitlines()


def goes_on_from_the_middle(said):
    """What is done already is never done again, nor counted twice."""
    done, total = next(map(int, line.split()) for line in said if line.replace(" ", "").isdecimal())
    assert total <= 2 * done < 2 * total, said


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
    goes_on_from_the_middle(said)
    close(json.loads(said[-1]), alone)


@pytest.mark.nightly
@pytest.mark.parametrize(("first", "then"), [(1, 8), (8, 1)])
def test_a_run_cut_off_in_the_middle_goes_on_on_other_devices(tmp_path, first, then):
    folder = str(tmp_path / "c")
    alone = json.loads(in_one_process(HALF, JOINED=False, CUT=False, FOLDER=None)[1][-1])
    assert in_one_process(HALF, first, JOINED=False, CUT=True, FOLDER=folder)[0] == 9
    code, said = in_one_process(HALF, then, JOINED=False, CUT=False, FOLDER=folder)
    assert code == 0
    goes_on_from_the_middle(said)
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


SLURM = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "2", "SLURM_LOCALID": "0"}
STEP = SLURM | {"SLURM_STEP_NODELIST": "a"}
MPI = {"OMPI_MCA_orte_hnp_uri": "1;tcp://10.0.0.1:1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}
SLICES = {"MEGASCALE_NUM_SLICES": "2", "MEGASCALE_SLICE_ID": "1"}
JOB = {"KUBERNETES_SERVICE_HOST": "a", "JOB_COMPLETION_INDEX": "5"}
LAUNCHERS = (
    "JAX_",
    "SLOC_DISTRIBUTED",
    "SLURM_",
    "OMPI_",
    "TPU_",
    "MEGASCALE_",
    "KUBERNETES_",
    "JOB_COMPLETION",
    "CUDA_VIS",
)


@pytest.fixture
def told(monkeypatch):
    """Set the environment of a launch, and nothing of another; return the calls that would have joined it."""
    joined = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *args, **more: joined.append((args, more)))

    def tell(variables):
        for name in (*os.environ,):
            if name.startswith(LAUNCHERS) and name != "JAX_PLATFORMS":
                monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        joined.clear()
        return joined

    return tell


@pytest.mark.parametrize(
    ("variables", "index"),
    [
        (MPI, 1),
        (STEP, 2),
        ({"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": "1"}, 1),
        ({"TPU_PROCESS_ADDRESSES": "a:1,b:1", "TPU_WORKER_ID": "1"}, 1),
        ({"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": "1"} | SLICES, 3),
        ({"TPU_WORKER_HOSTNAMES": "a", "TPU_WORKER_ID": "0"} | SLICES, 1),
        (JOB, 5),
        ({"SLOC_DISTRIBUTED": "1"}, None),  # Cloud TPU VMs: their metadata tells, which JAX asks for
        ({"SLOC_DISTRIBUTED": "1"} | JOB, 5),
    ],
)
def test_a_launch_that_jax_detects_is_joined(told, variables, index):
    joined = told(variables)
    assert launch_index() == index
    start_processes()
    # Nothing is given: the coordinator, the number of processes and this one's place are found by JAX.
    assert joined == [((), {"local_device_ids": None})]


@pytest.mark.parametrize(
    "variables",
    [
        {},
        SLURM,  # an allocation without a step
        STEP | {"SLURM_NTASKS": "1"},
        MPI | {"OMPI_COMM_WORLD_SIZE": "1"},
        {"TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"},
        {"KUBERNETES_SERVICE_HOST": "a"},
        {"SLOC_DISTRIBUTED": "0"} | JOB,
        {"SLOC_DISTRIBUTED": "0"} | STEP,
        {"SLOC_DISTRIBUTED": "0", "JAX_COORDINATOR_ADDRESS": "a:1", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1"},
    ],
)
def test_one_process_joins_nothing(told, variables):
    joined = told(variables)
    assert launch_index() == 0
    assert not start_processes()
    assert not joined


@pytest.mark.parametrize(
    ("variables", "devices"),
    [
        ({"SLURM_GPUS_PER_TASK": "1", "CUDA_VISIBLE_DEVICES": "3"}, [0]),
        ({"SLURM_GPUS_PER_TASK": "h100:2", "CUDA_VISIBLE_DEVICES": "0,1"}, [0, 1]),
        ({"SLURM_GPUS_PER_TASK": "1", "CUDA_VISIBLE_DEVICES": "0,1,2,3"}, None),  # not bound: JAX chooses
        ({"CUDA_VISIBLE_DEVICES": "0"}, None),
        ({"SLURM_GPUS_PER_TASK": "1", "CUDA_VISIBLE_DEVICES": "3", "JAX_LOCAL_DEVICE_IDS": "5"}, None),
    ],
)
def test_a_slurm_task_that_sees_its_own_devices_takes_them(told, variables, devices):
    joined = told(STEP | {"SLURM_LOCALID": "1"} | variables)
    start_processes()
    assert joined == [((), {"local_device_ids": devices})]


def test_by_hand_the_three_variables_are_passed_on(told):
    joined = told({"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1"} | STEP)
    assert launch_index() == 1
    assert start_processes()
    assert joined == [(("a:1", 2, 1), {})]


def test_what_jax_does_not_find_is_said(told, monkeypatch):
    told({"SLOC_DISTRIBUTED": "1"})

    def initialize(**more):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with pytest.raises(
        InvalidInput, match=r"SLOC_DISTRIBUTED = '1': expected .* detects \(coordinator_address.*by hand"
    ):
        start_processes()
    told({"SLOC_DISTRIBUTED": "yes"})
    for call in (start_processes, launch_index):
        with pytest.raises(InvalidInput, match="SLOC_DISTRIBUTED = 'yes': expected 1"):
            call()


def test_the_command_joins_by_itself_and_alone_where_its_work_does_not_spread(told, monkeypatch, capsys):
    joined = told({"SLOC_DISTRIBUTED": "1"})
    monkeypatch.setattr(sys, "argv", ["sloc", "replay", "no-such-folder"])
    with pytest.raises(SystemExit):
        main()
    assert len(joined) == 1
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["sloc", "info"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "SLOC_DISTRIBUTED" in capsys.readouterr().err
    assert len(joined) == 1


def test_a_command_that_does_not_spread_runs_in_the_first_process_only(monkeypatch, capsys):
    monkeypatch.setenv("JAX_PROCESS_ID", "1")
    monkeypatch.setattr(sys, "argv", ["sloc", "info"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    said = capsys.readouterr()
    assert not said.out
    assert said.err == "sloc info: runs in the first process of a launch alone; this is process 1\n"


def test_half_a_launch_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "127.0.0.1:1")
    monkeypatch.setattr(sys, "argv", ["sloc", "window", "digits"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("sloc: JAX_NUM_PROCESSES, JAX_PROCESS_ID: expected beside")
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
