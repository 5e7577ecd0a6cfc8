"""The verb ``sloc traces``: windows and moves of recorded answers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from sloc.report.cli_options import FromOption, JsonOption, OutOption, OverwriteOption, refuse_beside_from, was_given
from sloc.report.cli_parts import given_or_from, paragraphs, real_number, refusals
from sloc.report.traces_command import COLUMN_HELP

TRACES_HELP = paragraphs(
    "Find when recorded answers are decided, from resamples of a generation kept up to a point.\n\n" + COLUMN_HELP
)


class Correction(StrEnum):
    """Corrections over the steps of a question."""

    bonferroni = "bonferroni"
    holm = "holm"


class AcrossQuestions(StrEnum):
    """Corrections over questions."""

    none = "none"
    holm = "holm"
    bh = "bh"


class Ordering(StrEnum):
    """How the exact test orders outcomes."""

    difference = "difference"
    score = "score"


def traces(
    ctx: typer.Context,
    table: Annotated[
        str | None,
        typer.Argument(
            metavar="TABLE",
            help="A .csv, .jsonl (either also .gz) or .parquet table; or recorded branches: a store of sloc's, a "
            "forking-fast .json(.gz), a folder of these.",
        ),
    ] = None,
    rise: Annotated[
        float | None,
        typer.Option(
            parser=real_number,
            metavar="NUMBER",
            help="A window of the full generation's answer is a step up by more than this, a move of all answers a "
            "change by more than this in total variation. Default: 0.5 for windows, 0.3 for moves (recorded branches "
            "have moves only).",
        ),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            parser=real_number, metavar="NUMBER", help="No window by the rule after a drop of more than this."
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            parser=real_number,
            metavar="NUMBER",
            help="Level of tests: the chance of reporting a false window (with --across bh the share of false ones), "
            "that its bands miss, and the share of false moves. Default: 0.05 for windows, 0.1 for moves.",
        ),
    ] = None,
    correction: Annotated[Correction, typer.Option(help="Over the steps of a question.")] = Correction.bonferroni,
    across: Annotated[AcrossQuestions, typer.Option(help="Over questions.")] = AcrossQuestions.none,
    statistic: Annotated[Ordering, typer.Option(help="How the exact test orders outcomes.")] = Ordering.difference,
    gap: Annotated[
        float | None,
        typer.Option(
            parser=real_number,
            metavar="NUMBER",
            help="How far apart the two positions of a move are. Default: 4 tokens, or one step of fractions and of "
            "positions that are no tokens.",
        ),
    ] = None,
    adjacent: Annotated[
        bool | None,
        typer.Option(
            "--adjacent/--no-adjacent",
            metavar="",
            help="Whether positions that differ by one are consecutive tokens, so that log-probabilities bound what a "
            "step can move; say --no-adjacent where they number sentences. Default: whether all differ by one.",
        ),
    ] = None,
    level: Annotated[
        float, typer.Option(parser=real_number, metavar="NUMBER", help="Coverage of the bands of all answers' curves.")
    ] = 0.9,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    repeat: FromOption = None,
    json: JsonOption = False,
) -> None:
    """Find when recorded answers are decided."""
    with refusals(ctx):
        from sloc.contracts import named, require
        from sloc.report.recorded_analysis import ALPHA, SIZE
        from sloc.report.recorded_command import is_recorded, run_recorded
        from sloc.report.traces_command import run_traces

        if repeat is not None:
            from sloc.report.traces_repeat import repeat_traces

            refuse_beside_from(ctx, repeat)
            repeat_traces(repeat, out, overwrite=overwrite, json=json)
            return
        table = given_or_from(table, "TABLE", "a table, recorded branches")
        size, false = SIZE if rise is None else rise, ALPHA if alpha is None else alpha
        with named("table", "path"):
            recorded = is_recorded(table)
        if recorded:
            # Curves of branches have their own test: what does not apply to them is refused, not ignored.
            for name in ("max_drop", "correction", "across", "statistic"):
                asked = getattr(ctx.params[name], "value", ctx.params[name])
                need = "no such option with recorded branches; it goes with a table"
                require(not was_given(ctx, name), name, asked, need)
            own: Any = {"size": size, "alpha": false, "gap": gap, "level": level, "adjacent": adjacent}
            with named("table", "path"):
                run_recorded(table, out, **own, overwrite=overwrite, json=json)
            return
        with named("table", "path"):
            run_traces(
                table,
                out,
                rise=0.5 if rise is None else rise,
                max_drop=max_drop,
                alpha=0.05 if alpha is None else alpha,
                correction=correction.value,
                across=across.value,
                statistic=statistic.value,
                size=size,
                move_alpha=false,
                gap=gap,
                level=level,
                adjacent=adjacent,
                overwrite=overwrite,
                json=json,
            )
