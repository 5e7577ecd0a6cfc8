"""What `sloc window` does, from Python, and its pictures; pictures of recorded answers.  Matplotlib loads when used."""

from sloc.report.recorded_report import plot_outcomes, plot_recorded
from sloc.report.sources import Source
from sloc.report.window_picture import plot_windows
from sloc.report.window_run import ProcessWindows, Settings, run_process

__all__ = [
    "ProcessWindows",
    "Settings",
    "Source",
    "plot_outcomes",
    "plot_recorded",
    "plot_windows",
    "run_process",
]
