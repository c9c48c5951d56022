import json
import os
import re
from pathlib import Path

import pytest

from autotune.hardware import usable_cores
from autotune.recording.database import open_database
from autotune.recording.records import Records
from tests.e2e.home import SPEC, Home, histories_of, make_home, rows_of, runs_of

pytestmark = pytest.mark.slow


def test_study_trains_every_trial_of_its_budget_and_says_what_was_found(finished: Home) -> None:
    trials = finished.read("study", "trials", "tiny")
    assert [trial["number"] for trial in trials] == [0, 1, 2, 3]
    assert {trial["outcome"] for trial in trials} == {"complete"}
    baseline = trials[0]["parameters"]
    assert baseline == {"optimizer": "adam", "lr": 0.01, "batch_size": 64, "width": 4, "torch_threads": 1}
    best = finished.read("study", "best", "tiny")
    assert best["value"] == max(trial["values"][0] for trial in trials)
    for expected in ("best: trial", "baseline", "autotune study show tiny", "autotune dashboard", "autotune mlflow"):
        assert expected in finished.output
    runs = runs_of(finished.folder, "tiny")
    assert sorted(runs) == [0, 1, 2, 3]
    for run in runs.values():
        assert run.info.status == "FINISHED"
        assert {"val_accuracy", "train_loss", "samples_per_second", "lr"} <= run.data.metrics.keys()


def test_budget_is_a_total_over_starts(grown: Home) -> None:
    first = rows_of(grown.folder, "tiny")
    grown.run("study", "start", "tiny.yaml", "--trials", "5")
    rows = rows_of(grown.folder, "tiny")
    assert [row.number for row in rows] == [0, 1, 2, 3, 4]
    assert rows[:4] == first
    grown.run_afresh("study", "resume", "tiny")
    assert rows_of(grown.folder, "tiny") == rows


@pytest.mark.skipif(len(usable_cores()) < 2, reason="needs a core that a trial leaves free")
def test_next_trial_is_set_up_beside_the_last_where_a_core_is_free(tmp_path: Path) -> None:
    """On one core each is set up in its turn; both studies find the same, to the last digit."""
    histories, beside = [], []
    for num_cores in (1, 2):
        home = _make_home_that_tells_when_data_is_made(tmp_path / str(num_cores))
        _run_on(usable_cores()[:num_cores], home)
        histories.append(histories_of(home.folder, "tiny"))
        made = [float(line) for line in (home.folder / "made").read_text().splitlines()]
        trained = _times_of_training(home)
        beside.append([any(began < at < ended for at in made) for began, ended in trained])
    assert histories[0] == histories[1]
    assert beside == [[False] * 4, [True, True, True, False]]


def _times_of_training(home: Home) -> list[tuple[float, float]]:
    """When each trial asked for its first batch, and when it reported its last epoch."""
    records = Records(open_database(f"sqlite:///{home.folder}/autotune.db", create=False))
    reports = [[row.report for row in records.reports(trial)] for trial in records.trials(records.study("tiny"))]
    records.engine.dispose()
    return [(first.at - (first.trained_seconds or 0.0), last.at) for first, *_, last in reports]


def _make_home_that_tells_when_data_is_made(folder: Path) -> Home:
    folder.mkdir()
    home = make_home(folder)
    told = f"        with Path({str(folder / 'made')!r}).open('a') as made:\n"
    told += "            made.write(f'{time.time()}\\n')\n"
    told += "        time.sleep(0.2)\n"  # else it would not be worth it
    top, marker, bottom = (folder / "tiny.py").read_text().partition("    def train_data(self, params):\n")
    (folder / "tiny.py").write_text(f"from pathlib import Path\n{top}{marker}{told}{bottom}")
    return home


def _run_on(cores: tuple[int, ...], home: Home) -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # which the command inherits
    try:
        home.run_afresh("study", "start", "tiny.yaml", "--set", "budget.epochs=12")
    finally:
        os.sched_setaffinity(0, before)


def test_two_jobs_train_at_once_and_end_at_the_budget(home: Home) -> None:
    home.run("study", "start", "tiny.yaml", "--jobs", "2", "--trials", "5")
    trials = home.read("study", "trials", "tiny")
    assert [trial["outcome"] for trial in trials] == ["complete"] * 5


def test_seconds_of_the_budget_end_the_study_with_no_trial_left_running(home: Home) -> None:
    done = home.run("study", "start", "tiny.yaml", "--seconds", "2", "--set", "budget.epochs=100000")
    assert re.search(r"the baseline took [\d.]+ of the study's 2 s.*; a larger --seconds leaves", done.stderr)
    (trial,) = home.read("study", "trials", "tiny")
    assert (trial["outcome"], trial["reason"]) == ("pruned", "the study's budget of 2 s is used up")


def test_hopeless_trials_are_pruned(home: Home) -> None:
    spec = SPEC.replace("pruner: none", "pruner: {threshold: {lower: 1.1}}")
    spec = spec.replace("epochs: 3", "epochs: 30")  # on busy cores the answer may come some epochs late
    (home.folder / "tiny.yaml").write_text(spec)
    home.run("study", "start", "tiny.yaml")
    outcomes = [trial["outcome"] for trial in home.read("study", "trials", "tiny")]
    assert outcomes == ["complete", "pruned", "pruned", "pruned"]  # the baseline is never pruned
    assert "threshold" in home.read("study", "trials", "tiny")[1]["reason"]


