"""A server program that is not ours: ``transformers serve`` on loopback, with the model of short stories."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("tokenizers")

from sloc.lm import Sampling
from sloc.lm.answers import RegexTask
from sloc.lm.backends import Rule, ServerBackend, Transport, open_backend
from sloc.lm.experiments.cuts import Cuts
from sloc.lm.experiments.experiment import ExperimentSettings, run_experiment
from sloc.lm.experiments.questions import Question

NEEDED = ("transformers", "torch", "accelerate", "fastapi", "uvicorn", "openai")
MISSING = [n for n in NEEDED if importlib.util.find_spec(n) is None]
START = "from transformers.cli.transformers import app; app()"

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(bool(MISSING), reason=f"transformers serve needs {', '.join(MISSING)}, not installed"),
]


@pytest.fixture(scope="module")
def server(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Yield the address of a running server and the folder of its model."""
    folder = str(test_data / "models" / "stories260k")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tmp_path_factory.mktemp("home")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-c", START, "serve", folder, "--host", "127.0.0.1", "--port", str(port)]
    log = (home / "log").open("wb")
    process = subprocess.Popen([*command, "--device", "cpu"], env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            if process.poll() is not None:
                pytest.fail(f"the server ended: {(home / 'log').read_text()[-2000:]}")
            try:
                with urllib.request.urlopen(f"{url}/health", timeout=2):
                    break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail("the server did not come up in two minutes")
        yield url, folder
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def test_an_experiment_against_a_real_server(server: tuple[str, str], tmp_path: Path) -> None:
    url, folder = server
    transport = Transport(concurrency=2, retries=2, pause=0.2, timeout=120)
    backend = ServerBackend(url, folder, transport=transport, per_request=2)
    settings = ExperimentSettings(
        Cuts("fraction", (0.0, 0.5)), 4, Rule(24, Sampling(temperature=1.0)), stump=True, stump_tokens=4
    )
    question = Question("pet", "Once upon a time, there was a little", raw=True)
    task = RegexTask(r"\b(\w+)")
    first = run_experiment(backend, [question], task, settings, journal=str(tmp_path))
    assert not [p for p in first.problems if "no generation" in p or "no continuations" in p]
    (run,) = first.runs
    assert run.origin is not None
    assert len(run.origin.text.split()) > 3
    drawn = [c.text for cut in run.samples[None] for c in cut]  # pyright: ignore
    assert len(drawn) == 8
    assert all(drawn)
    sent = backend.client.sent
    again = run_experiment(backend, [question], task, settings, journal=str(tmp_path))
    assert again.runs == first.runs
    assert backend.client.sent == sent, "nothing is drawn twice"


def test_what_it_refuses_is_left_out_and_said(server: tuple[str, str]) -> None:
    url, folder = server
    backend = open_backend(f"{url}/v1#{folder}", tokenizer=folder, pause=0.2)
    assert isinstance(backend, ServerBackend)
    from sloc.lm.backends import Generation, Request

    (made,) = backend.generate([Request("q", "Once upon a time")], Rule(8, Sampling(temperature=1.0)), seed=0)
    assert isinstance(made, Generation)
    assert made.text
    assert any("token-id prompts" in n for n in backend.notes), "this server takes text alone"


def test_the_transformers_backend_continues_from_cuts(test_data: Path) -> None:
    from sloc.lm.backends import Generation, Request, TransformersBackend

    folder = str(test_data / "models" / "stories260k")
    backend = TransformersBackend(folder, dtype="float32")
    rule = Rule(12, Sampling(temperature=1.0))
    ask = Request("q", "Once upon a time, there was a little")
    (made,) = backend.generate([ask], rule, seed=0)
    assert isinstance(made, Generation)
    assert made.tokens is not None
    assert "".join(made.pieces) == made.text
    both = backend.fork(ask, made, [0, 6], 5, rule, seed=0)
    assert [len(b) for b in both if isinstance(b, list)] == [5, 5]
    assert backend.fork(ask, made, [6], 5, rule, seed=0) == both[1:]
    assert backend.fork(ask, made, [6], 5, rule, seed=1) != both[1:]
    assert all(c.length <= 6 for c in both[1])  # pyright: ignore
    # At temperature 0 it writes what the engine writes.
    engine = open_backend(folder)
    greedy = Rule(24, Sampling(temperature=0.0))
    (theirs,), (ours,) = (b.generate([ask], greedy, seed=0) for b in (backend, engine))
    assert theirs.text == ours.text  # pyright: ignore
    asked = backend.fork(ask, made, [3], 2, Rule(4, Sampling(temperature=1.0)), seed=0, ask=" The end")
    assert [c.length <= 4 for c in asked[0]] == [True, True]  # pyright: ignore
