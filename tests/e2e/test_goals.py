"""Studies that aim at time, throughput or memory, as a person runs them."""

import optuna
import pytest

from tests.e2e.home import SPEC, Home, rows_of, runs_of

TARGET = "objective: {time_to: {val_accuracy: 0.8}}"

ONE_CHOICE = """
task: tiny.py:Tiny
objective: {metric: val_accuracy, direction: maximize}
budget: {trials: 2, epochs: 1}
sampler: grid
pruner: none
learning:
  batch_size: {choices: [32, 64]}
  width: 4
  lr: 1e-2
speed:
  torch_threads: 1
  accumulate: 1
baseline: {batch_size: 32}
log_model: false
confirm: {repeats: 0}
"""


def write_spec(home: Home, *, objective: str = TARGET, budget: str = "{trials: 4, epochs: 3}") -> None:
    lines = SPEC.replace("objective: {metric: val_accuracy, direction: maximize}", objective)
    (home.folder / "tiny.yaml").write_text(lines.replace("budget: {trials: 4, epochs: 3}", f"budget: {budget}"))


def test_study_of_time_to_a_target_ends_trials_that_see_it_and_prunes_those_that_do_not(home: Home) -> None:
    write_spec(home, budget="{trials: 5, epochs: 4}")
    said = home.run("study", "start", "tiny.yaml").stdout
    rows = rows_of(home.folder, "tiny")

    assert "time_to_val_accuracy" in said
    assert {row.outcome for row in rows} <= {"complete", "pruned"}
    complete = [row for row in rows if row.outcome == "complete"]
    assert complete
    for row in complete:
        assert row.values is not None
        assert 0 < row.values[0] < 60
    assert all("never reached 0.8" in (row.reason or "") for row in rows if row.outcome == "pruned")
    best = home.read("study", "best", "tiny")
    assert best["value"] == min(row.values[0] for row in complete if row.values)
    assert home.run("trial", "replay", "tiny", str(best["number"])).returncode == 0


def test_throughput_and_memory_are_objectives_of_a_front(home: Home) -> None:
    further = "[{metric: val_accuracy, direction: maximize}, {metric: samples_per_second, direction: maximize}, "
    write_spec(home, objective=f"objectives: {further}{{metric: peak_memory_bytes, direction: minimize}}]")
    home.run("study", "start", "tiny.yaml")
    trials = home.read("study", "trials", "tiny")

    assert [trial["outcome"] for trial in trials] == ["complete"] * 4
    for trial in trials:
        assert trial["values"][1:] == [trial["samples_per_second"], trial["peak_memory_bytes"]]
    assert home.read("study", "best", "tiny")["front"]


def test_trials_in_samples_and_their_pruner_count_samples(home: Home) -> None:
    write_spec(
        home,
        objective="objective: {metric: val_accuracy, direction: maximize}",
        budget="{trials: 6, resource: samples, per_trial: 1000}",
    )
    text = (home.folder / "tiny.yaml").read_text().replace("pruner: none", "pruner: {hyperband: {min_samples: 256}}")
    (home.folder / "tiny.yaml").write_text(text)
    home.run("study", "start", "tiny.yaml")
    trials = home.read("study", "trials", "tiny")

    assert {trial["outcome"] for trial in trials} <= {"complete", "pruned"}
    assert all(trial["epochs"] == 4 for trial in trials if trial["outcome"] == "complete")


def test_trials_that_ran_side_by_side_are_marked_and_not_compared(home: Home) -> None:
    home.run("study", "start", "tiny.yaml", "--jobs", "2")
    shown = home.run("study", "show", "tiny").stdout
    table = home.run("study", "trials", "tiny")
    note = "* measured while other trials ran on the same machine: not to be compared"

    assert all(row.is_contended for row in rows_of(home.folder, "tiny"))
    assert all(trial["is_contended"] for trial in home.read("study", "trials", "tiny"))
    assert home.read("study", "show", "tiny")["gain"]["throughput_ratio"] is None
    assert note in shown
    assert "of the baseline" not in shown
    assert note in table.stderr
    tags = [run.data.tags.get("autotune.contended") for run in runs_of(home.folder, "tiny").values()]
    assert tags == ["true"] * 4


