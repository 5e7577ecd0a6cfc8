"""Options that several commands have, each said once: what it is called, how it is read, and its help."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sloc.report.cli_parts import option_names, real_number, whole_number

OUTPUT = "Output"
"""The panel of a command's help that stands last."""


def _flag(name: str, words: str) -> Any:
    """Return an option of the output that takes no value."""
    return typer.Option(name, metavar="", rich_help_panel=OUTPUT, help=words)


ProcessOption = Annotated[
    list[str] | None,
    typer.Option(
        "--process",
        "-p",
        metavar="NAMES",
        autocompletion=lambda: ["ou", "ve", "flow", "masking"],
        help="ou (Ornstein-Uhlenbeck: noise is mixed in while the signal fades; variance-preserving diffusion), "
        "ve (variance-exploding: noise is added to the data as they are), flow (flow matching: a straight line from "
        "data to noise) or masking (coordinates are hidden one by one); repeat it or separate by "
        "commas. Default: ou,masking for digits, ou for others.",
    ),
]
EpsilonOption = Annotated[
    float, typer.Option(parser=real_number, metavar="NUMBER", help="Threshold of total variation, between 0 and 1.")
]
DrawsOption = Annotated[
    int,
    typer.Option(
        "--n",
        "-n",
        parser=whole_number,
        metavar="WHOLE",
        help="Trajectories of each pass, rounded up to whole blocks; a second pass looks inside the brackets of the "
        "first.",
    ),
]
TimesOption = Annotated[int, typer.Option(parser=whole_number, metavar="WHOLE", help="Noise levels.")]
SeedOption = Annotated[
    int, typer.Option(parser=whole_number, metavar="WHOLE", help="Seed; the same seed gives the same numbers.")
]
DeltaOption = Annotated[
    float,
    typer.Option(
        parser=real_number,
        metavar="NUMBER",
        help="Error level of bands and intervals: the chance that one of them misses.",
    ),
]
DevicesOption = Annotated[
    str | None,
    typer.Option(
        metavar="DEVICES", help="How many local devices to use, or a kind of them: cpu, gpu or tpu. Default: all."
    ),
]
SourceArgument = Annotated[
    str | None, typer.Argument(help="digits, gaussians, or a .npz, .csv or .parquet file.", metavar="SOURCE")
]
ColumnsOption = Annotated[str | None, typer.Option("--x", metavar="COLUMNS", help="Array or columns of the samples.")]
LabelsOption = Annotated[str | None, typer.Option(metavar="COLUMN", help="Array or column of the labels.")]
ScaleOption = Annotated[
    str | None,
    typer.Option(
        metavar="SCALE",
        help="standard (each coordinate to mean 0, deviation 1), none, or a,b (smallest and largest value of all). "
        "Default: standard; -1,1 with --image.",
    ),
]
ImageOption = Annotated[str | None, typer.Option(metavar="SIZE", help="Height x width of a sample, such as 8x8.")]
MeansOption = Annotated[str | None, typer.Option(metavar="POINTS", help='Means of gaussians, such as "4,0;-4,0".')]
WeightsOption = Annotated[
    str | None, typer.Option(metavar="NUMBERS", help='Weights of gaussians, such as "0.5,0.5". Default: equal.')
]
CovariancesOption = Annotated[
    str | None,
    typer.Option(
        metavar="MATRICES",
        help='A variance "1", one per coordinate "1,2", a matrix "1,0;0,2", or a matrix for each separated by |. '
        "Default: 1.",
    ),
]
OutOption = Annotated[
    str | None,
    typer.Option(
        "--out",
        "--output",
        "-o",
        metavar="FOLDER",
        rich_help_panel=OUTPUT,
        help="Folder to write; nothing is written without it.",
    ),
]
OverwriteOption = Annotated[bool, _flag("--overwrite", "Replace the run that the folder holds.")]
ResumeOption = Annotated[
    bool,
    _flag(
        "--resume",
        "Keep checkpoints beside the output folder, and go on from those of a run that was cut off; needs --out.",
    ),
]
JsonOption = Annotated[bool, _flag("--json", "Print one JSON object to standard output.")]
FromOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="RUN",
        rich_help_panel=OUTPUT,
        help="Repeat a run with every argument as it was: its output folder, or the run.json in it. Only options of "
        "the output may stand beside it.",
    ),
]


def was_given(ctx: typer.Context, name: str) -> bool:
    """Return whether an option stood on the command line."""
    found = ctx.get_parameter_source(name)
    return found is not None and found.name not in ("DEFAULT", "DEFAULT_MAP")


def refuse_beside_from(ctx: typer.Context, repeat: str) -> None:
    """Refuse options that a run which is repeated exactly has already; those of the output may stand beside it.

    Args:
        ctx: the command's context.
        repeat: what ``--from`` was given.

    Raises:
        InvalidInput: another option was given.

    """
    from sloc.contracts import require

    options = option_names(ctx)
    allowed = [f"--{name}" for name in ("out", "overwrite", "resume", "json") if name in options]
    given = [typed for name, typed in options.items() if was_given(ctx, name) and typed not in ("--from", *allowed)]
    need = f"no other options beside it than {', '.join(allowed[:-1])} and {allowed[-1]}; got {', '.join(given)}"
    require(not given, "--from", repeat, need)


def devices_of(given: str | None) -> int | str | None:
    """Return ``--devices`` as :class:`sloc.Plan` takes it: how many, or a kind."""
    return int(given) if given is not None and given.isdecimal() else given
