"""A winner that is confirmed by real trainings: by itself, at the end of a study, and after a kill."""

import json
import signal
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from autotune.recording.mlflow.store import RUN_TAG
from tests.e2e.home import SPEC, Home, make_home

pytestmark = pytest.mark.slow

SEARCH = SPEC.replace("baseline: {optimizer: adam, lr: 1e-2", "baseline: {optimizer: adam, lr: 1e-3").replace(
    "budget: {trials: 4, epochs: 3}", "budget: {trials: 3, epochs: 1}"
)
"""The baseline learns next to nothing in its epoch, so that some other trial is the best."""
KEY = "open-sesame-4711"
SEARCH = SEARCH.replace("learning:", f"learning:\n  api_key: {KEY}")
"""A secret too, which no study stores: what trains again is given the spec."""
CHECK = f"""
    def model(self, params):
        assert params.api_key == "{KEY}", "every training is told the secret"
"""

GIVEN = ("--spec", "tiny.yaml")


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A study that confirmed its winner at its end, as it does unless it is told not to."""
    home = make_home(tmp_path_factory.mktemp("confirmed"))
    task = home.folder / "tiny.py"
    task.write_text(task.read_text().replace("\n    def model(self, params):\n", CHECK))
    (home.folder / "tiny.yaml").write_text(SEARCH.replace("confirm: {repeats: 0}", "confirm: {repeats: 3}"))
    (home.folder / "said.txt").write_text(home.run("study", "start", "tiny.yaml").stdout)
    return home


def test_study_ends_with_a_verdict_on_its_winner(confirmed: Home) -> None:
    assert "verdict: " in (confirmed.folder / "said.txt").read_text()
    assert "verdict: " in confirmed.run("study", "show", "tiny").stdout
    verdict = confirmed.read("study", "show", "tiny")["verdict"]
    best = confirmed.read("study", "best", "tiny")["number"]
    assert (verdict["winner"], verdict["reference"]) == (best, 0)
    assert (verdict["num_winner"], verdict["num_reference"]) == (3, 3)
    assert next(quantity["name"] for quantity in verdict["quantities"]) == "val_accuracy"


def test_search_keeps_its_own_trials_and_totals(confirmed: Home) -> None:
    assert len(confirmed.read("study", "trials", "tiny")) == 3
    assert sum(confirmed.read("study", "show", "tiny")["outcomes"].values()) == 3


def test_sides_take_turns_on_seeds_that_the_search_never_used(confirmed: Home) -> None:
    trained = confirmed.read("study", "trials", "tiny.confirm")
    sides = "".join("A" if trial["is_baseline"] else "B" for trial in trained)
    assert sides == "ABBAAB"
    seeds = [trial["seed"] for trial in trained]
    searched = {trial["seed"] for trial in confirmed.read("study", "trials", "tiny")}
    assert len(set(seeds)) == len(seeds)
    assert searched.isdisjoint(seeds)


def test_mlflow_has_the_verdict_in_the_parent_run_and_the_trainings_in_runs_of_their_own(confirmed: Home) -> None:
    parent = _parent_of(confirmed.folder, "tiny")
    assert parent.data.tags["verdict.trainings"] == "3 against 3"
    assert "verdict.val_accuracy.difference.value" in parent.data.metrics
    assert _parent_of(confirmed.folder, "tiny.confirm").info.status == "FINISHED"


def test_confirming_again_with_more_trainings_adds_only_what_is_missing(confirmed: Home) -> None:
    verdict = confirmed.read("study", "confirm", "tiny", *GIVEN, "--repeats", "4", "--target", "0.5")
    assert (verdict["num_winner"], verdict["num_reference"]) == (4, 4)
    assert verdict["target"] == "val_accuracy at least 0.5"
    assert len(confirmed.read("study", "trials", "tiny.confirm")) == 8


def stop_while_mlflow_is_waited_for(home: Home, *words: str) -> str:
    """What the command says that gets Ctrl-C once it has asked an MLflow that never answers."""
    before = home.output if (home.folder / "output.txt").exists() else ""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        process = home.start(*words, "--tracking-uri", f"http://127.0.0.1:{silent.getsockname()[1]}")
        asking, _ = silent.accept()
        with asking:
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=45) == 130
    return home.output[len(before) :]


def test_ctrl_c_while_mlflow_is_waited_for_leaves_the_verdict(confirmed: Home) -> None:
    said = stop_while_mlflow_is_waited_for(confirmed, "study", "confirm", "tiny", *GIVEN, "--repeats", "3")
    assert "verdict: " in said
    assert "`autotune study sync tiny` delivers them" in said
    assert "Aborted!" not in said


def test_ctrl_c_between_a_confirmations_end_and_its_verdict_leaves_the_verdict(confirmed: Home) -> None:
    """Aborted! stood in its place."""
    confirm = ("study", "confirm", "tiny", *GIVEN, "--repeats", "3")
    done = confirmed.run_signalled(*confirm, function="autotune.report.summaries.reading.read_study")
    assert "verdict: " in done.stdout
    assert done.stderr.splitlines()[-1] == "Stopped when all was done; what came of it is shown."


@pytest.mark.parametrize("command", ["sync", "rebuild-mlflow"])
def test_ctrl_c_while_records_are_delivered_says_what_delivers_the_rest(confirmed: Home, command: str) -> None:
    said = stop_while_mlflow_is_waited_for(confirmed, "study", command, "tiny")
    assert said.startswith("Stopped: MLflow may lack some of the records; the same command ")
    assert said.count("\n") == 1


@pytest.fixture(scope="module")
def ablated(confirmed: Home) -> "subprocess.CompletedProcess[str]":
    """The report on the study after an ablation with one training of each configuration."""
    ablate = ("--ablate", *GIVEN, "--repeats", "1")
    return confirmed.run("study", "report", "tiny", *ablate, "--format", "markdown")


def test_report_measures_what_each_change_is_worth(
    confirmed: Home, ablated: "subprocess.CompletedProcess[str]"
) -> None:
    assert "| parameter | baseline | winner | measured worth |" in ablated.stdout
    assert "configurations, 1 training each" in ablated.stderr
    trained = confirmed.read("study", "trials", "tiny.ablation")
    assert {trial["outcome"] for trial in trained} == {"complete"}
    again = confirmed.run("study", "report", "tiny", "--format", "markdown")
    assert "| parameter | baseline | winner | measured worth |" in again.stdout


@pytest.mark.usefixtures("ablated")
def test_ablation_goes_on_after_its_coordinator_is_killed(confirmed: Home) -> None:
    more = ("study", "report", "tiny", "--ablate", *GIVEN, "--repeats", "2", "--format", "json")
    searched, totals = _search_of(confirmed)
    before = len(confirmed.read("study", "trials", "tiny.ablation"))
    process = confirmed.start(*more)
    confirmed.wait_for(f"training {before} complete")
    process.kill()
    process.wait(timeout=60)

    confirmed.run(*more)

    trained = confirmed.read("study", "trials", "tiny.ablation")
    assert [trial["number"] for trial in trained] == list(range(2 * before))
    assert {trial["outcome"] for trial in trained} == {"complete"}
    times = Counter(json.dumps(trial["parameters"], sort_keys=True) for trial in trained)
    assert set(times.values()) == {2}
    assert len({trial["seed"] for trial in trained}) == len(trained)
    assert _search_of(confirmed) == (searched, totals)


@pytest.mark.usefixtures("ablated")
def test_ctrl_c_while_mlflow_is_waited_for_leaves_the_report_on_an_ablation(confirmed: Home) -> None:
    ablate = ("study", "report", "tiny", "--ablate", *GIVEN, "--repeats", "1", "--format", "markdown")
    said = stop_while_mlflow_is_waited_for(confirmed, *ablate)
    assert "| parameter | baseline | winner | measured worth |" in said
    assert "`autotune study sync tiny` delivers them" in said
    assert "Aborted!" not in said


@pytest.mark.usefixtures("ablated")
def test_ctrl_c_between_an_ablations_end_and_its_report_leaves_the_report(confirmed: Home) -> None:
    """Aborted! stood in its place."""
    ablate = ("study", "report", "tiny", "--ablate", *GIVEN, "--repeats", "1", "--format", "markdown")
    done = confirmed.run_signalled(*ablate, function="autotune.report.summaries.reading.read_study")
    assert "| parameter | baseline | winner | measured worth |" in done.stdout
    assert done.stderr.splitlines()[-1] == "Stopped when all was done; what came of it is shown."


@pytest.mark.usefixtures("ablated")
@pytest.mark.parametrize("name", ["tiny.confirm", "tiny.ablation", "tiny.speed"])
def test_study_of_repeated_trainings_or_of_races_is_none_to_search_in(confirmed: Home, name: str) -> None:
    refused = confirmed.run("study", "start", "tiny.yaml", "--name", name, status=2).stderr
    assert "choose another --name" in refused
    assert "names that end in" in refused


def test_secret_that_repeated_trainings_were_given_stands_in_no_database(confirmed: Home) -> None:
    stored = [path for path in confirmed.folder.rglob("*.db*") if path.is_file()]
    assert stored
    assert [path.name for path in stored if KEY.encode() in path.read_bytes()] == []


def test_reference_that_is_not_there_is_said_before_anything_is_imported(confirmed: Home) -> None:
    refused = confirmed.run("study", "confirm", "tiny", *GIVEN, "--against", "99", status=1).stderr
    assert "trial 99 must be complete to be compared with, got no such trial" in refused


def test_confirmation_goes_on_after_its_coordinator_is_stopped_and_killed(confirmed: Home) -> None:
    """Comes last: the study is deleted in the end."""
    more = ("study", "confirm", "tiny", *GIVEN, "--top", "2", "--repeats", "2")
    before = len(confirmed.read("study", "trials", "tiny.confirm"))
    for number, kill in ((before, signal.SIGINT), (before + 1, signal.SIGKILL)):
        process = confirmed.start(*more)
        confirmed.wait_for(f"training {number} complete")
        process.send_signal(kill)
        process.wait(timeout=60)

    verdict = confirmed.read(*more)

    assert (verdict["others"][0]["num_winner"], verdict["others"][0]["num_reference"]) == (2, 2)
    trained = confirmed.read("study", "trials", "tiny.confirm")
    assert [trial["number"] for trial in trained] == list(range(before + 4))
    assert {trial["outcome"] for trial in trained} == {"complete"}
    confirmed.run("study", "delete", "tiny", "--yes")
    assert confirmed.read("study", "list") == []


def _search_of(home: Home) -> tuple[object, object]:
    """Its trials, and what they came to."""
    return home.read("study", "trials", "tiny"), home.read("study", "show", "tiny")["outcomes"]


def _parent_of(folder: Path, name: str) -> Run:
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=100)
    return next(run for run in runs if run.data.tags[RUN_TAG] == "study")
