"""Everything behind ``sloc window``: check, calibrate, measure, print, and write a folder that is whole or absent."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from sloc.contracts import InvalidInput, component_names, float_dtype, named, require
from sloc.contracts.arguments import checked_choice, checked_kind
from sloc.engine import is_leader
from sloc.engine.plan import Plan
from sloc.report.checkpoints import checkpoints
from sloc.report.command_run import CommandRun
from sloc.report.output import jsonable, write_netcdf
from sloc.report.progress_bars import progress_bars
from sloc.report.sources import Source, load_digits_source, load_file_source, load_gaussians_source, parse_image
from sloc.report.tables import curves_dataset, windows_frame, windows_rows, windows_table
from sloc.report.window_picture import plot_windows
from sloc.report.window_run import PROCESSES, Pilot, ProcessWindows, Settings, decision_order, run_pilot, run_process
from sloc.report.window_tree import tree_record, write_trees
from sloc.report.window_words import summary_paragraph

if TYPE_CHECKING:
    from rich.console import Console

PICTURE = "windows.png"
"""Name of the picture in the output folder."""


WORDS = ("digits", "gaussians")
"""Sources that are no file."""


@dataclass(frozen=True)
class WindowRequest:
    """Everything that ``run.json`` must hold to repeat a run exactly.

    Attributes:
        source: ``digits``, ``gaussians`` or a data file.
        processes: names among ``sloc.report.window_run.PROCESSES``; empty for the source's default.
        settings: numbers of the run.
        x: array or columns of a file.
        labels: array or column of a file's labels.
        scale: scaling of a file's samples.
        image: ``"8x8"`` where a file's samples are images.
        means: of Gaussians, as text.
        weights: of Gaussians, as text.
        covariances: of Gaussians, as text.
        grids: noise levels by process; those missing are chosen by a pilot run.
        refined: noise levels of the second look at the edges, by process; those missing are chosen after the first.

    """

    source: str
    processes: tuple[str, ...] = ()
    settings: Settings = field(default_factory=Settings)
    x: str | None = None
    labels: str | None = None
    scale: str | None = None
    image: str | None = None
    means: str | None = None
    weights: str | None = None
    covariances: str | None = None
    grids: Mapping[str, Sequence[float]] = field(default_factory=dict)
    refined: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def to_arguments(self) -> dict[str, Any]:
        """Return the request in JSON's types; ``sloc.report.run_record.repeated`` reads it back."""
        return jsonable(
            {f.name: getattr(self, f.name) for f in fields(self) if f.name != "settings"}
            | {"settings": asdict(self.settings)}
        )

    def load(self) -> Source:
        """Load and check the data.

        Raises:
            InvalidInput: options that do not belong to the source, or what the loaders refuse.

        """
        files = {"x": self.x, "labels": self.labels, "scale": self.scale, "image": self.image}
        mixture = {"means": self.means, "weights": self.weights, "covariances": self.covariances}
        foreign = mixture if self.source not in WORDS else files
        if self.source == "digits":
            foreign = files | mixture
        for name, value in foreign.items():
            if value is not None:
                owner = "data files" if name in files else "the source gaussians"
                given = f"the source {self.source}" if self.source in WORDS else "a data file"
                raise InvalidInput(f"{name} = {value}: expected no such option with {given}; it goes with {owner}")
        if self.source == "digits":
            return load_digits_source()
        if self.source == "gaussians":
            return load_gaussians_source(self.means, self.weights, self.covariances)
        with named("source", "path"):
            return load_file_source(self.source, self.x, self.labels, self.scale, self.image)


def run_window(
    request: WindowRequest,
    out: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    json: bool = False,
    console: Console | None = None,
    log: Console | None = None,
) -> dict[str, Any]:
    """Find when each class is decided, print it, and write the output folder.

    The folder holds ``windows.csv`` (a row per window), ``curves.nc`` (all curves, for xarray), ``windows.png``
    (where matplotlib is installed) and ``run.json``, from which the run can be repeated exactly; where every pair of
    classes was measured also ``tree.csv`` (a row per node of each mixture tree) and ``tree.nwk`` (Newick, a tree per
    line, the root labelled with the process).  It appears when all is written; after bad input, a failure or Ctrl-C
    nothing is there.

    Args:
        request: what to run.
        out: the folder to write; nothing is written when None.
        overwrite: whether a run in ``out`` may be replaced.
        resume: keep checkpoints beside ``out`` while running, and go on from those of a run that was cut off; they are
            removed when everything is written.
        json: print one JSON object to ``console`` and nothing else there.
        console: where results go; standard output when None.
        log: where progress goes; standard error when None.

    Returns:
        ``{"command", "arguments", "results", "seconds", "output"}`` in JSON's types.

    Raises:
        InvalidInput: bad input or a folder that cannot be written.
        ContractError: a process under which the population cannot be evaluated.

    """
    checked_kind(request, "request", WindowRequest, "a WindowRequest")
    from rich.console import Console

    run = CommandRun("window", out, overwrite=overwrite, json=json, console=console)
    log = Console(stderr=True, quiet=not is_leader()) if log is None else log
    names, source = checked_request(request)
    with checkpoints(out, request, resume) as folder:
        plan = Plan(devices=request.settings.devices, checkpoint=folder)
        results = measured(request, names, source, log, plan)
        record = run.record(_arguments(request, names, source, results), _found(source, results))
        if not is_leader():
            return record
        with log.status("writing files and picture ..."):
            run.write(
                record,
                lambda folder: _write(folder, results),
                lambda folder: plot_windows(results, source, folder / PICTURE, seed=request.settings.seed),
            )
    return run.say(
        record, lambda console: _show(results, source, record, console), "tables, curves and a picture", PICTURE
    )


