"""What the command line teaches: examples that are read as they stand, and shell completion."""

from __future__ import annotations

import inspect
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import sloc
from sloc import cli

ROOT: Any = typer.main.get_command(cli.app)
VERBS = sorted(ROOT.commands)


def leaves(command: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the commands below a group with the words that call them, or the command itself."""
    below = getattr(command, "commands", None)
    if below is None:
        yield at, command
    else:
        for name, one in below.items():
            yield from leaves(one, (*at, name))


COMMANDS = dict(leaves(ROOT))


def examples(command: Any) -> list[str]:
    """Return the lines of a command's help that a person may type."""
    text = "\n\n".join(inspect.cleandoc(part) for part in (command.help, command.epilog) if part)
    return re.findall(r"^(sloc .+)$", text, re.MULTILINE)


def read(line: str) -> None:
    """Read a line's options as the command does, without running it."""
    words = shlex.split(line)[1:]
    command = ROOT
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context(command.name, words)


def test_the_verbs_are_known() -> None:
    assert VERBS == sorted(["window", "tree", "uturn", "lm", "traces", "train", "bench", "replay", "info"])


@pytest.mark.parametrize("words", list(COMMANDS), ids=" ".join)
def test_help_teaches_by_examples_that_are_read_as_they_stand(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    lines = examples(command)
    assert lines
    for line in lines:
        assert shlex.split(line)[: 1 + len(words)] == ["sloc", *words]
        read(line)
    # The last thing that a person sees, above the prompt.
    assert examples(command) == re.findall(r"^(sloc .+)$", inspect.cleandoc(command.epilog), re.MULTILINE)


@pytest.mark.parametrize("group", [ROOT, ROOT.commands["lm"]], ids=["sloc", "lm"])
def test_a_group_teaches_too(group: Any) -> None:
    lines = examples(group)
    assert lines
    for line in lines:
        words = tuple(shlex.split(line)[1:3])
        assert words in COMMANDS or words[:1] in COMMANDS


def test_help_of_language_models_names_every_kind_of_task_and_what_is_always_written() -> None:
    command = COMMANDS["lm", "windows"]
    task = next(p for p in command.params if p.name == "task")
    for kind in ("math", "choice", "json", "regex:", "template:", "python:"):
        assert kind in task.help
    assert "problems.txt" in command.help


@pytest.mark.parametrize("words", [(), *COMMANDS], ids=" ".join)
def test_help_has_a_short_name(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli.app, [*words, "-h"])
    assert result.exit_code == 0
    assert "Usage" in result.stdout


def test_the_version_is_told() -> None:
    result = CliRunner().invoke(cli.app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"sloc {sloc.__version__}\n")


def test_exit_codes_are_told_and_are_those_of_the_promise() -> None:
    said = " ".join(CliRunner().invoke(cli.app, ["--help"]).stdout.split())
    promised = (Path(__file__).resolve().parents[1] / "docs" / "stability.md").read_text("utf-8")
    for code in ("0 done", "1 failed", "2 refused", "130 stopped"):
        assert code in said
        assert code in promised


def test_an_option_has_one_name_in_every_command() -> None:
    """An option that several commands have has the same short and long names in each."""
    names: dict[str, set[tuple[str, ...]]] = {}
    for command in COMMANDS.values():
        for param in command.params:
            if any(o.startswith("-") for o in param.opts):
                names.setdefault(param.name, set()).add(tuple(sorted(param.opts)))
    assert {k: v for k, v in names.items() if len(v) > 1} == {}


def test_every_process_is_explained() -> None:
    from sloc.report.window_settings import PROCESSES

    for verb in ("window", "tree"):
        said = next(p.help for p in ROOT.commands[verb].params if p.name == "process")
        for name in PROCESSES:
            assert re.search(rf"\b{name} \(\w", said), name


@pytest.mark.parametrize("line", ["sloc window digits --nonsense", "sloc window digits --n many", "sloc replay"])
def test_an_example_that_is_wrong_is_found(line: str) -> None:
    with pytest.raises(Exception, match=r"nonsense|whole number|FOLDER|folder"):
        read(line)


def test_examples_are_shown() -> None:
    shown = CliRunner().invoke(cli.app, ["bench", "--help"]).stdout
    assert "sloc bench --smoke" in shown


def completed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], shell: str, typed: str) -> list[str]:
    """Return the words that a shell is offered for what stands on its line."""

    def joined() -> None:
        raise AssertionError("a shell that asks was taken for a process of a launch")

    asked = {
        "bash": {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": typed},
    }
    monkeypatch.setattr(cli, "join_launch", joined)
    monkeypatch.setattr("sys.argv", ["sloc"])
    for name, value in ({"_SLOC_COMPLETE": f"complete_{shell}"} | asked[shell]).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    # zsh is given each word in quotes, with its help behind a colon.
    text = capfd.readouterr().out
    return text.split() if shell == "bash" else re.findall(r'^(?:.*\(\()?"([^"]*)"', text, re.MULTILINE)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("sloc tr", ["tree", "traces", "train"]),
        ("sloc tree --ep", ["--epsilon"]),
        ("sloc lm windows --from", ["--from"]),
        ("sloc train --model ", ["unet", "dit", "mlp", "classifier"]),
        ("sloc train ", ["digits"]),
        ("sloc window --process ", ["ou", "ve", "flow", "masking"]),
        ("sloc lm demo ", ["grammar", "addition", "stories"]),
        ("sloc bench tr", ["traces"]),
        # A file's name is the shell's to complete.
        ("sloc uturn my-", []),
    ],
)
def test_completion_offers_verbs_options_and_their_values(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], shell: str, typed: str, offered: list[str]
) -> None:
    assert sorted(completed(monkeypatch, capfd, shell, typed)) == sorted(offered)


