"""``sloc lm``: experiments on language models."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from sloc.report.cli_options import (
    OUTPUT,
    FromOption,
    JsonOption,
    OutOption,
    OverwriteOption,
    SeedOption,
    refuse_beside_from,
)
from sloc.report.cli_parts import (
    OneLine,
    given_or_from,
    paragraphs,
    real_number,
    refusals,
    split_list,
    whole_number,
)
from sloc.report.help_examples import examples

lm_app: typer.Typer = typer.Typer(
    cls=OneLine,
    add_completion=False,
    no_args_is_help=True,
    help="Language models: where a text decided its answer. Needs the extra lm.",
    epilog=examples("lm"),
)

DATA_HELP = """\
Questions, one JSON object a line:

question (a text) or messages (turns of a chat, each with role and content).
id (optional): its name; the number of its line otherwise.
answer (optional): the right one.
choices (optional): texts of a multiple choice; A is the first.
prefill (optional): how the model's answer begins; never cut.
raw (optional): true to send the text as it is, without the task's instructions."""
"""The rules of the file of questions, for ``--help``."""


GENERATIONS, ANSWERS, WINDOWS = "Cuts and draws", "Answers", "Windows"
ENGINE, SERVER = "The engine of sloc", "Servers"
"""Panels of the help."""


class CutKind(StrEnum):
    """Where generations are cut."""

    fraction = "fraction"
    token = "token"
    sentence = "sentence"


class Detector(StrEnum):
    """Definitions of a window."""

    test = "test"
    rule = "rule"
    moves = "moves"


class StoreKind(StrEnum):
    """Files of samples."""

    jsonl = "jsonl"
    parquet = "parquet"


class EndpointName(StrEnum):
    """Endpoints of a server."""

    completions = "completions"
    chat = "chat"


def _option(
    help_text: str,
    *names: str,
    whole: bool = False,
    real: bool = False,
    metavar: str | None = None,
    panel: str | None = None,
) -> Any:
    if whole:
        return typer.Option(*names, parser=whole_number, metavar="WHOLE", rich_help_panel=panel, help=help_text)
    if real:
        return typer.Option(*names, parser=real_number, metavar="NUMBER", rich_help_panel=panel, help=help_text)
    return typer.Option(*names, metavar=metavar, rich_help_panel=panel, help=help_text)


def _numbers(values: list[str] | None, option: str) -> tuple[float, ...] | None:
    from sloc.contracts import InvalidInput

    try:
        return tuple(real_number(v) for v in split_list(values, option)) if values else None
    except typer.BadParameter:
        raise InvalidInput(f"{option} = {','.join(values or ())}: expected numbers separated by commas") from None


