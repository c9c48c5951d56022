"""What a person sees who typed or wrote something wrong: one line, status 2, and nothing left behind."""

import shutil
import socket
import sqlite3

import pytest

from autotune.recording.database import open_database
from tests.e2e.home import SPEC, Home, rows_of

LR = "lr: {low: 1e-3, high: 1e-1, log: true}"


def _refused(home: Home, *words: str) -> str:
    """The one line that the command says."""
    done = home.run_afresh(*words, status=2)
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    return line


def _assert_nothing_is_left(home: Home) -> None:
    left = {path.name for path in home.folder.iterdir()} - {"tiny.py", "tiny.yaml", "mlruns", "__pycache__"}
    assert not {name for name in left if "autotune" in name}


@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        (LR, "lr: {low: 1e-3, high: 1e-1, log: true", "tiny.yaml:"),
        ("sampler:", "smapler:", "sampler?"),
        (LR, "lr: {low: 1, high: 1e-3}", "learning.lr"),
        (LR, "lr: {low: 0, high: 1.0, log: true}", "learning.lr"),
        (LR, "lr: {low: 1e-3, high: 1e-1, when: {optimiser: [sgd]}}", "optimizer?"),
        (
            LR,
            "lr: {low: 1e-3, high: 1e-1, when: {a: [1]}}\n  a: {choices: [1, 2], when: {lr: [0.01]}}",
            "when",
        ),
        ("task: tiny.py:Tiny", "task: tiny", "task"),
    ],
    ids=["malformed", "unknown key", "low above high", "log of zero", "unknown when", "cycle", "no class"],
)
def test_spec_that_breaks_a_rule_is_named_with_its_line(home: Home, written: str, instead: str, said: str) -> None:
    assert written in SPEC
    (home.folder / "tiny.yaml").write_text(SPEC.replace(written, instead))
    line = _refused(home, "study", "start", "tiny.yaml")
    assert "tiny.yaml:" in line
    assert said in line
    _assert_nothing_is_left(home)


def test_spec_that_is_not_there_is_named(home: Home) -> None:
    assert "nowhere.yaml" in _refused(home, "study", "start", "nowhere.yaml")
    _assert_nothing_is_left(home)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        ("optimizer: adam, lr: 1e-2", "optimizer: adam, lr: 5", "tiny.yaml:16: baseline.lr"),
        ("metric: val_accuracy", "metric: val_acuracy", "did you mean val_accuracy?"),
        ("task: tiny.py:Tiny", "task: gone.py:Tiny", "gone.py"),
        ("task: tiny.py:Tiny", "task: tiny.py:Tyni", "Tiny"),
        ("seed: 0", "device: cuda:7", "got cuda:7"),
        ("num_workers: 0", "num_workers: 100000", "num_workers"),
    ],
    ids=["baseline outside", "unknown metric", "no file", "no such class", "no such device", "too many workers"],
)
def test_spec_that_does_not_fit_task_or_machine_is_refused(home: Home, written: str, instead: str, said: str) -> None:
    spec = SPEC.replace("speed:\n", "seed: 0\nspeed:\n  num_workers: 0\n")
    assert written in spec
    (home.folder / "tiny.yaml").write_text(spec.replace(written, instead))
    assert said in _refused(home, "study", "start", "tiny.yaml")
    _assert_nothing_is_left(home)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        ("import torch\n", "import torch\nimport nothing_of_this_name\n", "nothing_of_this_name"),
        ("return self._points(2, 128)", "raise OSError('the disk is gone')", "the disk is gone"),
    ],
    ids=["import fails", "data raises"],
)
def test_task_that_does_not_work_is_refused(home: Home, written: str, instead: str, said: str) -> None:
    task = (home.folder / "tiny.py").read_text()
    assert written in task
    (home.folder / "tiny.py").write_text(task.replace(written, instead))
    assert said in _refused(home, "study", "start", "tiny.yaml")
    _assert_nothing_is_left(home)


def test_storage_that_is_no_database_is_refused_and_left_as_it_is(home: Home) -> None:
    storage = home.folder / "autotune.db"
    storage.write_bytes(b"this is no database, it is a shopping list" * 100)
    assert "must be an SQLite database" in _refused(home, "study", "start", "tiny.yaml")
    assert storage.read_bytes().startswith(b"this is no database")
    storage.write_bytes(b"")
    assert "zero bytes" in _refused(home, "study", "start", "tiny.yaml")
    assert storage.stat().st_size == 0


