"""Tables, pictures and output folders; matplotlib, pandas and rich load when they are used."""

from sloc.report.output import check_run_folder, run_folder, write_run_json
from sloc.report.plots import plot_curve, plot_estimate, plot_theorem_window, plot_window
from sloc.report.recorded_report import plot_outcomes, plot_recorded, write_recorded_report
from sloc.report.sources import Source, load_digits_source, load_file_source, load_gaussians_source
from sloc.report.tables import curves_dataset, windows_frame, windows_table
from sloc.report.traces import plot_traces, traces_summary_table
from sloc.report.traces_command import run_traces
from sloc.report.window_command import WindowRequest, read_request, run_window
from sloc.report.window_picture import plot_windows
from sloc.report.window_run import ProcessWindows, Settings, decision_order, run_pilot, run_process
from sloc.report.window_words import summary_paragraph

__all__ = [
    "ProcessWindows",
    "Settings",
    "Source",
    "WindowRequest",
    "check_run_folder",
    "curves_dataset",
    "decision_order",
    "load_digits_source",
    "load_file_source",
    "load_gaussians_source",
    "plot_curve",
    "plot_estimate",
    "plot_outcomes",
    "plot_recorded",
    "plot_theorem_window",
    "plot_traces",
    "plot_window",
    "plot_windows",
    "read_request",
    "run_folder",
    "run_pilot",
    "run_process",
    "run_traces",
    "run_window",
    "summary_paragraph",
    "traces_summary_table",
    "windows_frame",
    "windows_table",
    "write_recorded_report",
    "write_run_json",
]