@lm_app.command(
    help=paragraphs(
        "Find where each generation of a language model decided its answer: generate, cut, continue many times from "
        f"each cut, and read the answers.\n\n{DATA_HELP}\n\nThe output folder holds index.html (coloured "
        "texts, curves, windows), samples.jsonl.gz (every sample; sloc traces reads it), answers.csv, windows.csv, "
        "steps.csv, accuracy.csv, problems.txt and run.json. A run that was cut off goes on by the same command."
    ),
    epilog=examples("lm windows"),
)
def windows(
    ctx: typer.Context,
    model: Annotated[
        str | None,
        _option(
            "Folder of a checkpoint or hub id; transformers:FOLDER; or the URL of an OpenAI-compatible server "
            "(#NAME behind it where it serves several models).",
            metavar="MODEL",
        ),
    ] = None,
    data: Annotated[str | None, _option("File of questions, one JSON object a line.", metavar="FILE")] = None,
    task: Annotated[
        str | None,
        _option(
            "How answers are read: math, choice, json[:entry], regex:PATTERN, template:TEXT (blanks as {one|other}) or "
            "python:module.function.",
            metavar="TASK",
        ),
    ] = None,
    benchmark: Annotated[
        str | None,
        _option(
            "The file holds rows of math, logiqa, truthfulqa, mmlu, arc-challenge, arc-easy or aqua-rat.",
            metavar="NAME",
        ),
    ] = None,
    cuts: Annotated[CutKind, _option("Where generations are cut.", panel=GENERATIONS)] = CutKind.fraction,
    fractions: Annotated[
        list[str] | None,
        _option(
            "Kept fractions, such as 0,0.1,0.3,0.5,0.7,0.9. Default: every tenth.", metavar="NUMBERS", panel=GENERATIONS
        ),
    ] = None,
    every: Annotated[int, _option("One cut of tokens or sentences in so many.", whole=True, panel=GENERATIONS)] = 1,
    resamples: Annotated[int, _option("Continuations of each cut.", whole=True, panel=GENERATIONS)] = 25,
    generations: Annotated[int, _option("Generations of each question.", whole=True, panel=GENERATIONS)] = 1,
    new_tokens: Annotated[
        int, _option("Tokens of a generation at most.", "--new-tokens", whole=True, panel=GENERATIONS)
    ] = 256,
    temperature: Annotated[
        float | None, _option("Temperature of the draws. Default: the model's own.", real=True, panel=GENERATIONS)
    ] = None,
    top_k: Annotated[
        int | None, _option("The likeliest tokens that may be drawn.", "--top-k", whole=True, panel=GENERATIONS)
    ] = None,
    top_p: Annotated[
        float | None, _option("Mass of the tokens that may be drawn.", "--top-p", real=True, panel=GENERATIONS)
    ] = None,
    min_p: Annotated[
        float | None, _option("Least probability over the largest.", "--min-p", real=True, panel=GENERATIONS)
    ] = None,
    stop: Annotated[
        list[str] | None,
        _option("A text that ends a generation; repeat it for more.", metavar="TEXT", panel=GENERATIONS),
    ] = None,
    sweep: Annotated[
        list[str] | None,
        _option("Further temperatures for the same cuts, such as 0.2,1.", metavar="NUMBERS", panel=GENERATIONS),
    ] = None,
    stump: Annotated[
        bool, _option("Also ask for the answer at once at each cut.", "--stump", metavar="", panel=ANSWERS)
    ] = False,
    judge: Annotated[
        str | None, _option("A model that reads the answers, named as --model.", metavar="MODEL", panel=ANSWERS)
    ] = None,
    judge_labels: Annotated[
        str, _option("What the judge may say; the first is right.", "--judge-labels", metavar="WORDS", panel=ANSWERS)
    ] = "right,wrong",
    rise: Annotated[float, _option("A window moves by more than this.", real=True, panel=WINDOWS)] = 0.5,
    max_drop: Annotated[
        float | None,
        _option("No window by the rule after a drop of more than this.", "--max-drop", real=True, panel=WINDOWS),
    ] = None,
    alpha: Annotated[
        float,
        _option(
            "Level of tests: the chance of a false finding; of moves, the share of false ones.",
            real=True,
            panel=WINDOWS,
        ),
    ] = 0.05,
    detector: Annotated[Detector, _option("Which windows the accuracies are about.", panel=WINDOWS)] = Detector.test,
    revise: Annotated[
        int,
        _option(
            "Texts that are asked to revise from before each generation's first window.", whole=True, panel=WINDOWS
        ),
    ] = 0,
    seed: SeedOption = 0,
    lanes: Annotated[int, _option("Branches that decode at a time (own engine).", whole=True, panel=ENGINE)] = 512,
    dtype: Annotated[
        str | None, _option("float32 or bfloat16. Default: as stored.", metavar="TYPE", panel=ENGINE)
    ] = None,
    adapter: Annotated[
        str | None, _option("Folder of a LoRA adapter to merge (own engine).", metavar="FOLDER", panel=ENGINE)
    ] = None,
    endpoint: Annotated[
        EndpointName | None, _option("Which of a server's addresses is asked. Default: completions.", panel=SERVER)
    ] = None,
    tokenizer: Annotated[
        str | None,
        _option(
            "Folder of the server's tokenizer, for token-id prompts and chat templates.", metavar="FOLDER", panel=SERVER
        ),
    ] = None,
    per_request: Annotated[
        int | None, _option("Texts of one request to a server.", "--per-request", whole=True, panel=SERVER)
    ] = None,
    concurrency: Annotated[
        int | None, _option("Requests to a server that are open at a time.", whole=True, panel=SERVER)
    ] = None,
    rate: Annotated[float | None, _option("Requests a second to a server at most.", real=True, panel=SERVER)] = None,
    retries: Annotated[
        int | None, _option("Times that a failed request to a server is sent again.", whole=True, panel=SERVER)
    ] = None,
    timeout: Annotated[
        float | None, _option("Seconds until a request counts as failed.", real=True, panel=SERVER)
    ] = None,
    store: Annotated[StoreKind, _option("How samples are stored.", panel=OUTPUT)] = StoreKind.jsonl,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    repeat: FromOption = None,
    json: JsonOption = False,
) -> None:
    """Find where each generation decided its answer."""
    with refusals(ctx, out is not None or None):
        _need_extras()
        from sloc.report.lm_command import LmRequest, run_lm_windows
        from sloc.report.run_record import repeated

        if repeat is not None:
            refuse_beside_from(ctx, repeat)
            request = repeated(LmRequest, repeat, "lm windows", "data")
            run_lm_windows(request, out, overwrite=overwrite, json=json, progress=sys.stderr.isatty())
            return
        model = given_or_from(model, "--model", "a checkpoint or a server")
        data = given_or_from(data, "--data", "a file of questions")
        given = _numbers(fractions, "--fractions")
        options = dict(
            dtype=dtype,
            adapter=adapter,
            endpoint=None if endpoint is None else endpoint.value,
            tokenizer=tokenizer,
            per_request=per_request,
            concurrency=concurrency,
            rate=rate,
            retries=retries,
            timeout=timeout,
        )
        request = LmRequest(
            model,
            data,
            task,
            benchmark,
            cuts.value,
            every=every,
            resamples=resamples,
            generations=generations,
            new_tokens=new_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            stop=tuple(stop or ()),
            sweep=_numbers(sweep, "--sweep") or (),
            stump=stump,
            judge=judge,
            judge_labels=split_list([judge_labels], "--judge-labels"),
            rise=rise,
            max_drop=max_drop,
            alpha=alpha,
            detector=detector.value,
            revise=revise,
            seed=seed,
            lanes=lanes,
            store=store.value,
            server={k: v for k, v in options.items() if v is not None},
            **({} if given is None else {"fractions": given}),
        )
        run_lm_windows(request, out, overwrite=overwrite, json=json, progress=sys.stderr.isatty())


