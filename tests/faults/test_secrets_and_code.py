"""A spec, a checkpoint or a parameter that would run code or tell a secret: nothing runs, nothing is told."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from tests.e2e.home import Home, family_of, make_home, rows_of, wait_until

pytestmark = pytest.mark.slow

KEY = "open-sesame-4711"
PASSWORD = "swordfish-0815"
MARKER = "executed"

SECRETIVE = """
    def model(self, params):
        import os
        assert params.api_key == "open-sesame-4711", "the task itself is told"
        print("DB_PASSWORD=" + os.environ["DB_PASSWORD"])
        if params.width != 4:  # not the baseline
            raise RuntimeError(f"no access with {params.api_key}, DB_PASSWORD={os.environ['DB_PASSWORD']}")
"""


class Exploit:
    """Unpickled, it leaves a file behind."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._marker),)


@pytest.fixture
def home(tmp_path: Path, empty_store: Path) -> Home:
    return make_home(tmp_path, store=empty_store)


def files_that_tell(folder: Path, secret: str, *, but: Sequence[str]) -> list[str]:
    names = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [name for name in names if name not in but and secret.encode() in (folder / name).read_bytes()]


def test_secrets_are_told_to_trials_and_stand_nowhere_else(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in rows, MLflow, the terminal, the report or the reason of a trial that fails with one in its message."""
    monkeypatch.setenv("DB_PASSWORD", PASSWORD)
    task, spec = home.folder / "tiny.py", home.folder / "tiny.yaml"
    task.write_text(task.read_text().replace("\n    def model(self, params):\n", SECRETIVE))
    text = spec.read_text().replace("learning:", f"learning:\n  api_key: {KEY}")
    spec.write_text(text)
    done = home.run("study", "start", "tiny.yaml", "--trials", "2", "--no-progress")
    assert [row.outcome for row in rows_of(home.folder, "tiny")] == ["complete", "failed"]
    reason = rows_of(home.folder, "tiny")[1].reason
    assert reason is not None
    assert "no access with <redacted>, DB_PASSWORD=<redacted>" in reason
    (home.folder / "said.txt").write_text(done.stdout + done.stderr)
    home.run("study", "report", "tiny", "--output", "page.html")
    logs = [str(path.relative_to(home.folder)) for path in home.folder.rglob("autotune.files/**/*.log")]
    assert files_that_tell(home.folder, KEY, but=["tiny.yaml", "tiny.py", *compiled(home.folder)]) == []
    assert files_that_tell(home.folder, PASSWORD, but=logs) == [], "a task's own log has what the task printed"
    assert list(home.folder.rglob("mlruns/**/trial.log")), "the log's tail is in MLflow"
    refused = home.run("study", "resume", "tiny", "--trials", "3", status=2)
    rule = "study tiny: its parameter api_key is a secret, which no study stores, got none"
    assert f"{rule}; `autotune study start SPEC.yaml --name tiny` goes on" in refused.stderr
    refused = home.run("study", "confirm", "tiny", status=2)
    assert f"{rule}; name the spec file that has it: --spec FILE" in refused.stderr


def compiled(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*.pyc")]


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.mkdir", "!!python/object/new:os.mkdir", "!mkdir"])
def test_spec_with_a_tag_runs_nothing(home: Home, tag: str) -> None:
    marker = home.folder / MARKER
    spec = home.folder / "tiny.yaml"
    spec.write_text(spec.read_text() + f"seed: {tag} [{marker}]\n")
    refused = home.run("space", "check", "tiny.yaml", status=2)
    assert "remove the tag" in refused.stderr
    assert not marker.exists()


def test_checkpoint_with_code_in_it_runs_nothing(home: Home) -> None:
    """Its trial fails by name, and the study goes on."""
    hold = home.hold_trial(0)
    process = home.start("study", "start", "tiny.yaml", "--trials", "2")
    home.wait_for("trial 0 epoch 1/3")
    family = family_of(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not any(each.is_running() for each in family), timeout=45, what="the end of every process")
    hold.unlink()
    (checkpoint,) = home.folder.rglob("checkpoint.pt")
    marker = home.folder / MARKER
    torch.save({"format": 1, "objects": Exploit(marker), "own": {}, "rng": {}}, checkpoint)
    home.run("study", "start", "tiny.yaml", "--trials", "2")
    assert not marker.exists()
    outcomes = [row.outcome for row in rows_of(home.folder, "tiny")]
    reason = rows_of(home.folder, "tiny")[0].reason
    assert outcomes == ["failed", "complete"]
    assert reason is not None
    assert "checkpoint can't be read" in reason
