"""What every command reads its options with: numbers, lists, refusals on one line, help that is wrapped as meant."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Generator
from decimal import Decimal
from typing import Any

import typer
import typer.core

INTERRUPTED = 130
"""Exit code after Ctrl-C."""
MOST = 2**32
"""What every whole number stays below: draws are counted in int32 and seeds are 32 bits; no run would end at more."""

_UsageError: Any = typer.BadParameter.__bases__[0]
_OPTIONS = {
    "data": "--x",
    "size": "--rise",
    "move_alpha": "--alpha",
    "temperatures": "--sweep",
    "questions": "--data",
    "template": "--task",
    "processes": "--process",
    "output folder": "--out",
}
"""Arguments of the library that no command takes by the same name, as they are called here."""


def option_names(ctx: typer.Context) -> dict[str, str]:
    """Return what is typed for each parameter of a command: its long option, or its operand."""
    parameters = ctx.command.params
    return {str(p.name): next((o for o in p.opts if o.startswith("--")), str(p.metavar)) for p in parameters}


class OneLine(typer.core.TyperGroup):
    """A group whose usage errors are one line on standard error, like every other refusal."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the group's own options."""
        with _one_line():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Read the options of a command and run it."""
        with _one_line():
            return super().invoke(ctx)


@contextlib.contextmanager
def _one_line() -> Generator[None, None, None]:
    try:
        yield
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # no error: it prints the help
            raise
        option = next((o for o in getattr(getattr(error, "param", None), "opts", ()) if o.startswith("--")), None)
        if option is not None and isinstance(error, typer.BadParameter) and str(error.message):
            reason = str(error.message).removeprefix("Value error, ")
            text = option + (reason if reason.startswith(" = ") else f": {reason}")
        else:
            text = error.format_message()
        _say(text)
        raise typer.Exit(2) from None


def _say(text: str) -> None:
    """Say why a command ends, as one line on standard error.

    What was typed, or stood in a file, may hold line breaks and codes that a terminal obeys: these are written out.
    """
    line = " ".join(text.split())
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    typer.echo(f"sloc: {''.join(shown)}", err=True)


def whole_number(value: Any) -> int:
    """Read a whole number below 2³² in size; ``1e5`` is one.

    Raises:
        typer.BadParameter: anything else.

    """
    try:
        number = Decimal(str(value).strip())
        if number.is_finite() and abs(number) < MOST and number == int(number):
            return int(number)
    except ArithmeticError:  # no number, or one beyond what Decimal holds
        pass
    raise typer.BadParameter(f" = {value}: expected a whole number, such as 4096 or 1e5, below {MOST:,}")


def real_number(value: Any) -> float:
    """Read a finite number.

    Raises:
        typer.BadParameter: anything else.

    """
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise typer.BadParameter(f" = {value}: expected a number, such as 0.1")
    return number


def paragraphs(text: str) -> str:
    """Make every sentence that ends a line a paragraph of its own, so that help texts are wrapped as they are meant."""
    joined = ""
    for line in text.splitlines():
        joined += ("\n\n" if joined.rstrip().endswith((".", ":")) or not joined or not line.strip() else " ") + line
    return "\n\n".join(part.strip() for part in joined.split("\n\n") if part.strip())


@contextlib.contextmanager
def refusals(
    ctx: typer.Context | None = None, goes_on: bool | None = None, left: str = "nothing was written"
) -> Generator[None, None, None]:
    """Turn refusals into one line on standard error and exit code 2, Ctrl-C into exit code 130.

    The library names arguments; here they are named as they are typed (``option_names``, ``_OPTIONS``).

    Whatever cannot be written (a full disk, a limit on files, a folder taken away) is one line and exit code 1.

    Args:
        ctx: the command's context; None where nothing that was typed can be refused by name.
        goes_on: whether the run keeps what is done, so that the same command goes on from there; None where the
            command has no such thing.
        left: what lies in the output folder after Ctrl-C.

    """
    from sloc.contracts import ContractError, InvalidInput
    from sloc.engine import CheckpointError, NotANumber, OutOfMemory
    from sloc.report.option_text import option_text

    try:
        yield
    except (InvalidInput, ContractError) as error:
        _say(option_text(str(error), _OPTIONS | ({} if ctx is None else option_names(ctx))))
        raise typer.Exit(2) from None
    except NotANumber as error:
        # What follows is for those who hold a plan in their hands.
        said = str(error).partition("; evaluate it alone")[0]
        alone = "" if goes_on is None or not error.stage else _ALONE[goes_on]
        _say(f"{said}{alone}")
        raise typer.Exit(1) from None
    except (CheckpointError, OutOfMemory) as error:
        _say(str(error))
        raise typer.Exit(1) from None
    except (RuntimeError, AssertionError) as error:
        if not _of_backends(error):
            raise
        asked = os.environ.get("JAX_PLATFORMS", "")
        _say(f"JAX_PLATFORMS = {asked}: expected kinds of devices that JAX finds here")
        raise typer.Exit(2) from None
    except BrokenPipeError:  # who read the answer has gone away: typer ends without a word
        raise
    except OSError as error:
        _say(f"{_failed(error)}; no results were written{_KEPT[goes_on]}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        _say(f"stopped; {left}{_KEPT[goes_on]}")
        raise typer.Exit(INTERRUPTED) from None


_KEPT = {
    None: "; the same command begins anew",
    False: "; the same command begins anew, one with --out and --resume would go on",
    True: "; the same command goes on from its checkpoints",
}
"""What there is to do after a run that ended before its end."""
_ALONE = {
    False: "; after the same command with --out and --resume, sloc replay FOLDER evaluates that block alone",
    True: "; sloc replay FOLDER evaluates that block alone",
}
"""What there is to do after values that are not numbers."""


def _of_backends(error: BaseException) -> bool:
    """Whether JAX found none of the devices that it was told to use: it raises an assertion where it has no plugin."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and last.tb_frame.f_globals.get("__name__") == "jax._src.xla_bridge"