@lm_app.command(
    help=paragraphs(
        "Show it without a download.\n\n"
        "grammar: a small transformer learns a text with five blanks, of which everything is known; predicted and "
        "measured jumps stand side by side.\n\n"
        "addition: a small transformer learns sums with their carries; where its wrong answers went wrong, and "
        "accuracy with and without windows.\n\n"
        "stories: cat or dog, happy or sad; needs --model, the folder of a model of short stories such as "
        "stories260k.\n\nTraining takes less than four minutes on two cores, and the extra nn."
    ),
    epilog=examples("lm demo"),
)
def demo(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            help="grammar, addition or stories.",
            metavar="NAME",
            autocompletion=lambda: ["grammar", "addition", "stories"],
        ),
    ] = None,
    model: Annotated[str | None, _option("Folder of a model of short stories, for stories.", metavar="FOLDER")] = None,
    steps: Annotated[
        int | None, _option("Training steps. Default: 400 for grammar, 900 for addition.", whole=True)
    ] = None,
    texts: Annotated[
        int | None,
        _option("Generations. Default: 2 (of each story) for grammar and stories, 40 for addition.", whole=True),
    ] = None,
    resamples: Annotated[
        int | None,
        _option("Continuations of each cut. Default: 200 for grammar, 20 for addition, 50 for stories.", whole=True),
    ] = None,
    seed: SeedOption = 0,
    lanes: Annotated[int, _option("Branches that decode at a time.", whole=True)] = 512,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    repeat: FromOption = None,
    json: JsonOption = False,
) -> None:
    """Show where the texts of a small model decide."""
    with refusals(ctx):
        _need_extras()
        from sloc.report.lm_demo import DemoRequest, run_lm_demo
        from sloc.report.run_record import repeated

        if repeat is not None:
            refuse_beside_from(ctx, repeat)
            request = repeated(DemoRequest, repeat, "lm demo")
        else:
            name = given_or_from(name, "NAME", "grammar, addition, stories")
            request = DemoRequest(name, model, steps, texts, resamples, seed, lanes)
        run_lm_demo(request, out, overwrite=overwrite, json=json)


def _need_extras() -> None:
    from sloc.contracts.extras import need

    for name in ("safetensors", "tokenizers"):
        need("lm", name, "sloc lm")
