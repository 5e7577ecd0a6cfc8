"""Bars of progress: what is done, of how much, and the time left, on the console that was given."""

from __future__ import annotations

import io
import re
import time

from rich.console import Console

from sloc.report.progress_bars import progress_bars


def shown() -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    with progress_bars(console, "blocks") as start:
        report = start("digits")
        for done in (1, 2, 3):
            report(done, 12)
            time.sleep(0.15)  # the time left is estimated from the speed so far
        start("not needed")
    return out.getvalue()


def test_a_bar_shows_what_is_done_and_the_time_left() -> None:
    text = shown()
    assert "digits" in text
    assert "3/12" in text
    assert "blocks" in text
    left = text.rsplit("3/12", 1)[1].split("left")[0]
    assert re.search(r"\d:\d\d:\d\d", left), "an estimate of the time left, not -:--:--"
    assert "not needed" not in text, "a look that was not needed has no bar"
