import pytest

from tests.e2e.browser import serve
from tests.e2e.documents import ROOT, read_file, read_steps, run_steps
from tests.e2e.home import Home

TUTORIAL = ROOT / "docs" / "tutorial.md"
SERVERS = ("autotune dashboard", "autotune mlflow")
QUICK = "--set 'speed={torch_threads: 1}' --set log_model=false"
"""A race takes up to a minute, and has tests of its own; so has the model in MLflow."""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_tutorial_runs_as_it_stands_there_and_prints_what_it_says(home: Home) -> None:
    (home.folder / "train.py").write_text(read_file(TUTORIAL, "train.py").partition("\n")[2])
    steps = read_steps(TUTORIAL)
    assert [step.command for step in steps if step.command in SERVERS] == list(SERVERS)
    shorter = {
        "autotune study start tuned/tuned.yaml --trials 12": QUICK,
        "autotune study watch tuned": "--wait 0",  # nothing starts it again
    }
    run_steps((step for step in steps if step.command not in SERVERS), home=home, shorter=shorter)
    for step in steps:
        if step.command in SERVERS:
            with serve(home, step.command.removeprefix("autotune ")) as lines:
                assert step.is_as_printed("\n".join(line.strip() for line in lines)), f"{step.command}: {lines}"
