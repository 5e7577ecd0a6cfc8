"""What an extra brings is asked for in one way: the sentence names the library and the command that installs it."""

import ast
import importlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import pytest

import sloc.lm
import sloc.windows
from sloc.contracts import InvalidInput
from sloc.contracts.extras import MissingExtra, need
from tests.robustness.rows_windows import RECORDING, TABLE

KEY = jax.random.key(0)


def at(module: str, name: str, *arguments: Any, **options: Any) -> Callable[[Path], Any]:
    """Call what lies in a module, imported before anything is hidden; ``dir`` stands for the folder of the test."""

    def call(folder: Path) -> Any:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        hide()
        given = [
            str(folder / a.removeprefix("dir/")) if isinstance(a, str) and a.startswith("dir/") else a
            for a in arguments
        ]
        return found(*given, **options)

    return call


HIDDEN: list[Callable[[], None]] = []


def hide() -> None:
    for each in HIDDEN:
        each()


def _importing(module: str) -> Callable[[Path], Any]:
    def call(folder: Path) -> Any:
        importlib.import_module(module)
        hide()
        del sys.modules[module]
        return importlib.import_module(module)

    return call


def _training(folder: Path) -> Any:
    from sloc.lm.demos.training import train_decoder

    importlib.import_module("sloc.nn")
    hide()
    del sys.modules["sloc.nn"]
    return train_decoder(KEY, ["ab"], steps=1)


def _to_nnx(folder: Path) -> Any:
    model = sloc.lm.random_model(KEY, sloc.lm.small_config(8, layers=1))
    hide()
    return model.to_nnx()


def _tokenizer(folder: Path) -> Any:
    (folder / "tokenizer.json").write_text("{}")
    return at("sloc.lm.tokenizer", "read_tokenizer", folder)(folder)


def _oracle(folder: Path) -> Any:
    from sloc.samplers import oracle

    hide()
    oracle.mala_kernel.cache_clear()
    try:
        return oracle.mala_kernel()
    finally:
        oracle.mala_kernel.cache_clear()


def _traces_picture(folder: Path) -> Any:
    result = sloc.windows.trace_windows(sloc.windows.trace_table(TABLE))
    hide()
    return result.plot()


def _lm_store(folder: Path) -> Any:
    from sloc.report.lm_command import LmRequest

    hide()
    return LmRequest("model", "data", "math", store="parquet").settings()


def _train(folder: Path) -> Any:
    from sloc.report.train_command import TrainRequest, run_train

    hide()
    return run_train(TrainRequest(), None)


def _uturn(folder: Path) -> Any:
    from sloc.report.uturn_command import UturnRequest, run_uturn

    hide()
    return run_uturn(UturnRequest("none"), None)


SITES: list[tuple[str, str, Callable[[Path], Any]]] = [
    ("flax", "nn", _importing("sloc.nn")),
    ("optax", "nn", _importing("sloc.nn")),
    ("safetensors", "nn", _importing("sloc.nn")),
    ("numpyro", "bayes", _importing("sloc.bayes")),
    ("arviz", "bayes", at("sloc.bayes", "ChangePosterior.to_arviz", None)),
    ("arviz", "bayes", at("sloc.bayes", "MixturePosterior.to_arviz", None)),
    ("arviz", "bayes", at("sloc.bayes.window_results", "_inference_data", {})),
    ("optax", "bayes", at("sloc.bayes.fitting", "_variational", *[None] * 8)),
    ("flax", "nn", _to_nnx),
    ("optax", "nn", _training),
    ("jinja2", "lm", at("sloc.lm.tokenizer", "_rendered", "", [], {})),
    ("tokenizers", "lm", _tokenizer),
    ("tokenizers", "lm", at("sloc.lm.demos.training", "character_tokenizer", "ab")),
    ("safetensors", "lm", at("sloc.lm.checkpoints", "_opened", ExitStack(), Path("none"))),
    ("tokenizers", "lm", at("sloc.report.lm_cli", "_need_extras")),
    ("pyarrow", "data", _lm_store),
    ("pyarrow", "data", at("sloc.windows", "read_trace_table", "dir/a.parquet")),
    ("pyarrow", "data", at("sloc.windows.traces_file", "column_names", "dir/a.parquet")),
    ("pyarrow", "data", at("sloc.windows", "read_store", "dir/a.parquet")),
    ("pyarrow", "data", at("sloc.windows", "write_store", "dir/b.parquet", [RECORDING])),
    ("pyarrow", "data", at("sloc.report.sources", "load_file_source", "dir/a.parquet", None, None, None, None)),
    ("blackjax", "mcmc", _oracle),
    ("networkx", "viz", at("sloc", "MixtureTree.to_networkx", None)),
    ("matplotlib", "viz", at("sloc.report.style", "new_figure", 1, 1)),
    ("matplotlib", "viz", _traces_picture),
    ("scikit-learn", "viz", at("sloc.report.sources", "load_digits_source")),
    ("scikit-learn", "viz", at("sloc.report.train_command", "split_digits", 0)),
    ("scikit-learn", "viz", at("sloc.report.uturn_command", "digits")),
    ("optax", "nn", _train),
    ("flax", "nn", _uturn),
    ("orbax-checkpoint", "scale", at("sloc.engine.checkpoint", "Store.stage", None, {})),
    ("torch", "", at("sloc.lm.backends.torch_models", "TransformersBackend", "none")),
    ("transformers", "", at("sloc.lm.backends.torch_models", "TransformersBackend", "none")),
]


