import subprocess

import pytest

from tests.e2e.home import Home, wait_until

IMPORTS = """
import itertools
import pathlib
import time

steps = itertools.count()
"""
WAITS = """
        if next(steps) == 6:  # in a trial, and not in the rehearsal's few steps
            print("waits", flush=True)
            while not pathlib.Path("go").exists():
                time.sleep(0.05)"""


@pytest.mark.slow
def test_study_is_watched_from_another_terminal_to_its_end(home: Home) -> None:
    task = home.folder / "tiny.py"
    task.write_text(task.read_text().replace("\nimport time", IMPORTS).replace("\n        time.sleep(0.01)", WAITS))
    told = home.folder / "told.txt"
    with told.open("w") as errors:
        command = home.command("study", "watch", "tiny", "--interval", "0.1", "--wait", "50")
        watcher = subprocess.Popen(command, cwd=home.folder, stdout=subprocess.DEVNULL, stderr=errors)
    wait_until(lambda: "waits up to 50 s" in told.read_text(), timeout=45, what="the watcher to find no study")
    study = home.start("study", "start", "tiny.yaml", "--trials", "1")
    wait_until(lambda: "the baseline, starts" in told.read_text(), timeout=45, what="the watcher to see the trial")
    (home.folder / "go").touch()
    assert study.wait(timeout=50) == 0, home.output
    assert watcher.wait(timeout=50) == 0
    for line in ("runs it since", "trial 0 epoch 3/3: val_accuracy", "trial 0 complete, val_accuracy"):
        assert line in told.read_text()
    logs = home.run("study", "logs", "tiny", "0")
    assert logs.stdout == "waits\n"
    assert logs.stderr == "trial 0 complete\n"