@pytest.mark.parametrize(
    ("objective", "jobs", "said"),
    [
        ("objective: {metric: samples_per_second, direction: maximize}", "2", "got --jobs 2; leave --jobs at 1"),
        ("objective: {time_to: {val_acuracy: 0.8}}", "1", "got val_acuracy; did you mean val_accuracy?"),
    ],
)
def test_objective_that_can_not_be_had_is_refused_in_one_line(home: Home, objective: str, jobs: str, said: str) -> None:
    write_spec(home, objective=objective)
    refused = home.run("study", "start", "tiny.yaml", "--jobs", jobs, status=2).stderr
    assert said in refused
    assert "tiny.yaml:3: objective" in refused
    assert not (home.folder / "autotune.db").exists()


HUNGRY = """
import torch
from tiny import Tiny


class Hungry(Tiny):
    def forward(self, model, batch):
        if len(batch[0]) > 24:
            raise torch.OutOfMemoryError(f"CUDA out of memory with {len(batch[0])} samples")
        return super().forward(model, batch)
"""


def test_no_trial_is_launched_that_is_as_large_as_one_that_ran_out(home: Home) -> None:
    (home.folder / "hungry.py").write_text(HUNGRY)
    text = SPEC.replace("tiny.py:Tiny", "hungry.py:Hungry").replace("trials: 4, epochs: 3", "trials: 12, epochs: 1")
    text = text.replace("{choices: [sgd, adam]}", "adam").replace("{choices: [32, 64]}", "{choices: [8, 32, 64]}")
    text = text.replace("{tpe: {startup_trials: 2}}", "random").replace("{low: 2, high: 8}", "4")
    (home.folder / "tiny.yaml").write_text(text.replace("batch_size: 64", "batch_size: 8"))
    home.run("study", "start", "tiny.yaml", "--trials", "6")
    home.run("study", "start", "tiny.yaml")  # what was learned outlives the process

    smallest_lost = 1000
    launched, refused = [], []
    for row in rows_of(home.folder, "tiny"):
        batch_size = row.parameters["batch_size"]
        assert isinstance(batch_size, int)
        if batch_size >= smallest_lost:
            refused.append(row)
        else:
            launched.append(row)
        if row.is_out_of_memory:
            smallest_lost = min(smallest_lost, batch_size)
    assert refused
    assert {row.outcome for row in refused} == {"infeasible"}
    assert all(row.started_at is None and "predicted not to fit: trial" in (row.reason or "") for row in refused)
    assert all(row.started_at is not None for row in launched)
    assert [trial["outcome"] for trial in home.read("study", "trials", "tiny")].count("complete") >= 2
    assert runs_of(home.folder, "tiny")[refused[0].number].data.tags["outcome"] == "infeasible"


def test_batch_that_finds_no_memory_is_trained_in_parts(home: Home) -> None:
    (home.folder / "hungry.py").write_text(
        HUNGRY.replace("len(batch[0]) > 24", "model.training and len(batch[0]) > 24")
    )
    text = SPEC.replace("tiny.py:Tiny", "hungry.py:Hungry").replace("trials: 4, epochs: 3", "trials: 2, epochs: 1")
    (home.folder / "tiny.yaml").write_text(text.replace("torch_threads: 1", "accumulate: auto"))
    said = home.run("study", "start", "tiny.yaml").stderr
    rows = rows_of(home.folder, "tiny")

    assert [row.outcome for row in rows] == ["complete", "complete"]
    assert [row.in_force["accumulate"] for row in rows] == [
        2 if row.parameters["batch_size"] == 32 else 4 for row in rows
    ]
    assert "trial 0: OutOfMemoryError: CUDA out of memory with 64 samples; it goes on with 2 micro-batches" in said
    tags = runs_of(home.folder, "tiny")[0].data.tags
    assert tags["in_force.accumulate"] == "4"


def test_trial_that_is_known_to_run_out_stays_refused_when_the_coordinator_was_killed_in_between(home: Home) -> None:
    task = (home.folder / "tiny.py").read_text()
    runs_out = """if len(batch[1]) > 32:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        """
    (home.folder / "tiny.py").write_text(task.replace("time.sleep(0.01)", runs_out))
    (home.folder / "tiny.yaml").write_text(ONE_CHOICE)
    home.run("study", "start", "tiny.yaml")
    study = optuna.load_study(study_name="tiny", storage=f"sqlite:///{home.folder / 'autotune.db'}")
    study.enqueue_trial({"batch_size": 64})
    study.ask()  # what a coordinator leaves behind that was killed while it asked
    home.run("study", "start", "tiny.yaml", "--trials", "3")
    rows = rows_of(home.folder, "tiny")
    assert [row.outcome for row in rows] == ["complete", "infeasible", "infeasible"]
    assert "can't allocate memory" in str(rows[1].reason)
    assert rows[2].reason == "predicted not to fit: trial 1 ran out of memory with batch_size 64"