def checked_request(request: WindowRequest) -> tuple[tuple[str, ...], Source]:
    """Return the names of the processes and the data, before anything is computed.

    Raises:
        InvalidInput: what cannot be run.

    """
    names = _processes(request)
    for name in names:
        checked_choice(name, "processes", PROCESSES)
    require(len(set(names)) == len(names), "processes", names, "each process once")
    if request.image is not None:
        parse_image(request.image)
    source = request.load()
    request.settings.validate(source.population)
    return names, source


def _processes(request: WindowRequest) -> tuple[str, ...]:
    return request.processes or (("ou", "masking") if request.source == "digits" else ("ou",))


def measured(
    request: WindowRequest, names: Sequence[str], source: Source, log: Console, plan: Plan
) -> list[ProcessWindows]:
    """Calibrate every process first, so that the estimate covers the whole run, then measure."""
    settings, population = request.settings, source.population
    pilots: dict[str, Pilot] = {}
    missing = [name for name in names if name not in request.grids]
    if missing:
        with log.status(f"compiling and looking where the curves move ({', '.join(missing)}) ..."):
            for name in missing:
                pilots[name] = run_pilot(name, population, settings, plan)
        seconds = sum(p.seconds for p in pilots.values())
        about = f"about {seconds:.0f} s, compilation aside" if seconds >= 1 else "less than a second, compilation aside"
        if plan.checkpoint is not None:  # what writes its checkpoints, or reads them, was not timed
            about = "the time left stands beside the bar"
        log.print(
            f"{settings.n:,} trajectories × {settings.times} noise levels × {len(names)} "
            f"process{'es' if len(names) > 1 else ''}: {about}",
            highlight=False,
        )
    else:
        log.print(
            f"{settings.n:,} trajectories on the recorded grids; the time left stands beside the bar", highlight=False
        )
    grids = {n: np.asarray(request.grids[n], np.float64) if n in request.grids else pilots[n].times for n in names}
    results = []
    with progress_bars(log) as bar:
        for name in names:
            refined = request.refined.get(name)
            found = run_process(
                name,
                population,
                settings,
                grids[name],
                plan,
                bar(name),
                refined=refined,
                progress_refined=bar(f"{name}, edges"),
            )
            results.append(found)
    return results


def _arguments(
    request: WindowRequest, names: Sequence[str], source: Source, results: Sequence[ProcessWindows]
) -> dict[str, Any]:
    return request.to_arguments() | {
        "source": source.file or request.source,
        "processes": list(names),
        "grids": {r.name: r.times for r in results},
        "refined": {r.name: r.refined for r in results if r.refined.size},
    }


def read_file(source: Source) -> dict[str, str]:
    """Return the digest of the data file, by which ``--from`` knows it again; nothing where there is none."""
    return {} if source.sha256 is None else {"source_sha256": source.sha256}


def _found(source: Source, results: Sequence[ProcessWindows]) -> dict[str, Any]:
    found = {}
    for result in results:
        found[result.name] = {
            "summary": summary_paragraph(result, source),
            "trajectories": result.draws,
            "seconds": round(result.seconds, 3),
            "entropy_bits": result.entropy,
            "half_information": {
                "t": result.half,
                "interval": result.half_interval,
                "status": result.half_status,
            },
            "order": decision_order(result.classes),
            "windows": [row for row in windows_rows([result]) if row["kind"] == "class"],
            "pairs": [row for row in windows_rows([result]) if row["kind"] == "pair"],
            "tree": None if result.tree is None else tree_record(result.name, result.tree),
        }
    return {
        "source": source.title,
        **read_file(source),
        "classes": list(component_names(source.population)),
        "processes": found,
        "devices": [str(d) for d in jax.local_devices()],
        "x64": float_dtype() == np.float64,
    }


def _write(folder: Path, results: Sequence[ProcessWindows]) -> None:
    windows_frame(results).to_csv(folder / "windows.csv", index=False)
    write_netcdf(curves_dataset(results), folder / "curves.nc")
    write_trees(folder, [(r.name, r.tree) for r in results if r.tree is not None])


def _show(results: Sequence[ProcessWindows], source: Source, record: dict[str, Any], console: Console) -> None:
    for result in results:
        console.print(windows_table(result, source))
        console.print(record["results"]["processes"][result.name]["summary"], markup=False, highlight=False)
        console.print()
