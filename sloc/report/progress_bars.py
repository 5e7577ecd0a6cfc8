"""Bars of progress with the time left, on standard error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from sloc.engine import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID


@contextlib.contextmanager
def progress_bars(log: Console, unit: str = "blocks") -> Generator[Callable[[str], Progress], None, None]:
    """Yield a function that starts a bar of a name and returns what to call with ``(done, total)``.

    Args:
        log: where the bars go.
        unit: what is counted.

    """
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:>14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Bars(*columns, console=log) as bars:

        def start(name: str) -> Progress:
            tasks: list[TaskID] = []

            def update(done: int, total: int) -> None:
                if not tasks:  # a look that is not needed has no bar
                    tasks.append(bars.add_task(name, total=total))
                bars.update(tasks[0], completed=done, total=total)

            return update

        yield start