def _failed(error: OSError) -> str:
    """Return what the operating system said, on one line, with the file where there is one."""
    reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
    return reason if error.filename is None else f"{error.filename}: {reason}"


def given_or_from(value: str | None, name: str, expected: str) -> str:
    """Return an argument that a run needs where it does not repeat another.

    Raises:
        InvalidInput: it is not given.

    """
    from sloc.contracts import InvalidInput

    if value is None:
        raise InvalidInput(f"{name}: expected {expected}, or --from RUN")
    return value


def split_list(values: list[str] | None, option: str) -> tuple[str, ...]:
    """Return the parts of an option that may be repeated, or separated by commas; none where it is not given.

    Raises:
        InvalidInput: it is given without a value, which is not as if it were left out.

    """
    from sloc.contracts import require

    for value in values or []:
        require(bool(value.replace(",", "").strip()), option, value, "something; leave the option out for its default")
    return tuple(part.strip() for value in values or [] for part in value.split(",") if part.strip())


_SPREAD = ("window", "replay")
"""Commands whose work is dealt over the processes of a launch."""


def join_launch() -> None:
    """Join the launch, if there is one; what does not spread is left to its first process."""
    command = sys.argv[1:2]
    if any(a in ("-h", "--help", "--version") for a in sys.argv):
        return
    with refusals():
        from sloc.contracts import require
        from sloc.engine.cluster import launch_index, start_processes

        if set(command) <= set(_SPREAD):
            start_processes()
            return
        index = launch_index()
        require(
            index is not None,
            "SLOC_DISTRIBUTED",
            "1",
            f"a command that is dealt over processes ({', '.join(_SPREAD)}); run sloc {command[0]} without it",
        )
        if index:
            # Several writers of one output folder would refuse one another.
            typer.echo(
                f"sloc {command[0]}: runs in the first process of a launch alone; this is process {index}", err=True
            )
            raise SystemExit(0)
