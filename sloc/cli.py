"""The command line: ``sloc window``, ``tree``, ``uturn``, ``lm``, ``traces``, ``train``, ``bench``, ...

Options are read here; those of ``lm`` and ``traces``, and of the source, in files of :mod:`sloc.report`, which does the
work.  Exit codes are those of ``EXIT_CODES``; a command that ends before its end says so in one line on standard
error and leaves no file, checkpoints aside.
"""

from __future__ import annotations

import io
import os
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from sloc.report.cli_options import (
    FromOption,
    JsonOption,
    OutOption,
    OverwriteOption,
    ResumeOption,
    SeedOption,
    TimesOption,
    refuse_beside_from,
)
from sloc.report.cli_parts import (
    INTERRUPTED,
    OneLine,
    given_or_from,
    join_launch,
    paragraphs,
    real_number,
    refusals,
    split_list,
    whole_number,
)
from sloc.report.cli_source import SourceOptions, with_source_options
from sloc.report.help_examples import examples
from sloc.report.lm_cli import lm_app
from sloc.report.sources import FILE_HELP
from sloc.report.toolchain import leave_out_ynnpack
from sloc.report.traces_cli import TRACES_HELP, traces

EXIT_CODES = (
    "Exit codes: 0 done; 1 failed (a full disk, values that are not numbers, a benchmark that became worse); 2 refused "
    "before anything is computed; 130 stopped by Ctrl-C. What went wrong is said in one line on standard error."
)
"""What a command's exit code says, for ``--help``."""

app: typer.Typer = typer.Typer(
    cls=OneLine,
    # `--install-completion` and `--show-completion`, for bash, zsh, fish and PowerShell.
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=f"When, during generation, is a feature decided?\n\n{EXIT_CODES}",
    epilog=examples(""),
)


def _version(asked: bool) -> None:
    if asked:
        import sloc

        typer.echo(f"sloc {sloc.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", metavar="", callback=_version, is_eager=True, help="Print the version and leave."),
    ] = False,
) -> None:
    """When, during generation, is a feature decided?"""


@app.command(
    short_help="Find when each class is decided.",
    help=paragraphs(
        "Find when each class is decided.\n\nSOURCE is the word digits (1,797 handwritten digits that scikit-learn "
        "brings, extra viz), the word gaussians (with --means), or a data file:\n\n" + FILE_HELP
    ),
    epilog=examples("window"),
)
@with_source_options
def window(
    ctx: typer.Context,
    given: SourceOptions,
    classes: Annotated[
        list[str] | None,
        typer.Option(metavar="NAMES", help="Report these classes only; repeat it or separate by commas. Default: all."),
    ] = None,
) -> None:
    """Find when each class is decided."""
    with refusals(ctx, given.resume):
        from sloc.report.window_command import run_window

        request = given.request(ctx, split_list(classes, "--classes"))
        run_window(request, given.out, overwrite=given.overwrite, resume=given.resume, json=given.json)


@app.command(
    short_help="Find the noise levels at which classes merge into one another.",
    help=paragraphs(
        "Find the noise levels at which classes merge into one another, with every merge checked.\n\nGoing up the tree "
        "is adding noise: a node is a set of classes that can no longer be told apart, and its noise level is "
        "certified where the conditions below the table hold.\n\nSOURCE is the word digits, the word gaussians (with "
        "--means), or a data file, as for sloc window.\n\nThe output folder holds tree.csv (a row per node), tree.nwk "
        "(Newick), tree.png and run.json."
    ),
    epilog=examples("tree"),
)
@with_source_options
def tree(ctx: typer.Context, given: SourceOptions) -> None:
    """Find the noise levels at which classes merge."""
    with refusals(ctx, given.resume):
        from sloc.report.tree_command import run_tree

        run_tree(given.request(ctx), given.out, overwrite=given.overwrite, resume=given.resume, json=given.json)


app.command(short_help="Find when recorded answers are decided.", help=TRACES_HELP, epilog=examples("traces"))(traces)


class Network(StrEnum):
    """Networks that ``sloc train`` knows."""

    unet = "unet"
    dit = "dit"
    mlp = "mlp"
    classifier = "classifier"


