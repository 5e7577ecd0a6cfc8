"""Every kind of file that sloc reads: a whole one, what reads it, and how it is damaged."""

from __future__ import annotations

import copy
import dataclasses
import gzip
import io
import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis.strategies as st

from tests.robustness.calling import ANSWERS, called, data, model_files, weights


@dataclass(frozen=True)
class FileKind:
    """One kind of file.

    Attributes:
        name: what it is, for the table of the documentation.
        file: its name, or where it lies in a folder.
        content: a whole one.
        read: what reads it; given the file's path.
        beside: other files of its folder, by name.
        whole: whether any that is cut must be refused: it says itself where it ends.
        sealed: whether any that is changed must be refused, or read as if it were not: it holds a checksum.
        spoken: whether it holds JSON, one value a line or one in all, whose values are changed too.
        said: what a refusal may name in place of the file.

    """

    name: str
    file: str
    content: Callable[[], bytes]
    read: Callable[[Path], Any]
    beside: Callable[[], Mapping[str, bytes]] = dict
    whole: bool = True
    sealed: bool = False
    spoken: bool = False
    said: tuple[str, ...] = field(default=())


def _recording() -> Any:
    from sloc.windows.forking_fast import from_forking_fast

    branches = [
        {"t": t, "tok_id": k, "tok_p": p, "is_base": k == 7, "answers": list(a), "cont_lens": [4, 5, 6]}
        for t, k, p, a in ((0, 7, 0.9, "AAB"), (1, 7, 0.6, "ABB"), (1, 9, 0.3, "BBC"), (2, 7, 1.0, "AAA"))
    ]
    base = {"gen_ids": [7, 7, 7], "token_texts": ["é", "\n", "x"]}
    record = {"meta": {"row_id": 5, "question": "why?"}, "idxs": [0, 1, 2], "categories": ["A", "B", "C"]}
    return from_forking_fast({**record, "branches": branches, "base": base, "timing": {}})[0]


def _written(name: str, forking: bool = False) -> Callable[[], bytes]:
    def make() -> bytes:
        import tempfile

        from sloc.windows import write_forking_fast, write_store

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / name
            return (
                write_forking_fast(file, _recording()) if forking else write_store(file, [_recording()])
            ).read_bytes()

    return make


def _frame(name: str, table: str = ANSWERS) -> Callable[[], bytes]:
    def make() -> bytes:
        import pandas as pd

        frame, stream = pd.read_csv(io.StringIO(table)), io.BytesIO()
        if name.endswith(".parquet"):
            frame.to_parquet(stream, index=False)
            return stream.getvalue()
        text = frame.to_json(orient="records", lines=True) if ".jsonl" in name else table
        return gzip.compress(text.encode(), mtime=0) if name.endswith(".gz") else text.encode()

    return make


def _read_table(file: Path) -> Any:
    from sloc.windows import read_trace_table

    return read_trace_table(file)


def _read_traces(file: Path) -> Any:
    from sloc.report.recorded_command import is_recorded, read_recordings

    return read_recordings(file) if is_recorded(file) else _read_table(file)


def _source(file: Path) -> Any:
    from sloc.report.sources import load_file_source

    return load_file_source(file, None, None, None, None).population.data.tobytes()


def _record(command: str) -> Callable[[Path], Any]:
    def read(file: Path) -> Any:
        from sloc.report.run_record import repeated
        from sloc.report.window_command import WORDS, WindowRequest, checked_request

        request = repeated(WindowRequest, file, command, "source", words=WORDS)
        checked_request(request)
        return request

    return read


def _run(command: str) -> Callable[[], bytes]:
    def make() -> bytes:
        from sloc.report.window_command import WindowRequest
        from sloc.report.window_run import Settings

        request = WindowRequest("gaussians", ("ou",), Settings(0.1, 1024, 8, 0, (), 0.05, None), means="4;-4")
        return json.dumps({"command": command, "arguments": request.to_arguments(), "results": {}}).encode()

    return make


def _load_weights(network: str) -> Callable[[Path], Any]:
    def read(file: Path) -> Any:
        import jax
        from flax import nnx

        from sloc import nn

        made = {"mlp": nn.MLPDenoiser, "classifier": nn.NoiseClassifier}[network]((8, 8), 10, rngs=nnx.Rngs(0))
        loaded = nn.load_weights(file, made)
        return [v.tobytes() for v in jax.tree.leaves(nnx.state(loaded, nnx.Param))]

    return read


def _load_model(file: Path) -> Any:
    from sloc.lm import load_model

    return load_model(file.parent).parameters


def _questions(file: Path) -> Any:
    from sloc.lm import read_questions

    return read_questions(file)


def _benchmark(file: Path) -> Any:
    from sloc.lm import read_questions

    return read_questions(file, benchmark="mmlu")


SETTINGS = {"seed": 0, "fractions": [0.1, 0.5]}


