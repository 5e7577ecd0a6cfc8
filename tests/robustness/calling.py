"""Calls the command line in this process, and says how an answer is no refusal as the house makes them."""

from __future__ import annotations

import contextlib
import functools
import io
import signal
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.robustness.options import COMMAND
from tests.robustness.sweep import Hangs, within

SECONDS = 30
"""What one command may take: the first of them loads the libraries."""

ANSWERS = "question,fraction,answer\n" + "".join(f"q,{f},{a}\n" for f in (0.2, 0.6) for a in "AAB") + "q,1,A\n"
"""A table that ``sloc traces`` takes."""


def called(arguments: Sequence[str], seconds: int = SECONDS) -> tuple[int, str, str]:
    """Run a command; return its exit status, what it said on standard error, and what went wrong, empty if nothing."""
    out, err = io.StringIO(), io.StringIO()
    handler = signal.getsignal(signal.SIGALRM) if hasattr(signal, "SIGALRM") else None
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), within(seconds):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                COMMAND.main(list(arguments), prog_name="sloc")
    except SystemExit as end:
        return (end.code if isinstance(end.code, int) else 0 if end.code is None else 1), err.getvalue(), ""
    except Hangs:
        return -1, err.getvalue(), f"no answer within {seconds} s"
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {str(error)[:200]} ({Path(at.filename).name}:{at.lineno})"
        return 1, err.getvalue(), said
    finally:
        if handler is not None:
            signal.signal(signal.SIGALRM, handler)
    return 0, err.getvalue(), ""


def no_refusal(arguments: Sequence[str], codes: Sequence[int] = (2,), seconds: int = SECONDS) -> tuple[str, str]:
    """Return what a command said, and how that is no refusal in one line, empty if it is one."""
    code, said, wrong = called(arguments, seconds)
    if wrong:
        return said, wrong
    if code not in codes:
        return said, f"exit code {code}: {said[:200]}"
    if not said.startswith("sloc: ") or not said.endswith("\n") or not said[:-1].isprintable():
        return said, f"not one line that can be printed: {said[:300]!r}"
    return said, ""


def listing(folder: Path) -> list[tuple[str, int]]:
    """Return what lies below a folder, with sizes."""
    return sorted((str(p.relative_to(folder)), p.stat().st_size if p.is_file() else -1) for p in folder.rglob("*"))


@functools.cache
def model_files() -> dict[str, bytes]:
    """Return the files of a small random checkpoint, by name."""
    import tempfile

    from tests.lm.families import FAMILIES, random_tensors, write_checkpoint
    from tests.lm.texts import write_tokenizer

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        drawn = {"eos_token_id": [2], "temperature": 0.7, "do_sample": True, "top_k": 5, "top_p": 0.9}
        write_checkpoint(folder, FAMILIES["llama"], random_tensors(FAMILIES["llama"]), generation_config=drawn)
        write_tokenizer(folder)
        return {p.name: p.read_bytes() for p in folder.iterdir()}


def place(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Make ``in``, a folder of files that are good and of files that are not, and stand in ``folder``.

    No hub is asked, and no home is looked for.
    """
    patch.chdir(folder)
    patch.setenv("HF_HUB_OFFLINE", "1")
    inside = folder / "in"
    (inside / "model").mkdir(parents=True)
    (inside / "folder").mkdir()
    for name, content in model_files().items():
        (inside / "model" / name).write_bytes(content)
    (inside / "weights.safetensors").write_bytes(weights())
    (inside / "answers.csv").write_text(ANSWERS)
    (inside / "questions.jsonl").write_text('{"question": "1+1?", "answer": "2"}\n')
    (inside / "data.npz").write_bytes(data())
    (inside / "noise.npz").write_bytes(np.random.default_rng(0).bytes(4096))
    (inside / "empty.csv").write_bytes(b"")
    (inside / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    return inside


@functools.cache
def weights(network: str = "mlp") -> bytes:
    """Return a file as ``sloc train`` writes it, of a network that nobody trained."""
    import tempfile

    from flax import nnx

    from sloc import nn

    made = {"mlp": nn.MLPDenoiser, "classifier": nn.NoiseClassifier}[network]((8, 8), 10, rngs=nnx.Rngs(0))
    with tempfile.TemporaryDirectory() as folder:
        notes = {"network": network, "seed": "0", "temperature": "1.0"}
        return nn.save_weights(Path(folder) / "weights.safetensors", made, **notes).read_bytes()


def data() -> bytes:
    """Return a .npz file of samples of two classes."""
    stream = io.BytesIO()
    np.savez(stream, x=np.zeros((64, 2)), y=np.arange(64) % 2)
    return stream.getvalue()