@app.command(
    short_help="Train a diffusion model of the digits, or a classifier for sloc uturn.",
    help=paragraphs(
        "Train a class-conditional diffusion model of the bundled digits, and have a classifier that saw other digits "
        "judge what it draws; or train and calibrate a classifier of noised digits, for sloc uturn.\n\nThe output "
        "folder holds weights.safetensors, losses.csv, samples.png and run.json. Needs the extras nn and viz."
    ),
    epilog=examples("train"),
)
def train(
    ctx: typer.Context,
    source: Annotated[
        str | None, typer.Argument(help="digits.", metavar="SOURCE", autocompletion=lambda: ["digits"])
    ] = None,
    model: Annotated[Network, typer.Option(help="The network.")] = Network.unet,
    steps: Annotated[
        int | None,
        typer.Option(
            parser=whole_number,
            metavar="WHOLE",
            help="Training steps. Default: 3000 for unet, 2000 for dit, 4000 for mlp, 1500 for classifier.",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(parser=whole_number, metavar="WHOLE", help="Examples of a step.")] = 128,
    seed: SeedOption = 0,
    guidance: Annotated[
        float, typer.Option(parser=real_number, metavar="NUMBER", help="Strength of guidance of the samples judged.")
    ] = 1.5,
    samples: Annotated[
        int, typer.Option(parser=whole_number, metavar="WHOLE", help="Samples of each class to judge.")
    ] = 100,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    resume: ResumeOption = False,
    repeat: FromOption = None,
    json: JsonOption = False,
) -> None:
    """Train a diffusion model of the digits."""
    with refusals(ctx, resume):
        from sloc.report.run_record import repeated
        from sloc.report.train_command import TrainRequest, run_train

        if repeat is not None:
            refuse_beside_from(ctx, repeat)
            request = repeated(TrainRequest, repeat, "train")
        else:
            source = given_or_from(source, "SOURCE", "digits")
            request = TrainRequest(source, model.value, steps, batch, seed, guidance, samples)
        run_train(request, out, overwrite=overwrite, resume=resume, json=json)


@app.command(
    short_help="Find when a trained model decides the digit.",
    help=paragraphs(
        "Noise digits of one class to many levels, undo it with a model that sloc train wrote, and set the share that "
        "comes back as the same digit beside the exact curve of the images themselves and, with --classifier, beside "
        "what a classifier says of noised images that it never saw.\n\nThe output folder holds curves.csv, uturn.png "
        "and run.json. Needs the extras nn and viz."
    ),
    epilog=examples("uturn"),
)
def uturn(
    ctx: typer.Context,
    weights: Annotated[
        str | None, typer.Argument(help="weights.safetensors of a run of sloc train.", metavar="WEIGHTS")
    ] = None,
    start: Annotated[str, typer.Option(metavar="NAME", help="The digit that is noised.")] = "3",
    times: TimesOption = 12,
    n: Annotated[
        int, typer.Option("--n", "-n", parser=whole_number, metavar="WHOLE", help="Images at each level.")
    ] = 256,
    steps: Annotated[
        int, typer.Option(parser=whole_number, metavar="WHOLE", help="Steps of the sampler from each level.")
    ] = 32,
    seed: SeedOption = 0,
    delta: Annotated[
        float,
        typer.Option(
            parser=real_number,
            metavar="NUMBER",
            help="Error level of each difference of two curves: the chance that its interval misses.",
        ),
    ] = 0.05,
    classifier: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="weights.safetensors of a run of sloc train --model classifier."),
    ] = None,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    resume: ResumeOption = False,
    repeat: FromOption = None,
    json: JsonOption = False,
) -> None:
    """Find when a trained model decides the digit."""
    with refusals(ctx, resume):
        from sloc.report.run_record import repeated
        from sloc.report.uturn_command import FILES, UturnRequest, run_uturn

        if repeat is not None:
            refuse_beside_from(ctx, repeat)
            request = repeated(UturnRequest, repeat, "uturn", *FILES)
        else:
            weights = given_or_from(weights, "WEIGHTS", "a weights.safetensors of sloc train")
            request = UturnRequest(weights, start, times, n, steps, seed, delta, classifier)
        run_uturn(request, out, overwrite=overwrite, resume=resume, json=json)


app.add_typer(lm_app, name="lm")