def test_several_objectives_give_a_pareto_front(home: Home) -> None:
    objectives = "objectives: [{metric: val_accuracy, direction: maximize}, {metric: val_loss, direction: minimize}]"
    spec = SPEC.replace("objective: {metric: val_accuracy, direction: maximize}", objectives)
    (home.folder / "tiny.yaml").write_text(spec.replace("pruner: none", "pruner: median"))
    home.run("study", "start", "tiny.yaml")
    trials = home.read("study", "trials", "tiny")
    assert all(len(trial["values"]) == 2 for trial in trials if trial["outcome"] == "complete")


def test_replayed_trial_gives_the_same_losses(finished: Home) -> None:
    answer = json.loads(finished.run_afresh("trial", "replay", "tiny", "1", "--json").stdout)
    assert answer["is_same"] is True


def test_changed_spec_goes_on_where_optuna_can_and_is_refused_with_a_diff_where_not(grown: Home) -> None:
    widened = (grown.folder / "tiny.yaml").read_text().replace("high: 1e-1", "high: 1")
    (grown.folder / "tiny.yaml").write_text(widened)
    done = grown.run("study", "start", "tiny.yaml", "--trials", "5")
    assert (
        "~ learning.lr: {type: float, low: 0.001, high: 0.1, log: true} → {type: float, low: 0.001, high: 1"
        in done.stderr
    )
    (grown.folder / "tiny.yaml").write_text(widened.replace("[sgd, adam]", "[sgd, adam, adamw]"))
    refused = grown.run("study", "start", "tiny.yaml", "--trials", "6", status=2)
    assert "learning.optimizer" in refused.stderr
    assert "--warm-start tiny" in refused.stderr
    assert len(rows_of(grown.folder, "tiny")) == 5
    grown.run("study", "start", "tiny.yaml", "--trials", "2", "--name", "tiny-2", "--warm-start", "tiny")
    rows = rows_of(grown.folder, "tiny-2")
    assert [row.number for row in rows if row.origin is None] == [0, 6]
    assert [row.origin for row in rows[1:6]] == [f"tiny/{number}" for number in range(5)]


def test_deleted_study_leaves_nothing_behind(grown: Home) -> None:
    grown.run_afresh("study", "delete", "tiny", "--yes")
    assert grown.read("study", "list") == []
    assert not list((grown.folder / "autotune.files").iterdir())
    grown.run("study", "start", "tiny.yaml", "--trials", "1")
    assert len(rows_of(grown.folder, "tiny")) == 1


def test_function_task_keeps_its_own_loop(home: Home) -> None:
    (home.folder / "own.py").write_text(
        "import torch\n"
        "def train(trial):\n"
        "    model = torch.nn.Linear(4, 2)\n"
        "    optimizer = trial.optimizer(model)\n"
        "    start = trial.checkpoint.restore(model=model, optimizer=optimizer)\n"
        "    for epoch in range(start + 1, trial.epochs + 1):\n"
        "        loss = torch.nn.functional.cross_entropy(model(torch.randn(8, 4)), torch.randint(0, 2, (8,)))\n"
        "        optimizer.zero_grad()\n"
        "        loss.backward()\n"
        "        optimizer.step()\n"
        "        trial.checkpoint.save(model=model, optimizer=optimizer)\n"
        "        trial.report(epoch, val_accuracy=0.5 + 0.1 * epoch)\n"
        "        if trial.should_stop():\n"
        "            return\n"
    )
    spec = SPEC.replace("tiny.py:Tiny", "own.py:train")
    (home.folder / "own.yaml").write_text(spec)
    home.run("study", "start", "own.yaml", "--trials", "2")
    trials = home.read("study", "trials", "own")
    assert [trial["outcome"] for trial in trials] == ["complete", "complete"]
    assert trials[0]["values"] == [pytest.approx(0.8, abs=1e-12)]


def test_every_reading_command_prints_json(finished: Home) -> None:
    commands = [
        ("study", "list"),
        ("study", "show", "tiny"),
        ("study", "best", "tiny"),
        ("study", "trials", "tiny"),
        ("space", "list"),
        ("space", "show", "mnist"),
        ("space", "check", "tiny.yaml"),
        ("space", "schema"),
        ("hardware",),
    ]
    for words in commands:
        option = () if words == ("space", "schema") else ("--json",)
        json.loads(finished.run_afresh(*words, *option).stdout)


@pytest.mark.postgres
def test_study_lives_in_postgresql_as_well(home: Home, postgres_url: str) -> None:
    storage = ("--storage", postgres_url)
    home.run("study", "start", "tiny.yaml", "--trials", "2", *storage)
    assert len(home.read("study", "trials", "tiny", *storage)) == 2
    assert home.read("trial", "replay", "tiny", "1", *storage)["is_same"] is True
    home.run("study", "delete", "tiny", "--yes", *storage)
    assert not (home.folder / "autotune.db").exists()