def _journal() -> dict[str, bytes]:
    import tempfile

    from sloc.lm.experiments.journal import Journal

    with tempfile.TemporaryDirectory() as folder:
        Journal(folder, SETTINGS).put({"texts": ["a", "b"]}, "q", "original")
        return {p.name: p.read_bytes() for p in Path(folder).iterdir()}


def _step() -> str:
    return next(n for n in _journal() if n.endswith(".gz"))


def _read_journal(file: Path) -> Any:
    from sloc.lm.experiments.journal import Journal

    return Journal(file.parent, SETTINGS).get("q", "original")


REQUEST = {"command": "window", "arguments": {"source": "gaussians", "settings": {"n": 8}}, "versions": {}}
FAILURE = {"stage": "ou", "block": 3, "message": "NaN"}
REPLAYED = {f"{name}.json": json.dumps(held).encode() for name, held in (("request", REQUEST), ("failure", FAILURE))}
"""What `sloc replay` reads, by file."""


def _failure(file: Path) -> Any:
    from sloc.report.checkpoints import read_failure

    return str(read_failure(file.parent)[:2])


PRINTS = {"sloc": "1", "jax": "1", "precision": "float32", "kernel": "0"}


def _manifest() -> bytes:
    from sloc.engine.checkpoint import FORMAT, stage_name

    return json.dumps({"format": FORMAT, "stages": {stage_name(PRINTS): PRINTS}}).encode()


def _stage(file: Path) -> Any:
    from sloc.engine.checkpoint import Store

    return Store(file.parent).stage(PRINTS).name


def _repeated(file: Path) -> Any:
    """Repeat a run of ``sloc traces`` by its record; a refusal is raised as what it says."""
    from sloc.contracts import InvalidInput

    code, said, wrong = called(["traces", "--from", str(file), "--json"], 60)
    if code == 2 and not wrong:
        raise InvalidInput(said)
    if code or wrong:
        raise AssertionError(f"exit code {code}: {wrong or said}")


TRACES = {"table": "answers.csv", "rise": 0.5, "max_drop": None, "alpha": 0.05, "correction": "bonferroni"}
TRACES |= {"across": "none", "statistic": "difference", "size": 0.3, "move_alpha": 0.1, "gap": None, "level": 0.9}


def _traces_run() -> bytes:
    return json.dumps({"command": "traces", "arguments": TRACES, "results": {}}).encode()


def _model(name: str, title: str, *said: str, whole: bool = True, spoken: bool = False) -> FileKind:
    def beside() -> dict[str, bytes]:
        return {n: c for n, c in model_files().items() if n != name}

    content = model_files()[name] if name in model_files() else None
    assert content is not None
    return FileKind(
        f"`{name}` of {title}", name, lambda: content, _load_model, beside, whole, spoken=spoken, said=("path", *said)
    )


