"""The check of built pages in a browser: what is too wide or broken is found, what is fine is not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "docs" / "_ext"))
import browser_check

NIGHT = "<style>body[data-theme=dark] { background: #111; color: #eee }</style>"
PAGE = (
    "<!doctype html><html>"
    + NIGHT.replace("{", "{{").replace("}", "}}")
    + '<body style="margin:0"><article>{}</article></body></html>'
)
DOT = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


@pytest.mark.skipif(browser_check.browser() is None, reason="no Chromium is installed")
def test_pages_that_overflow_or_lack_pictures_are_found(tmp_path: Path) -> None:
    (tmp_path / "fine.html").write_text(PAGE.format(f'<p>short</p><img src="{DOT}">'), "utf-8")
    (tmp_path / "wide.html").write_text(PAGE.format('<div class="box" style="width:600px">wide</div>'), "utf-8")
    (tmp_path / "lost.html").write_text(PAGE.format('<img src="nowhere.png">'), "utf-8")
    (tmp_path / "_modules").mkdir()
    (tmp_path / "_modules" / "source.html").write_text(PAGE.format('<div style="width:9999px">x</div>'), "utf-8")
    style = "<style>body[data-theme=dark] .night { width: 700px }</style>"
    (tmp_path / "dark.html").write_text(PAGE.format(f'{style}<div class="night">dark</div>'), "utf-8")
    pale = "<style>.x { color: #777 } body[data-theme=dark] .x { color: #333 }</style>"
    (tmp_path / "pale.html").write_text(PAGE.format(f'{pale}<p>ink</p><p class="x">pale</p>'), "utf-8")
    line = f'<div class="output text_plain"><pre style="overflow:auto">{"Window of " * 70}</pre></div>'
    (tmp_path / "cut.html").write_text(PAGE.format(line), "utf-8")
    (tmp_path / "day.html").write_text(PAGE.format("<p>day</p>").replace(NIGHT, ""), "utf-8")
    found = browser_check.check(tmp_path, str(browser_check.browser()), limit=60)
    assert [line for line in found if not line.startswith(("cut", "day", "pale"))] == [
        "dark.html at 375 px, dark: 325 px wider than the window (div.night)",
        "lost.html at 375 px: broken picture nowhere.png",
        "lost.html at 1280 px: broken picture nowhere.png",
        "wide.html at 375 px, light: 225 px wider than the window (div.box)",
        "wide.html at 375 px, dark: 225 px wider than the window (div.box)",
    ]
    widths = browser_check.WIDTHS
    assert [line for line in found if line.startswith("pale")] == [
        f'pale.html at {width} px, dark: faint text "pale" 1.5' for width in widths
    ]
    cut = [line for line in found if line.startswith("cut")]
    assert [line.split(" px: ")[0] for line in cut] == [f"cut.html at {width}" for width in widths]
    assert all('cut off "Window of' in line for line in cut)
    assert [line for line in found if line.startswith("day")] == [
        f"day.html at {width} px: light and dark are 1,1" for width in widths
    ]


def test_without_a_browser_the_check_says_that_it_was_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(browser_check, "browser", lambda: None)
    assert browser_check.main(str(tmp_path)) == 0
    assert "not looked at" in capsys.readouterr().out


def test_a_browser_that_is_wanted_is_not_left_out(monkeypatch, capsys) -> None:
    monkeypatch.setattr(browser_check, "browser", lambda: None)
    monkeypatch.delenv("BROWSER_WANTED", raising=False)
    assert browser_check.main("nowhere") == 0
    monkeypatch.setenv("BROWSER_WANTED", "1")
    assert browser_check.main("nowhere") == 1
    assert "pages not looked at in a browser" in capsys.readouterr().out
