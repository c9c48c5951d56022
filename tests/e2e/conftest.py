import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.conftest import MadeOnce
from tests.e2e import browser as chromium
from tests.e2e.home import SPEC, Home, make_home


@pytest.fixture
def home(tmp_path: Path, empty_store: Path) -> Home:
    assert os.environ["OMP_NUM_THREADS"] == "1"
    return make_home(tmp_path, store=empty_store)


@pytest.fixture(scope="session")
def finished(made_once: MadeOnce) -> Home:
    """A home whose study was run to its end, as a fresh machine runs it; tests only read it."""

    def fill(folder: Path) -> None:
        home = make_home(folder)
        (folder / "output.txt").write_text(home.run_afresh("study", "start", "tiny.yaml").stdout)

    return Home(made_once("finished", fill))


@pytest.fixture
def grown(finished: Home, tmp_path: Path) -> Home:
    """A copy of the finished home, to go on in: four trials are there, of the task in the first one."""
    # Another worker may be reading the original, and what SQLite has for that comes and goes.
    passing = shutil.ignore_patterns("*-wal", "*-shm", "*-journal", "__pycache__")
    home = Home(shutil.copytree(finished.folder, tmp_path / "grown", ignore=passing))
    (home.folder / "tiny.yaml").write_text(SPEC.replace("tiny.py", f"{finished.folder}/tiny.py"))
    return home


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium.open_chromium(chromium.require_chromium()) as opened:
        yield opened


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with chromium.open_page(browser) as opened:
        yield opened


@pytest.fixture(scope="session")
def studied(made_once: MadeOnce) -> Home:
    """A folder with a finished study of the digits; pages and servers only read it."""

    def fill(folder: Path) -> None:
        home = Home(folder)
        home.run(*chromium.STUDY, *chromium.SETTINGS)
        home.run("study", "sync", "digits")
        assert chromium.trials_of(home, outcome="pruned"), "a study with nothing pruned shows no pruned trials"

    return Home(made_once("studied", fill))
