import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e import browser as chromium
from tests.e2e.home import SPEC, TASK, Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in ("AUTOTUNE_STORAGE", "AUTOTUNE_FILES", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "tiny.py").write_text(TASK)
    (tmp_path / "tiny.yaml").write_text(SPEC)
    assert os.environ["OMP_NUM_THREADS"] == "1"
    return Home(tmp_path)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium.open_chromium(chromium.require_chromium()) as opened:
        yield opened


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with chromium.open_page(browser) as opened:
        yield opened


@pytest.fixture(scope="session")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A folder with a finished study of the digits; pages and servers only read it."""
    home = Home(tmp_path_factory.mktemp("studied"))
    home.run(*chromium.STUDY, *chromium.SETTINGS)
    assert chromium.trials_of(home, outcome="pruned"), "a study with nothing pruned shows no pruned trials"
    return home
