"""Takes the README's pictures from a real study: ``python -m docs.take_pictures`` in the project's root.

It trains the study that ``--space`` names in a temporary folder, inside tmux, and captures the
terminal while trials run. Where the budget left no time to confirm the winner, it does that. Then
it starts both servers on what was recorded, and photographs their pages in Chromium. Needs
``tmux`` and ``chromium``.
"""

import argparse
import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tests.e2e.browser import first_address, open_chromium, open_page, require_chromium, serve
from tests.e2e.home import Home

PICTURES = Path(__file__).parent / "pictures"
COLUMNS, LINES = 118, 26
SCALE = 1.5
OPTIONS = "--seconds 300"
NUM_ENDED = 9
"""Trials that have ended when the terminal is captured: some of them pruned, most of the budget left."""

_ENDED = re.compile(r"(\d+)(?: of \d+)? trials, (\d+) running")
_BUSY = re.compile(r"^ +\d+ +━.* [2-9]/\d+ +[\d.]+ +[\d,]+ +\d+%", re.MULTILINE)
_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


class Terminal:
    """A shell in tmux, of a fixed size, on a tmux server of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = f"autotune-pictures-{os.getpid()}"
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        shell = ["env", f"PATH={path}", "PS1=$ ", "TERM=tmux-256color", "bash", "--norc", "--noprofile", "-i"]
        self._tmux("new-session", "-d", "-x", str(COLUMNS), "-y", str(LINES), "-c", str(folder), *shell)

    def type(self, command: str) -> None:
        """A line, and Enter."""
        self._tmux("send-keys", "-l", command)
        self._tmux("send-keys", "Enter")

    def screen(self, *options: str) -> str:
        """What it shows now; with ``-e``, in colour."""
        return self._tmux("capture-pane", "-p", *options)

    def close(self) -> None:
        """Ends the shell and its tmux server."""
        self._tmux("kill-server")

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-L", self._socket, "-f", os.devnull, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=self._folder).stdout


def main() -> None:
    """Takes all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="mnist", help="the study to train (default: mnist)")
    parser.add_argument("--options", default=OPTIONS, help=f"of `study start` (default: {OPTIONS})")
    asked = parser.parse_args()
    space = asked.space
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        _take_terminal(home, command=f"autotune study start {space} {asked.options}")
        home.run("study", "confirm", space, "--repeats", "3", timeout=600)
        with open_chromium(require_chromium()) as browser:
            take_report(home, browser, space=space)
            study = home.read("study", "show", space)
            with serve(home, "dashboard") as lines, open_page(browser, scale=SCALE) as page:
                _take_dashboard(page, first_address(lines), path=study["addresses"]["dashboard"])
            with serve(home, "mlflow") as lines, open_page(browser, scale=SCALE) as page:
                _take_runs(page, first_address(lines, after=f"study {space}: "))
                _take_comparison(page, first_address(lines, after="http://"), study["addresses"]["mlflow_compare"])
    for picture in sorted(PICTURES.iterdir()):
        print(f"{picture.relative_to(Path.cwd())}  {picture.stat().st_size // 1024} KiB")


def _take_terminal(home: Home, *, command: str) -> None:
    with contextlib.closing(Terminal(home.folder)) as terminal:
        terminal.type("clear")
        terminal.type(command)
        for screen in _screens(terminal, limit_seconds=300):
            if _is_telling(screen):
                break
            assert "Next:" not in screen, "the study is over too soon to be captured"
        _write_svg(terminal.screen("-e"), title=command)
        for screen in _screens(terminal, limit_seconds=900):
            if "Next:" in screen:
                return


def _screens(terminal: Terminal, *, limit_seconds: float) -> Iterator[str]:
    deadline = time.monotonic() + limit_seconds
    while time.monotonic() < deadline:
        yield terminal.screen()
        time.sleep(0.05)
    raise TimeoutError(f"the study took over {limit_seconds:g} s; the terminal shows:\n{terminal.screen()}")


def _is_telling(screen: str) -> bool:
    """Whether enough has happened, and what runs is well into its epochs."""
    found = _ENDED.search(screen)
    return found is not None and int(found[1]) >= NUM_ENDED and len(_BUSY.findall(screen)) == int(found[2]) > 0


def _write_svg(screen: str, *, title: str) -> None:
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(screen.rstrip()), soft_wrap=True)
    svg = console.export_svg(title=title, theme=MONOKAI, unique_id="terminal")
    # A picture in a README may load nothing, a font neither.
    svg = _FONT.sub("", svg).replace("Fira Code, monospace", "'DejaVu Sans Mono', Menlo, Consolas, monospace")
    (PICTURES / "terminal.svg").write_text(svg)


def take_report(home: Home, browser: Browser, *, space: str) -> None:
    """The top of a study's page, on a desk, and on a phone in the dark."""
    (written,) = home.run("study", "report", space).stdout.splitlines()
    address = (home.folder / written).absolute().as_uri()
    with open_page(browser, scale=SCALE) as page:
        page.set_viewport_size({"width": 1100, "height": 1190})
        page.goto(address)
        page.screenshot(path=PICTURES / "report.png")
        page.set_viewport_size({"width": 390, "height": 1190})
        page.emulate_media(color_scheme="dark")
        page.evaluate("document.querySelector('#progress').scrollIntoView()")
        page.screenshot(path=PICTURES / "report-phone.png")


def _take_dashboard(page: Page, base: str, *, path: str) -> None:
    page.set_viewport_size({"width": 1400, "height": 1230})
    page.goto(base + path.removeprefix("http://127.0.0.1:8080"))
    page.locator("#graph-hyperparameter-importances .barlayer .point").first.wait_for()
    _shoot(page, "dashboard.png")


def _take_runs(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 1500, "height": 860})
    page.goto(address)
    page.get_by_role("link", name=re.compile(r"^trial 0 ")).wait_for()
    page.get_by_role("button", name="Hide banner").click()
    _close_assistant(page)
    _shoot(page, "runs.png")


def _take_comparison(page: Page, base: str, address: str) -> None:
    page.set_viewport_size({"width": 1500, "height": 1000})
    page.goto(address.replace("http://127.0.0.1:5000", base))
    page.locator(".js-plotly-plot").first.wait_for()
    _shoot(page, "compare.png")


def _close_assistant(page: Page) -> None:
    """Of MLflow, which opens in a fresh profile."""
    page.get_by_role("button", name="Close", exact=True).click()


def _shoot(page: Page, name: str) -> None:
    page.wait_for_timeout(2000)  # plots draw and move for a while
    page.screenshot(path=PICTURES / name)


if __name__ == "__main__":
    main()
