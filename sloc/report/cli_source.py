"""Options of the commands that run on a SOURCE (``sloc window``, ``sloc tree``): declared once, read once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, get_type_hints

import typer

from sloc.report.cli_options import (
    ColumnsOption,
    CovariancesOption,
    DeltaOption,
    DevicesOption,
    DrawsOption,
    EpsilonOption,
    FromOption,
    ImageOption,
    JsonOption,
    LabelsOption,
    MeansOption,
    OutOption,
    OverwriteOption,
    ProcessOption,
    ResumeOption,
    ScaleOption,
    SeedOption,
    SourceArgument,
    TimesOption,
    WeightsOption,
    devices_of,
    refuse_beside_from,
)
from sloc.report.cli_parts import given_or_from, split_list

if TYPE_CHECKING:
    from sloc.report.window_command import WindowRequest


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """What such a command is given: a field for each option, with its default."""

    source: SourceArgument = None
    process: ProcessOption = None
    epsilon: EpsilonOption = 0.1
    n: DrawsOption = 65_536
    times: TimesOption = 64
    seed: SeedOption = 0
    delta: DeltaOption = 0.05
    devices: DevicesOption = None
    x: ColumnsOption = None
    labels: LabelsOption = None
    scale: ScaleOption = None
    image: ImageOption = None
    means: MeansOption = None
    weights: WeightsOption = None
    covariances: CovariancesOption = None
    out: OutOption = None
    overwrite: OverwriteOption = False
    resume: ResumeOption = False
    repeat: FromOption = None
    json: JsonOption = False

    def request(self, ctx: typer.Context, classes: Sequence[str] = ()) -> WindowRequest:
        """Return what to run: what the options say, or the run that ``--from`` names.

        Args:
            ctx: the command's context.
            classes: names of the classes to report; empty for all.

        Raises:
            InvalidInput: no source, another option beside ``--from``, or a record that cannot be read.

        """
        from sloc.report.run_record import repeated
        from sloc.report.window_command import WORDS, WindowRequest
        from sloc.report.window_run import Settings

        if self.repeat is not None:
            refuse_beside_from(ctx, self.repeat)
            return repeated(WindowRequest, self.repeat, str(ctx.info_name), "source", words=WORDS)
        source = given_or_from(self.source, "SOURCE", "digits, gaussians, a data file")
        devices = devices_of(self.devices)
        settings = Settings(self.epsilon, self.n, self.times, self.seed, tuple(classes), self.delta, devices)
        files = (self.x, self.labels, self.scale, self.image)
        return WindowRequest(
            source,
            split_list(self.process, "--process"),
            settings,
            *files,
            self.means,
            self.weights,
            self.covariances,
        )


def with_source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of ``SourceOptions``, which it takes as ``given``, its own before ``--out``."""
    hints = get_type_hints(SourceOptions, include_extras=True)
    shared = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
        for f in fields(SourceOptions)
    ]
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "given"]

    def run(**values: Any) -> None:
        command(given=SourceOptions(**{p.name: values.pop(p.name) for p in shared}), **values)

    run.__name__, run.__doc__, run.__annotations__ = command.__name__, command.__doc__, {}
    out = next(i for i, p in enumerate(shared) if p.name == "out")
    signature = inspect.Signature(
        [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own[:1], *shared[:out], *own[1:], *shared[out:])]
    )
    vars(run)["__signature__"] = signature
    return run
