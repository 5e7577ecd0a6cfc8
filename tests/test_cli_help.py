"""What the command line teaches: examples that are read as they stand, and shell completion."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from sloc import cli

ROOT: Any = typer.main.get_command(cli.app)
VERBS = sorted(ROOT.commands)


def leaves(command: Any) -> Iterator[Any]:
    """Yield the commands below a group, or the command itself."""
    below = getattr(command, "commands", None)
    if below is None:
        yield command
    else:
        for one in below.values():
            yield from leaves(one)


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
    assert {"window", "traces", "train", "uturn", "replay", "bench", "info"} <= set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_teaches_by_examples_that_are_read_as_they_stand(verb: str) -> None:
    lines = [line for command in leaves(ROOT.commands[verb]) for line in examples(command)]
    assert lines
    for line in lines:
        assert shlex.split(line)[:2] == ["sloc", verb]
        read(line)


@pytest.mark.parametrize("line", ["sloc window digits --nonsense", "sloc window digits --n many", "sloc replay"])
def test_an_example_that_is_wrong_is_found(line: str) -> None:
    with pytest.raises(Exception, match=r"nonsense|whole number|FOLDER|folder"):
        read(line)


def test_examples_are_shown() -> None:
    shown = CliRunner().invoke(cli.app, ["bench", "--help"]).stdout
    assert "sloc bench --smoke" in shown


@pytest.mark.parametrize(("typed", "at", "offered"), [("sloc tra", 1, "train"), ("sloc window --ep", 2, "--epsilon")])
def test_completion_offers_verbs_and_options_and_joins_no_launch(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], typed: str, at: int, offered: str
) -> None:
    def joined() -> None:
        raise AssertionError("a shell that asks was taken for a process of a launch")

    monkeypatch.setattr(cli, "_join", joined)
    monkeypatch.setattr("sys.argv", ["sloc"])
    for name, value in {"_SLOC_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(at)}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    assert offered in capfd.readouterr().out.split()


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
