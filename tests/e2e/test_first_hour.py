import json
from pathlib import Path

import pytest

from autotune.spec.load import load_spec
from tests.e2e.home import Home


@pytest.mark.slow
def test_first_files_of_a_user_run_as_they_are(home: Home) -> None:
    home.run("init", "first")
    home.run(
        "study", "start", "first/first.yaml", "--trials", "1", "--set", "speed_search=joint", "--set", "log_model=false"
    )
    assert home.read("study", "trials", "first")[0]["outcome"] == "complete"


def test_every_line_of_the_first_spec_is_explained(home: Home) -> None:
    home.run("init", "first")
    lines = (home.folder / "first" / "first.yaml").read_text().splitlines()
    plain = [line for line in lines if line and "#" not in line]
    # A mapping over several lines is explained at its entries, the baseline by the line above.
    assert [line.split(":")[0].strip() for line in plain] == ["budget", "batch_size", "baseline"]


def test_baseline_is_what_a_script_trains_with(home: Home) -> None:
    script = home.folder / "train.py"
    script.write_text(
        "import torch\nloader = torch.utils.data.DataLoader(data, batch_size=16, num_workers=9999)\n"
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.8, nesterov=flag())\n"
    )
    said = home.run("init", "tuned", "--from", "train.py").stdout
    assert "train.py:3: lr 0.05" in said
    assert "train.py:3: nesterov is computed (flag()); write it into the spec" in said
    spec = load_spec(str(home.folder / "tuned" / "tuned.yaml")).spec
    assert {name: spec.baseline[name] for name in ("optimizer", "lr", "momentum", "batch_size")} == {
        "optimizer": "sgd",
        "lr": 0.05,
        "momentum": 0.8,
        "batch_size": 16,
    }


def test_init_writes_over_nothing(home: Home) -> None:
    (home.folder / "first").mkdir()
    own = home.folder / "first" / "task.py"
    own.write_text("mine")
    assert "init writes no file over another" in home.run("init", "first", status=2).stderr
    assert own.read_text() == "mine"
    assert not Path(home.folder / "first" / "first.yaml").exists()


def test_doctor_fails_where_something_must_be_mended(home: Home) -> None:
    answer = home.run("doctor", "--json", "--storage", "mysql://somewhere/studies", status=1)
    database = next(finding for finding in json.loads(answer.stdout) if finding["name"] == "database")
    assert database["state"] == "mend"
    assert "studies live in SQLite or PostgreSQL" in database["found"]
