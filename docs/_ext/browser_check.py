"""Load every built page in headless Chromium at a phone's and a desk's width, light and dark; fail on overflow, broken
pictures, results whose end is cut off, and text that is hard to tell from its ground.

``python docs/_ext/browser_check.py docs/_build/html``.  Where there is no Chromium the check says so and is left out,
or fails where ``BROWSER_WANTED`` is set: ``CHROMIUM`` names one that is not on the path.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

WIDTHS = (375, 1280)
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
LIMIT = 300.0
"""Seconds for all pages."""
CONTRAST = 3.0
"""Least ratio of luminances of a text and its ground, by the rule of WCAG 2 for large text."""

# Pages are loaded one after the other into a frame of that width, whose style rules take it for the window's.
_LOOK = r"""<!doctype html><meta charset="utf-8"><body><script>
const pages = PAGES, widths = WIDTHS, contrast = CONTRAST, found = [];
const pause = ms => new Promise(done => setTimeout(done, ms));
const channel = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const colour = text => (text.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
function ground(element, view) {
  for (let e = element; e; e = e.parentElement) {
    const own = colour(view.getComputedStyle(e).backgroundColor);
    if (own.length < 4 || own[3] > 0.5) return own;
  }
  return [255, 255, 255];
}
function faint(article, view) {
  const seen = new Map(), pale = [];
  for (const e of article.querySelectorAll("*")) {
    if (e.closest("svg, mjx-container, .headerlink, button")) continue;
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const [ink, paper] = [colour(view.getComputedStyle(e).color), ground(e, view)];
    const key = [ink, paper].join();
    if (!seen.has(key)) {
      const [low, high] = [light(ink), light(paper)].sort((a, b) => a - b);
      seen.set(key, (high + 0.05) / (low + 0.05));
      if (seen.get(key) < contrast) pale.push(`"${e.textContent.trim().slice(0, 30)}" ${seen.get(key).toFixed(1)}`);
    }
  }
  return pale;
}
async function look(page, width) {
  const frame = document.createElement("iframe");
  frame.style = `border:0;width:${width}px;height:900px`;
  const loaded = new Promise(done => frame.onload = done);
  frame.src = "/" + page;
  document.body.append(frame);
  await loaded;
  const view = frame.contentWindow, root = frame.contentDocument.documentElement;
  await Promise.race([view.MathJax?.startup?.promise ?? null, pause(5000)]);
  for (const image of frame.contentDocument.images) {
    image.loading = "eager";
    await Promise.race([image.decode().catch(() => null), pause(5000)]);
    if (!image.naturalWidth) found.push(`${page} at ${width} px: broken picture ${image.getAttribute("src")}`);
  }
  const still = frame.contentDocument.createElement("style");
  still.textContent = "* { transition: none !important }";
  frame.contentDocument.head.append(still);
  for (const pre of frame.contentDocument.querySelectorAll("div.output.text_plain pre")) {
    const cut = pre.scrollWidth - pre.clientWidth;
    if (cut > 1) found.push(`${page} at ${width} px: ${cut} px cut off "${pre.textContent.trim().slice(0, 30)}"`);
  }
  const article = frame.contentDocument.querySelector("article") ?? frame.contentDocument.body;
  const grounds = [];
  for (const theme of ["light", "dark"]) {
    frame.contentDocument.body.dataset.theme = theme;
    grounds.push(light(ground(article, view)));
    for (const words of faint(article, view)) found.push(`${page} at ${width} px, ${theme}: faint text ${words}`);
    const over = root.scrollWidth - root.clientWidth;
    if (over <= 1) continue;
    const wide = [...frame.contentDocument.querySelectorAll("article *")]
      .filter(e => e.getBoundingClientRect().right > root.clientWidth + 1)
      .map(e => e.tagName.toLowerCase() + (e.className ? "." + String(e.className).split(" ")[0] : ""));
    const where = `${page} at ${width} px, ${theme}`;
    found.push(`${where}: ${over} px wider than the window (${wide.slice(0, 3).join(", ")})`);
  }
  if (!(grounds[0] > 0.5 && grounds[1] < 0.1)) found.push(`${page} at ${width} px: light and dark are ${grounds}`);
  frame.remove();
}
(async () => {
  for (const page of pages) for (const width of widths) await look(page, width);
  await fetch("/found", {method: "POST", body: JSON.stringify(found)});
})();
</script></body>"""


def browser() -> str | None:
    """Return the Chromium to use, or None."""
    return os.environ.get("CHROMIUM") or next((found for name in NAMES if (found := shutil.which(name))), None)


def built_pages(folder: Path) -> list[str]:
    """Return the pages of a build, as addresses under it; sources of the code are left out."""
    pages = (page.relative_to(folder) for page in sorted(folder.rglob("*.html")))
    return [page.as_posix() for page in pages if page.parts[0] not in ("_modules", "_static", "_sources")]


def check(folder: Path, chromium: str, limit: float = LIMIT) -> list[str]:
    """Return what is wrong with the pages of a build, a line each.

    Raises:
        TimeoutError: the browser did not answer within ``limit`` seconds.

    """
    look = _LOOK.replace("PAGES", json.dumps(built_pages(folder)), 1).replace("WIDTHS", json.dumps(WIDTHS), 1)
    look = look.replace("= CONTRAST", f"= {CONTRAST}", 1)
    found: list[str] = []
    done = threading.Event()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/look":
                return super().do_GET()
            body = look.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return None

        def do_POST(self) -> None:
            found.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            done.set()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={profile}"]
        size, address = "--window-size=1400,1000", f"http://127.0.0.1:{server.server_address[1]}/look"
        command = [chromium, *flags, "--remote-debugging-port=0", size, address]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            if not done.wait(limit):
                raise TimeoutError(f"{chromium} did not report within {limit:g} s")
        finally:
            process.terminate()
            process.wait()
            server.shutdown()
            server.server_close()
    return found


def main(folder: str) -> int:
    """Check a build; return an exit status."""
    chromium = browser()
    if chromium is None:
        print(f"pages not looked at in a browser: none of {', '.join(NAMES)} is installed, and CHROMIUM names none")
        return int(bool(os.environ.get("BROWSER_WANTED")))
    wrong = check(Path(folder), chromium)
    fit = f"{len(built_pages(Path(folder)))} pages fit {' and '.join(map(str, WIDTHS))} px, light and dark"
    print("\n".join(wrong) or fit)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