@pytest.mark.slow
def test_storage_of_a_newer_version_is_refused(home: Home, finished: Home) -> None:
    shutil.copy(finished.folder / "autotune.db", home.folder)
    with sqlite3.connect(home.folder / "autotune.db") as connection:
        connection.execute("UPDATE autotune_alembic_version SET version_num = '9999'")
    connection.close()
    for words in (("study", "start", "tiny.yaml"), ("study", "list")):
        assert "upgrade autotune" in _refused(home, *words)


@pytest.mark.slow
def test_storage_that_is_read_only_or_corrupt_is_refused(home: Home) -> None:
    storage = home.folder / "autotune.db"
    open_database(f"sqlite:///{storage}", create=True).dispose()
    read_only = "sqlite:///file:autotune.db?mode=ro&uri=true"  # root writes whatever the permissions say
    assert "read-only" in _refused(home, "study", "start", "tiny.yaml", "--storage", read_only)
    content = storage.read_bytes()
    storage.write_bytes(content[:4096] + b"\xaa" * (len(content) - 4096))
    for words in (("study", "start", "tiny.yaml"), ("study", "show", "tiny"), ("dashboard",)):
        assert "corrupt" in _refused(home, *words)


@pytest.mark.slow
def test_task_that_does_not_work_leaves_a_storage_that_was_there_as_it_was(home: Home) -> None:
    storage = home.folder / "autotune.db"
    open_database(f"sqlite:///{storage}", create=True).dispose()
    before = storage.read_bytes()
    task = (home.folder / "tiny.py").read_text()
    (home.folder / "tiny.py").write_text(task.replace("def model(", "def modle("))
    assert "model" in _refused(home, "study", "start", "tiny.yaml")
    assert storage.read_bytes() == before
    assert not (home.folder / "autotune.files").exists()


@pytest.mark.slow
def test_folder_for_checkpoints_must_be_one_before_anything_is_stored(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOTUNE_FILES", str(home.folder / "tiny.yaml" / "files"))
    assert "AUTOTUNE_FILES" in _refused(home, "study", "start", "tiny.yaml")
    _assert_nothing_is_left(home)


@pytest.mark.slow
def test_directory_of_the_storage_must_be_there(home: Home) -> None:
    line = _refused(home, "study", "start", "tiny.yaml", "--storage", "sqlite:///no/such/folder/autotune.db")
    assert "directory" in line


@pytest.mark.slow
@pytest.mark.parametrize("server", ["dashboard", "mlflow"])
def test_port_in_use_is_told_in_one_line(finished: Home, server: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert str(port) in _refused(finished, server, "--port", str(port))


@pytest.mark.slow
def test_task_that_always_raises_ends_the_study_after_three_trials(home: Home) -> None:
    """The rehearsal takes one batch; what breaks later breaks in the trials."""
    task = (home.folder / "tiny.py").read_text()
    broken = task.replace("time.sleep(0.01)", "self.seen = getattr(self, 'seen', 0) + 1\n        assert self.seen < 4")
    (home.folder / "tiny.py").write_text(broken)
    done = home.run("study", "start", "tiny.yaml", status=1)
    assert "assert self.seen < 4" in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("Error: study tiny: its first 3 trials")
    assert [row.outcome for row in rows_of(home.folder, "tiny")] == ["failed"] * 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("uri", "said"), [("htp://mlflow.example", "no address of its kinds of store"), ("mlruns", "refuses plain folders")]
)
def test_sync_with_an_mlflow_that_can_not_be_one_says_so(grown: Home, uri: str, said: str) -> None:
    """It said that MLflow had all records, since none waited for the one that had been delivered to before."""
    done = grown.run("study", "sync", "tiny", "--tracking-uri", uri, status=1)
    assert f"Error: MLflow has not got all records: MLflow at {uri}: " in done.stderr
    assert said in done.stderr
    assert "MLflow has all records" not in done.stderr
    assert "MLflow has all records" in grown.run("study", "sync", "tiny").stderr


@pytest.mark.slow
def test_mlflow_that_does_not_answer_stops_nothing(home: Home) -> None:
    """The address may be mistyped, which was told only at the study's end."""
    hold = home.hold_trial(0)
    process = home.start("study", "start", "tiny.yaml", "--trials", "1", "--tracking-uri", "http://127.0.0.1:9")
    told = "MLflow at http://127.0.0.1:9: connection refused; training goes on"
    home.wait_for(told)
    hold.unlink()
    assert process.wait(timeout=40) == 0
    assert home.output.count(told) == 1
    assert "MLflow has not got" in home.output
    assert [row.outcome for row in rows_of(home.folder, "tiny")] == ["complete"]
    assert "MLflow has all records" in home.run("study", "sync", "tiny").stderr