@app.command(
    short_help="Evaluate alone the block of draws at which a run met NaN.",
    help=paragraphs(
        "Evaluate alone the block of draws at which a run met values that are not numbers.\n\nSuch a run of sloc "
        "window, sloc tree or sloc uturn names the block; with --resume it keeps it beside its output folder, too.\n\n"
        "To do a whole run again, use its own command with --from."
    ),
    epilog=examples("replay"),
)
def replay(
    folder: Annotated[str, typer.Argument(help="Output folder of the run, as --out named it.", metavar="FOLDER")],
    json: JsonOption = False,
) -> None:
    """Evaluate alone the block of draws at which a run met NaN."""
    with refusals():
        from sloc.report.replay_command import run_replay

        run_replay(folder, json=json)


SUITES = ["atoms", "certificates", "learned", "lm", "samplers", "structures", "traces", "unnormalized", "windows"]
"""Suites of benchmarks, for completion: they are no part of the package."""


@app.command(
    short_help="Run benchmarks, in a checkout of the repository.",
    help=paragraphs(
        "Run benchmarks, in a checkout of the repository.\n\nSUITES are atoms, certificates (or certified), learned, "
        "lm, samplers (or reverse), structures (or tree), traces, unnormalized and windows; all of them where none is "
        "named. Each prints a table of medians over interleaved rounds."
    ),
    epilog=examples("bench"),
)
def bench(
    suites: Annotated[
        list[str] | None, typer.Argument(help="Which suites.", metavar="SUITES", autocompletion=lambda: SUITES)
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", metavar="", help="Tiny sizes, to show that everything runs.")
    ] = False,
    rounds: Annotated[
        int | None,
        typer.Option(parser=whole_number, metavar="WHOLE", help="Interleaved rounds. Default: 5; 2 with --smoke."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAMES", help="Run these parts only; repeat it or separate by commas. Default: all."),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "--output", "-o", metavar="FOLDER", help="Folder for files SUITE-DEVICE.json."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="RESULT",
            help="A committed result of this device, or their folder: ends with exit code 1 where a ratio is more than "
            "twice as bad.",
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            metavar="",
            help="Show operations, bytes and memory of each compiled kernel, and its floor, instead.",
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Run benchmarks."""
    with refusals(left="results of suites that were done are kept"):
        from sloc.report.bench_command import bench_module

        status = bench_module().run_bench(
            suites or (),
            smoke=smoke,
            rounds=rounds,
            only=split_list(only, "--only"),
            json=json,
            out=out,
            against=against,
            explain=explain,
        )
    raise typer.Exit(status)


@app.command(epilog=examples("info"))
def info(
    json: JsonOption = False,
) -> None:
    """Print versions, devices and precision."""
    with refusals():
        import jax
        from rich.console import Console

        import sloc
        from sloc.contracts import float_dtype
        from sloc.report.command_run import print_json
        from sloc.report.output import versions

        found: dict[str, Any] = {
            **versions(),
            "sloc": sloc.__version__,
            "devices": [str(d) for d in jax.local_devices()],
            "backend": jax.default_backend(),
            "precision": str(float_dtype()),
            "x64": str(float_dtype()) == "float64",
        }
        if json:
            print_json(found, Console())
            return
        for name, value in found.items():
            typer.echo(f"{name:10} {', '.join(value) if isinstance(value, list) else value}")


def main() -> None:
    """Run the command line; in a launch of several processes, join the others first."""
    for stream in (sys.stdout, sys.stderr):
        # Where the terminal's encoding lacks a character, a mark in its place is better than no answer.
        if isinstance(stream, io.TextIOWrapper):  # None where it is closed
            stream.reconfigure(errors="replace")
    try:
        # Benchmarks measure what `import sloc` gives.
        if sys.argv[1:2] != ["bench"]:
            leave_out_ynnpack()
        # A shell that asks what may come next is no part of a launch.
        if "_SLOC_COMPLETE" not in os.environ:
            try:
                join_launch()
            except typer.Exit as end:
                # Outside of `app`, which would end the process with this status.
                raise SystemExit(end.exit_code) from None
        app(prog_name="sloc")
    except OSError as error:
        if "--install-completion" not in sys.argv[1:2]:
            raise
        # The shell's start-up file cannot be written.
        typer.echo(f"sloc: --install-completion: {error}", err=True)
        raise SystemExit(1) from None
    except SystemExit as end:
        if end.code == INTERRUPTED:
            # A chunk may still be running on JAX's threads; taking Python down around it can crash.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(INTERRUPTED)
        raise


if __name__ == "__main__":
    main()