def kinds() -> list[FileKind]:
    """Return every kind of file."""
    from sloc.report.window_command import Settings, WindowRequest
    from sloc.windows import read_forking_fast, read_store

    table = "a,b,y\n" + "".join(f"{i},{i % 5},{'cat' if i % 2 else 'dog'}\n" for i in range(8))
    wide = {"question": "1+1?", "subject": "sums", "choices": ["1", "2", "3", "4"], "answer": 1}
    asked = {"id": "a", "question": "1+1?", "answer": "2", "choices": ["1", "2"], "prefill": "It is", "raw": True}
    chat = {"messages": [{"role": "user", "content": "1+1?"}]}
    lines = "".join(json.dumps(r) + "\n" for r in (asked, chat)).encode()
    names = [f.name for kind in (WindowRequest, Settings) for f in dataclasses.fields(kind)]
    entries = ("--from", *(f"{name} = " for name in names))
    found = [
        *(
            FileKind(
                f"recorded branches, `{end}`",
                f"a{end}",
                _written(f"a{end}"),
                read_store,
                sealed=end.endswith(".gz"),
                spoken="json" in end,
            )
            for end in (".jsonl", ".jsonl.gz", ".parquet")
        ),
        *(
            FileKind(
                f"forking-fast, `{end}`",
                f"a{end}",
                _written(f"a{end}", True),
                read_forking_fast,
                sealed=end.endswith(".gz"),
                spoken=True,
            )
            for end in (".json", ".json.gz")
        ),
        *(
            FileKind(
                f"table of answers, `{end}`",
                f"a{end}",
                _frame(end),
                _read_traces,
                whole=end.endswith((".gz", ".parquet")),
                spoken="json" in end,
                said=("question", "fraction", "answer", "draw", "position", "reference", "line", "columns"),
            )
            for end in (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet")
        ),
        *(
            FileKind(f"data, `{end}`", f"a{end}", make, _source, whole=whole, sealed=sealed, said=("x = ", "labels = "))
            for end, make, whole, sealed in (
                (".npz", data, True, False),
                (".csv", _frame(".csv", table), False, False),
                (".csv.gz", _frame(".csv.gz", table), True, True),
                (".parquet", _frame(".parquet", table), True, False),
            )
        ),
        *(
            FileKind(f"`run.json` of {verb}", "run.json", _run(verb), _record(verb), spoken=True, said=entries)
            for verb in ("window", "tree")
        ),
        FileKind(
            "`run.json` of traces",
            "run.json",
            _traces_run,
            _repeated,
            lambda: {"answers.csv": ANSWERS.encode()},
            spoken=True,
            said=("--", "TABLE", "answers.csv"),
        ),
        FileKind("manifest of checkpoints", "manifest.json", _manifest, _stage, spoken=True, said=("checkpoint",)),
        *(
            FileKind(
                f"weights of a network ({name})",
                "w.safetensors",
                lambda name=name: weights(name),
                _load_weights(name),
                said=("path",),
            )
            for name in ("mlp", "classifier")
        ),
        _model("config.json", "a language model", "config", spoken=True),
        _model("generation_config.json", "a language model", spoken=True),
        _model("model.safetensors", "a language model", spoken=False),
        _model("tokenizer.json", "a language model", spoken=True),
        _model("tokenizer_config.json", "a language model", spoken=True),
        FileKind("questions", "q.jsonl", lambda: lines, _questions, whole=False, spoken=True, said=("path",)),
        FileKind(
            "questions of a benchmark",
            "q.jsonl",
            lambda: (json.dumps(wide) + "\n").encode() * 2,
            _benchmark,
            whole=False,
            spoken=True,
            said=("question", "row"),
        ),
        FileKind(
            "journal of a text experiment, settings",
            "settings.json",
            lambda: _journal()["settings.json"],
            _read_journal,
            _journal,
            spoken=True,
            said=("journal",),
        ),
        FileKind(
            "journal of a text experiment, a step",
            _step(),
            lambda: _journal()[_step()],
            _read_journal,
            _journal,
            sealed=True,
            spoken=True,
        ),
        *(
            FileKind(
                f"what `replay` reads, the {name}",
                f"{name}.json",
                lambda name=name: REPLAYED[f"{name}.json"],
                _failure,
                lambda: REPLAYED,
                spoken=True,
                said=("FOLDER",),
            )
            for name in ("request", "failure")
        ),
    ]
    return found


def same(one: Any, other: Any) -> bool:
    """Whether two files were read as the same."""
    return pickle.dumps(one) == pickle.dumps(other)


JSON = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 0, 10**400, 2**63, 1e308, float("nan"), float("inf"), "", "\0", "\ud800", [], {}, [[]], [{}]]),
    st.integers(),
    st.text(max_size=8),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)
"""Values of JSON, NaN and infinity among them, which Python reads."""


@st.composite
def damaged(draw: st.DrawFn, kind: FileKind, good: bytes) -> tuple[str, bytes]:
    """Draw a file that is not whole: what was done to it, and its content."""
    ways = ["cut", "changed", "joined", *(["said otherwise"] if kind.spoken else [])]
    way = draw(st.sampled_from(ways))
    if way == "cut":
        return way, good[: draw(st.integers(0, len(good) - 1))]
    if way == "changed":
        spoilt = bytearray(good)
        for at in draw(st.lists(st.integers(0, len(good) - 1), min_size=1, max_size=4)):
            spoilt[at] ^= draw(st.integers(1, 255))
        return way, bytes(spoilt)
    if way == "joined":
        first, last = sorted((draw(st.integers(0, len(good))), draw(st.integers(0, len(good)))))
        return way, good[:first] + draw(st.binary(max_size=16)) + good[last:]
    return way, _otherwise(draw, kind, good)


def _otherwise(draw: st.DrawFn, kind: FileKind, good: bytes) -> bytes:
    """Return a file of JSON in which one value is another."""
    packed = kind.file.endswith(".gz")
    text = (gzip.decompress(good) if packed else good).decode()
    lined = ".jsonl" in kind.file
    values = [json.loads(line) for line in text.splitlines()] if lined else [json.loads(text)]
    values = copy.deepcopy(values)
    at: Any = values
    step: Any = draw(st.integers(0, len(values) - 1))
    while isinstance(at[step], dict | list) and at[step] and draw(st.integers(0, 3)):
        at = at[step]
        step = draw(st.sampled_from(sorted(at))) if isinstance(at, dict) else draw(st.integers(0, len(at) - 1))
    if isinstance(at, dict) and draw(st.integers(0, 4)) == 0:
        del at[step]
    else:
        at[step] = draw(JSON)
    said = "\n".join(json.dumps(v) for v in values) + ("\n" if lined else "")
    return gzip.compress(said.encode(), mtime=0) if packed else said.encode()