def test_every_word_that_completion_offers_is_taken() -> None:
    from sloc.report.lm_demo import DEMOS
    from sloc.report.window_settings import PROCESSES

    suites = pytest.importorskip("benchmarks.suites", reason="benchmarks lie in the repository")
    offered = {
        (words, p.name): [
            item.value for item in p.shell_complete(command.make_context("", [], resilient_parsing=True), "")
        ]
        for words, command in COMMANDS.items()
        for p in command.params
    }
    assert offered[("window",), "process"] == offered[("tree",), "process"] == list(PROCESSES)
    assert offered[("lm", "demo"), "name"] == list(DEMOS)
    assert offered[("train",), "source"] == ["digits"]
    assert offered[("bench",), "suites"] == list(suites.SUITES)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_script_of_a_shell_is_one_that_it_reads(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path, shell: str
) -> None:
    monkeypatch.setattr("sys.argv", ["sloc"])
    monkeypatch.setenv("_SLOC_COMPLETE", f"source_{shell}")
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    script = tmp_path / "script"
    script.write_text(capfd.readouterr().out)
    assert f"complete_{shell}" in script.read_text()
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    assert subprocess.run([found, "-n", str(script)], check=False, timeout=60).returncode == 0
    if shell == "bash":
        # What the shell itself then does with a line, `sloc` being a word that answers.
        line = 'sloc() { :; }; COMP_WORDS=(sloc tr); COMP_CWORD=1; _sloc_completion ./answers; echo "${COMPREPLY[@]}"'
        answers = tmp_path / "answers"
        answers.write_text(
            '#!/bin/sh\n[ "$_SLOC_COMPLETE $COMP_CWORD" = "complete_bash 1" ] && printf "tree\\ntrain\\n"\n'
        )
        answers.chmod(0o755)
        run = subprocess.run(
            [found, "-c", f". ./script; {line}"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )
        assert (run.stdout, run.stderr) == ("tree train\n", "")


def test_a_start_up_file_that_cannot_be_written_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def denied(**_: Any) -> None:
        raise PermissionError(13, "Permission denied", "/home/me/.bashrc")

    monkeypatch.setattr(cli, "app", denied)
    monkeypatch.setattr("sys.argv", ["sloc", "--install-completion"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    assert capfd.readouterr().err == "sloc: --install-completion: [Errno 13] Permission denied: '/home/me/.bashrc'\n"
    monkeypatch.setattr("sys.argv", ["sloc", "info"])
    with pytest.raises(PermissionError):
        cli.main()


def test_help_says_what_an_option_takes_in_words() -> None:
    shown = {
        " ".join(words): re.findall(
            r"(-\S+) +<(?:str|list|bool|int|float)\b", CliRunner().invoke(cli.app, [*words, "--help"]).stdout
        )
        for words in ((), *COMMANDS)
    }
    # The framework's own options of every command and of the program.
    own = {"-h", "--help", "--install-completion", "--show-completion"}
    assert not {verb: found for verb, names in shown.items() if (found := set(names) - own)}


def test_one_name_is_of_one_level() -> None:
    """``--delta`` is of intervals, ``--alpha`` of tests, ``--level`` of what a band covers, whatever the verb."""
    means = {"delta": "Error level of", "alpha": "Level of tests: ", "level": "Coverage of"}
    found = {name: set[tuple[str, ...]]() for name in means}
    for words, command in COMMANDS.items():
        for option in command.params:
            if option.name in means:
                assert option.help.startswith(means[option.name]), (words, option.name)
                found[option.name].add(words)
    assert found["delta"] == {("window",), ("tree",), ("uturn",)}
    assert found["alpha"] == {("traces",), ("lm", "windows")}
    assert found["level"] == {("traces",)}