@pytest.fixture
def hidden(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Hide a package when the site says so, and put every module back afterwards."""
    package = request.param
    top = {"scikit-learn": "sklearn", "orbax-checkpoint": "orbax"}.get(package, package)
    before = dict(sys.modules)
    if package == "transformers":
        monkeypatch.setitem(sys.modules, "torch", sys)

    def hide_it() -> None:
        before.update(sys.modules)
        for name in [top, *(m for m in sys.modules if m.startswith(f"{top}."))]:
            sys.modules[name] = None  # pyright: ignore[reportArgumentType]

    HIDDEN.append(hide_it)
    yield package
    HIDDEN.clear()
    # What was imported meanwhile stays: extension modules cannot be loaded twice.
    for name in [m for m, module in sys.modules.items() if module is None and m not in before]:
        del sys.modules[name]
    sys.modules.update(before)


@pytest.mark.parametrize(
    ("hidden", "extra", "site"),
    SITES,
    indirect=["hidden"],
    ids=[f"{package}-{i}" for i, (package, _, _) in enumerate(SITES)],
)
def test_a_missing_library_is_named_with_what_installs_it(
    hidden: str, extra: str, site: Callable[[Path], Any], tmp_path: Path
) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    install = f"'sloc[{extra}]'" if extra else hidden
    with pytest.raises(MissingExtra) as raised:
        site(tmp_path)
    said = str(raised.value)
    assert re.fullmatch(rf".+ needs {hidden}, which is not installed: pip install {re.escape(install)}", said), said
    # An import that failed, to whom imports; a refusal, to whom calls.
    assert isinstance(raised.value, InvalidInput)
    assert isinstance(raised.value, ModuleNotFoundError)
    assert not (tmp_path / "b.parquet").exists()


def test_what_a_library_lacks_itself_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a_library.py").write_text("import a_part_of_it.inside\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        MissingExtra, match=r"^a test needs a_part_of_it, which is not installed: pip install 'sloc\[nn\]'$"
    ):
        need("nn", "a_library", "a test")


def test_every_extra_that_is_named_brings_what_is_needed() -> None:
    brought = [r for r in metadata.requires("sloc") or [] if "extra ==" in r]
    asked = 0
    for file in Path(sloc.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("need", "_need"):
                extra, module = (a.value if isinstance(a, ast.Constant) else None for a in node.args[:2])
                if not (extra and module):
                    continue
                top = module.partition(".")[0]
                package = {"sklearn": "scikit-learn", "orbax": "orbax-checkpoint"}.get(top, top)
                asked += 1
                assert any(r.startswith(package) and re.search(rf"extra == ['\"]{extra}['\"]", r) for r in brought), (
                    f"{file}, line {node.lineno}: {extra} does not bring {package}"
                )
    assert asked > 20
