"""The password of a storage's URL, which stands in no log, row, run, page or list of processes."""

import contextlib
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from tests.e2e.browser import first_address, serve
from tests.e2e.home import Home, family_of, make_home

pytestmark = pytest.mark.slow

PASSWORD = "swordfish-0815"
READING = (
    "study list",
    "study show tiny",
    "study show tiny --json",
    "study best tiny --format python",
    "study trials tiny --json",
    "study logs tiny 0",
    "study report tiny --output report.html",
    "study report tiny --format markdown",
    "study report tiny --format json",
    "study export tiny --output export.json",
    "storage check",
)
READ_ALL = """
import sys
from autotune.cli.main import root
for words in sys.stdin.read().splitlines():
    root.main(words.split(), prog_name="autotune", standalone_mode=False)
"""
"""All of these commands in one process: most of each one's time is its imports."""


def test_password_of_the_storage_is_told_to_nobody(
    tmp_path: Path, postgres_url: str, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes from the environment, as it should where others may list the processes of a machine."""
    monkeypatch.setenv("AUTOTUNE_STORAGE", with_password(postgres_url))
    home = make_home(tmp_path, store=empty_store)
    process = home.start("study", "start", "tiny.yaml", "--trials", "1")
    seen: dict[int, str] = {}
    while process.poll() is None:
        note_processes(process.pid, seen)
    assert process.wait() == 0, home.output
    assert len(seen) > 2, "its fork server and its trial were looked at"
    read = subprocess.run(
        [sys.executable, "-c", READ_ALL],
        input="\n".join(READING),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert read.returncode == 0, read.stderr
    refused = home.run("study", "resume", "nobody", status=2)
    said = [home.output, read.stdout, read.stderr, refused.stderr, *seen.values(), *pages_of_servers(home)]
    assert [text for text in said if PASSWORD in text] == []
    told = [path for path in tmp_path.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]
    assert told == []
    assert PASSWORD not in dump(postgres_url)


PAGES = {
    "dashboard": ("/dashboard", "/api/meta", "/api/studies", "/api/studies/1"),
    "mlflow": ("/", "/api/2.0/mlflow/experiments/get?experiment_id=1"),
}


def pages_of_servers(home: Home) -> Iterator[str]:
    """What both servers print, their pages, and the answers that fill them."""
    for command, paths in PAGES.items():
        with serve(home, command) as lines:
            yield from lines
            base = f"http://{urllib.parse.urlsplit(first_address(lines)).netloc}"
            for path in paths:
                with urllib.request.urlopen(base + path) as answer:
                    yield answer.read().decode()


def with_password(url: str) -> str:
    """The server asks for none, and takes any."""
    user, at, rest = url.removeprefix("postgresql://").partition("@")
    assert at
    return f"postgresql://{user.partition(':')[0]}:{PASSWORD}@{rest}"


def note_processes(pid: int, seen: dict[int, str]) -> None:
    with contextlib.suppress(psutil.Error):
        seen |= {each.pid: " ".join(each.cmdline()) for each in family_of(pid)}
    time.sleep(0.02)


def dump(url: str) -> str:
    """All rows of all tables, as text."""
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows = [connection.execute(SQL("SELECT * FROM {}").format(Identifier(table))).fetchall() for (table,) in tables]
    return repr(rows)
