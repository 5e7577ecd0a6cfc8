"""Everything behind ``sloc tree``: check, build the mixture tree of each process, print, and write a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from sloc.contracts import component_names, float_dtype
from sloc.engine.plan import Plan
from sloc.report.checkpoints import checkpoints
from sloc.report.command_run import CommandRun
from sloc.report.output import write_picture
from sloc.report.sources import Source, plural
from sloc.report.style import INK, new_figure, styled
from sloc.report.window_command import WindowRequest, checked_request, read_file
from sloc.report.window_picture import draw_tree
from sloc.report.window_settings import PROCESSES
from sloc.report.window_tree import tree_record, write_trees
from sloc.report.window_words import level_words, process_title
from sloc.results.tree import MixtureTree
from sloc.windows.tree import mixture_tree

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PICTURE = "tree.png"
"""Name of the picture in the output folder."""
_ROWS = 30
"""Merges that are printed; the folder holds all of them."""
_SAID = {"holds": "yes", "fails": "no", "open": "not settled"}


def run_tree(
    request: WindowRequest,
    out: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    json: bool = False,
    console: Console | None = None,
    log: Console | None = None,
) -> dict[str, Any]:
    """Build the mixture tree of every process (:func:`sloc.mixture_tree`), print it, and write the output folder.

    The folder holds ``tree.csv`` (a row per node), ``tree.nwk`` (Newick, a tree a line, the root labelled with the
    process), ``tree.png`` (where matplotlib is installed) and ``run.json``, from which the run can be repeated exactly.
    It appears when all is written; after bad input, a failure or Ctrl-C nothing is there.

    Args:
        request: what to run; the number of noise levels is that of the grid, classes are all of them.
        out: the folder to write; nothing is written when None.
        overwrite: whether a run in ``out`` may be replaced.
        resume: keep checkpoints beside ``out`` while running, and go on from those of a run that was cut off, to the
            same bits; they are removed when everything is written.
        json: print one JSON object to ``console`` and nothing else there.
        console: where results go; standard output when None.
        log: where progress goes; standard error when None.

    Returns:
        ``{"command", "arguments", "results", "seconds", "output"}`` in JSON's types.

    Raises:
        InvalidInput: bad input or a folder that cannot be written.
        ContractError: a process under which the population cannot be evaluated.
        NotANumber: a likelihood is NaN; names the block of draws.
        OSError: the disk is full, or anything else that keeps a file from being written.

    """
    from rich.console import Console

    run = CommandRun("tree", out, overwrite=overwrite, json=json, console=console)
    log = Console(stderr=True) if log is None else log
    names, source = checked_request(request)
    with checkpoints(out, request, resume, "tree") as kept:
        trees = grown(request, names, source, log, Plan(devices=request.settings.devices, checkpoint=kept))
        record = run.record(_arguments(request, names, source), _found(source, trees))
        run.write(
            record,
            lambda folder: _write(folder, trees),
            lambda folder: write_picture(_picture(trees, source), folder / PICTURE, 130),
        )
    return run.say(record, lambda console: _show(trees, source, console), "tables and a picture", PICTURE)


def grown(
    request: WindowRequest, names: Sequence[str], source: Source, log: Console, plan: Plan
) -> list[tuple[str, MixtureTree]]:
    """Build the tree of one process after the other."""
    trees = []
    for name in names:
        with log.status(f"merging {len(component_names(source.population))} classes ({name}) ..."):
            trees.append((name, _tree(request, name, source, plan)))
    return trees


def _tree(request: WindowRequest, name: str, source: Source, plan: Plan) -> MixtureTree:
    settings, process = request.settings, PROCESSES[name]()
    # As in sloc window, the numbers of a process do not depend on which others are run.
    key = jax.random.fold_in(jax.random.key(settings.seed), list(PROCESSES).index(name))
    return mixture_tree(
        key,
        process,
        source.population,
        epsilon=settings.epsilon,
        times=process.grid(settings.times),
        n=settings.n,
        delta=settings.delta,
        plan=plan,
    )


def _arguments(request: WindowRequest, names: Sequence[str], source: Source) -> dict[str, Any]:
    return request.to_arguments() | {"source": source.file or request.source, "processes": list(names)}


def _found(source: Source, trees: Sequence[tuple[str, MixtureTree]]) -> dict[str, Any]:
    return {
        "source": source.title,
        **read_file(source),
        "classes": list(component_names(source.population)),
        "processes": {name: tree_record(name, tree) for name, tree in trees},
        "devices": [str(d) for d in jax.local_devices()],
        "x64": str(float_dtype()) == "float64",
    }


def _write(folder: Path, trees: Sequence[tuple[str, MixtureTree]]) -> None:
    write_trees(folder, trees)


def _picture(trees: Sequence[tuple[str, MixtureTree]], source: Source) -> Any:
    with styled():
        wide = max(5.8, min(14.0, 0.5 * len(trees[0][1].names) + 2.5))
        figure = new_figure(wide, 3.7 * len(trees))
        for ax, (name, tree) in zip(figure.subplots(len(trees), squeeze=False)[:, 0], trees, strict=True):
            draw_tree(ax, name, tree, source, first=True)
            if len(trees) > 1:
                ax.set_ylabel(f"{process_title(name, source)}:\nnoise level of the merge", color=INK)
    return figure


def _table(name: str, tree: MixtureTree, source: Source) -> Table:
    from rich.table import Table
    from rich.text import Text

    question = f"From what noise on are {plural(source.noun)} one?"
    table = Table(
        title=f"{question}  {process_title(name, source)}, TV ≤ {tree.epsilon:g}",
        title_justify="left",
    )
    for head in ("merged", "from", "interval", "merged?", "apart from the rest?"):
        table.add_column(head)
    merges = sorted((n for n in tree.nodes if n.children), key=lambda n: tree.heights()[n.index])
    for node in merges[:_ROWS]:
        level = "-" if node.noise_amount is None else level_words(name, node.noise_amount)
        between = (
            "-"
            if node.interval is None
            else " to ".join(level_words(name, float(v)).removeprefix("t = ") for v in node.interval)
        )
        table.add_row(
            Text(tree.node_name(node.index)), level, between, _SAID[node.merged.verdict], _SAID[node.apart.verdict]
        )
    if len(merges) > _ROWS:
        table.add_row(f"and {len(merges) - _ROWS} more", "", "", "", "")
    return table


def _show(trees: Sequence[tuple[str, MixtureTree]], source: Source, console: Console) -> None:
    for name, tree in trees:
        console.print(_table(name, tree, source))
        for key, condition in tree.conditions.items():
            console.print(f"{key}: {condition.verdict} ({condition.statement})", markup=False, highlight=False)
        console.print()
