"""A real Chromium, the two servers that it looks at, and a study for all tests that look."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.e2e.home import Home
from tests.ports import free_port

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

REBOUND_HOST = "rebound.example"
"""A name of somebody else's that leads to this machine, as after DNS rebinding."""

VIEWPORT = {"width": 1600, "height": 1000}
PATIENCE_MILLISECONDS = 40_000
"""A cold page of MLflow's loads megabytes of scripts, on busy cores."""

STUDY = ("study", "start", "digits", "--trials", "10", "--jobs", "1")
SETTINGS = ("--set", "speed={torch_threads: 1}", "--set", "confirm={repeats: 0}")


def require_chromium() -> str:
    """The path of Debian's Chromium; skips the test where there is none, and fails it in CI."""
    path = shutil.which("chromium")
    if path is None and os.environ.get("CI"):
        pytest.fail("this test needs Chromium, and CI has it installed: apt-get install chromium")
    if path is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    return path


@contextlib.contextmanager
def open_chromium(path: str) -> Iterator[Browser]:
    """A headless Chromium that asks nobody on the network for anything."""
    expect.set_options(timeout=PATIENCE_MILLISECONDS)
    with sync_playwright() as playwright:
        rule = f"--host-resolver-rules=MAP {REBOUND_HOST} 127.0.0.1"
        browser = playwright.chromium.launch(executable_path=path, args=[*FLAGS, rule])
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def open_page(browser: Browser, *, scale: float = 1) -> Iterator[Page]:
    """A page of a fresh profile: nothing that somebody chose before."""
    context = browser.new_context(
        viewport={"width": VIEWPORT["width"], "height": VIEWPORT["height"]}, device_scale_factor=scale
    )
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    context.set_default_navigation_timeout(PATIENCE_MILLISECONDS)
    try:
        yield context.new_page()
    finally:
        context.close()


@contextlib.contextmanager
def serve(home: Home, command: str) -> Iterator[Sequence[str]]:
    """``autotune dashboard`` or ``autotune mlflow`` in this folder: the lines that it prints, until Ctrl-C."""
    words = home.command(command, "--port", str(free_port()))
    process = subprocess.Popen(words, cwd=home.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        try:
            yield list(_lines_until(process, "Ctrl-C"))
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=45) == 0
        finally:
            process.kill()


def first_address(lines: Sequence[str], *, after: str = "") -> str:
    """The first address in the first line that starts so."""
    line = next(line for line in lines if line.startswith(after))
    found = re.search(r"http://\S+", line)
    assert found is not None, line
    return found.group()


def trials_of(home: Home, *, outcome: str) -> list[dict[str, Any]]:
    """The study's trials that ended so, as ``study trials`` gives them."""
    return [trial for trial in home.read("study", "trials", "digits") if trial["outcome"] == outcome]


def _lines_until(process: "subprocess.Popen[str]", text: str) -> Iterator[str]:
    assert process.stdout is not None
    assert process.stderr is not None
    for line in process.stdout:
        yield line
        if text in line:
            return
    raise AssertionError(f"it ended before it said {text!r}: {process.stderr.read()}")
