import contextlib
import json
import os
import shutil
import signal
import sqlite3
from pathlib import Path

import optuna
import psutil
import pytest

from autotune.coordinator.company import Company
from autotune.hardware import Machine
from tests.e2e.home import Home, family_of, rows_of

TASK = '''
import time

import torch
from torch.utils.data import Dataset

from autotune.training import Task


class Points(Dataset):
    """A batch of 32 is waited for 96 ms: computing the rest takes 1 ms, and has taken over 30 on busy cores."""

    def __init__(self, seed, count):
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(0, 2, (count,), generator=generator)
        self.points = torch.randn(count, 4, generator=generator) + self.labels[:, None] * 1.5

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        time.sleep(0.003)
        return self.points[index], self.labels[index]


class Slow(Task):
    def train_data(self, params):
        return Points(1, 640)

    def validation_data(self, params):
        return Points(2, 64)

    def model(self, params):
        return torch.nn.Linear(4, 2)
'''

SPEC = """
task: slow.py:Slow
objective: {metric: val_accuracy, direction: maximize}
budget: {trials: 3, seconds: 100, epochs: 1}
speed_search: {race: {share: 0.3}}
sampler: random
pruner: none
learning:
  lr: {low: 1e-3, high: 1e-1, log: true}
  batch_size: 32
speed:
  torch_threads: 1
  num_workers: {choices: [0, 4]}
  optimizer_impl: {choices: [for_loop, foreach]}
baseline: {lr: 1e-2, num_workers: 0}
log_model: false
confirm: {repeats: 0}
"""
BEGINNING = SPEC.partition("speed_search")[0]


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A folder in which a study has raced its workload; no test changes that study."""
    home = make_home(tmp_path_factory.mktemp("raced"))
    (home.folder / "said.txt").write_text(home.run("study", "start", "slow.yaml").stderr)
    return home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(tmp_path)


def make_home(folder: Path) -> Home:
    (folder / "slow.py").write_text(TASK)
    (folder / "slow.yaml").write_text(SPEC)
    return Home(folder)


def workers_of(home: Home, study: str) -> list[int]:
    trials = json.loads(home.run("study", "trials", study, "--json").stdout)
    return [trial["parameters"]["num_workers"] for trial in trials]


def test_trials_of_a_study_take_the_winner_and_the_baseline_keeps_its_own(raced: Home) -> None:
    said = (raced.folder / "said.txt").read_text()
    assert said.index("trial 0 complete") < said.index("race: input-bound") < said.index("trial 1 complete")
    assert workers_of(raced, "slow") == [0, 4, 4]


def test_study_shows_what_its_races_cost_and_gained(raced: Home) -> None:
    shown = json.loads(raced.run("study", "show", "slow", "--json").stdout)
    (race,) = shown["races"]
    assert race["kept"] == {"num_workers": 4}
    assert race["gain"]["low"] > 1
    assert 0 < shown["speed_seconds"] < shown["elapsed_seconds"]
    lines = raced.run("study", "show", "slow").stdout.splitlines()
    assert any(line.startswith("races: 1 in") for line in lines)
    assert lines[-len(race["code"]) :] == race["code"]
    assert "num_workers=4" in race["code"][0]


def test_race_is_an_optuna_study_of_its_own(raced: Home) -> None:
    heats = optuna.load_study(study_name="slow.speed", storage=f"sqlite:///{raced.folder / 'autotune.db'}").trials
    assert {heat.user_attrs["stage"] for heat in heats} >= {"screen", "confirm"}
    assert any(heat.params.get("num_workers") == 4 and heat.user_attrs["verdict"] == "kept" for heat in heats)


def test_later_study_takes_the_winner_without_a_race_and_deletion_takes_its_heats(raced: Home) -> None:
    again = raced.run("study", "start", "slow.yaml", "--name", "again")
    assert "this machine knows the winner of a workload of this task" in again.stderr
    assert "race: input-bound" not in again.stderr
    assert workers_of(raced, "again") == [0, 4, 4]
    raced.run("study", "delete", "again", "--yes")
    names = optuna.get_all_study_names(f"sqlite:///{raced.folder / 'autotune.db'}")
    assert sorted(names) == ["slow", "slow.speed"]


def test_fixed_speed_search_trains_every_trial_with_the_baselines_speed(home: Home) -> None:
    done = home.run("study", "start", "slow.yaml", "--set", "speed_search=fixed")
    assert "race" not in done.stderr
    assert workers_of(home, "slow") == [0, 0, 0]


def test_speed_command_races_a_task_that_has_no_spec(home: Home) -> None:
    done = home.run("speed", "slow.py:Slow", "--batch-size", "32", "--seconds", "20", "--json")
    (summary,) = json.loads(done.stdout)
    assert summary["result"]["diagnoses"][0]["input_share"] > 0.5
    assert summary["workload"] == {"batch_size": 32}
    assert summary["result"]["heats"] or summary["result"]["is_cut_short"]  # on busy cores its time is soon up
    assert bool(summary["code"]) is bool(summary["result"]["gain"])
    assert "input-bound" in done.stderr


def test_speed_command_races_every_knob_for_a_spec_that_names_none(home: Home) -> None:
    """It raced nothing, and said that nothing is faster."""
    (home.folder / "short.yaml").write_text(f"{BEGINNING}speed_search: fixed\nlearning: {{lr: 0.1}}\n")
    (summary,) = json.loads(home.run("speed", "short.yaml", "--seconds", "6", "--json").stdout)
    assert summary["result"]["heats"] or summary["result"]["is_cut_short"]  # on busy cores its time is soon up


def test_speed_command_refuses_a_spec_that_leaves_nothing_to_race(home: Home) -> None:
    """It measured the baseline, and stored that nothing is faster."""
    rest = "device: cpu\nlearning: {lr: {low: 0.1, high: 1}}\nspeed: {pin_memory: {choices: [false, true]}}\n"
    (home.folder / "short.yaml").write_text(BEGINNING + rest)
    done = home.run("speed", "short.yaml", "--seconds", "6", status=2)
    assert "short.yaml:7: speed: something must be left to race on this machine, got pin_memory left out" in done.stderr
    assert not (home.folder / "autotune.db").exists()


ODD = """
    def forward(self, model, batch):
        if len(batch[0]) == 64:
            raise RuntimeError("an odd batch")
        return super().forward(model, batch)
"""


def test_speed_command_goes_on_with_smaller_batches_after_one_that_runs_out(home: Home) -> None:
    """It ended there, and what fits was never raced."""
    runs_out = ODD.replace("an odd batch", "DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
    (home.folder / "odd.py").write_text(TASK.replace("0.003", "0") + runs_out)
    sizes = ("--batch-size", "64", "128", "32")
    done = home.run("speed", "odd.py:Slow", *sizes, "--seconds", "1", status=1)
    assert "batch_size 32:" in done.stdout
    assert "throughput:" in done.stdout
    assert "batch 128: not tried: 64 ran out of memory" in done.stderr
    assert "batch_size: must fit the device, got 64: " in done.stderr.splitlines()[-1]


def test_speed_command_gives_json_of_the_races_before_one_that_fails(home: Home) -> None:
    (home.folder / "odd.py").write_text(TASK.replace("0.003", "0") + ODD)
    sizes = ("--batch-size", "32", "--batch-size", "64")
    done = home.run("speed", "odd.py:Slow", *sizes, "--seconds", "1", "--json", status=1)
    (summary,) = json.loads(done.stdout)
    assert summary["workload"] == {"batch_size": 32}
    *_, line, raised, told = done.stderr.splitlines()
    assert line.lstrip() == 'raise RuntimeError("an odd batch")'
    assert raised.lstrip() == "RuntimeError: an odd batch"
    words = "odd.py:Slow: must train to be raced (batch_size 64), and does not: RuntimeError: an odd batch"
    assert told.endswith(words)


def test_ctrl_c_ends_the_speed_command_and_tells_what_is_lost(home: Home) -> None:
    process = home.start("speed", "slow.py:Slow", "--seconds", "100")
    home.wait_for("race of ")
    family = family_of(process.pid)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=45) == 130
    assert "stopped: this race has no result; " in home.output.splitlines()[-1]
    psutil.wait_procs(family, timeout=40)
    assert not [member for member in family if member.is_running() and member.status() != psutil.STATUS_ZOMBIE]


def test_batch_of_more_samples_than_there_are_is_refused(home: Home) -> None:
    done = home.run("speed", "slow.py:Slow", "--batch-size", "641", "--json", status=2)
    assert "--batch-size: must be at most 640, the task's training samples, got 641" in done.stderr
    assert json.loads(done.stdout) == []


OWN_KNOB = """
import time

import torch
from torch.utils.data import TensorDataset

from autotune.training import Task, TaskKnob


class Napping(Task):
    knobs = (TaskKnob(name="nap", choices=(20, 0), numerics="exact", summary="milliseconds of sleep a step"),)

    def train_data(self, params):
        self.nap = params.get("nap", 20)
        return TensorDataset(torch.zeros(640, 4), torch.zeros(640, dtype=torch.int64))

    def validation_data(self, params):
        return TensorDataset(torch.zeros(8, 4), torch.zeros(8, dtype=torch.int64))

    def model(self, params):
        return torch.nn.Linear(4, 2)

    def forward(self, model, batch):
        time.sleep(self.nap / 1000)
        return super().forward(model, batch)
"""


def test_knob_that_a_task_declares_is_raced_like_a_built_in_one(tmp_path: Path) -> None:
    (tmp_path / "napping.py").write_text(OWN_KNOB)
    (tmp_path / "napping.yaml").write_text(
        SPEC.replace("slow.py:Slow", "napping.py:Napping")
        .replace("num_workers: {choices: [0, 4]}", "nap: {choices: [20, 0]}")
        .replace("optimizer_impl: {choices: [for_loop, foreach]}", "")
        .replace("num_workers: 0", "nap: 20")
    )
    (summary,) = json.loads(Home(tmp_path).run("speed", "napping.yaml", "--seconds", "15", "--json").stdout)
    assert summary["result"]["setting"] == {"nap": 0}
    assert summary["result"]["gain"]["low"] > 1
    assert summary["code"] == ["# nap = 0: your task reads it"]


def test_study_goes_on_where_its_race_cannot_measure_the_baseline(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    (tmp_path / "slow.py").write_text(
        TASK.replace("        return torch.nn.Linear(4, 2)", "        return Dying()")
        + """

class Dying(torch.nn.Linear):
    def __init__(self):
        super().__init__(4, 2)
        self.steps = 0

    def forward(self, points):
        self.steps += self.training
        if self.steps > 25:  # a trial has 20 steps, a contestant more
            raise RuntimeError("worn out")
        return super().forward(points)
"""
    )
    done = home.run("study", "start", "slow.yaml")
    assert (
        "race: the baseline can't be measured with batch_size 32, torch_threads 1 (RuntimeError: worn out)"
        in done.stderr
    )
    assert workers_of(home, "slow") == [0, 0, 0]


def test_study_that_goes_on_with_other_versions_keeps_what_it_learned_and_races_again(
    raced: Home, tmp_path: Path
) -> None:
    shutil.copytree(raced.folder, tmp_path, dirs_exist_ok=True)
    home = Home(tmp_path)
    before = json.loads(home.run("study", "trials", "slow", "--json").stdout)
    pretend_other_versions(tmp_path / "autotune.db")
    resumed = home.run("study", "resume", "slow", "--trials", "4", "--seconds", "150")
    (line,) = [line for line in resumed.stderr.splitlines() if "another machine or other versions" in line]
    assert "(torch 2.0.0 → " in line
    assert line.endswith(": trials are kept, speed is measured again")
    after = json.loads(home.run("study", "trials", "slow", "--json").stdout)
    assert after[:3] == before
    assert after[3]["outcome"] == "complete"
    assert len(json.loads(home.run("study", "show", "slow", "--json").stdout)["races"]) == 2


def pretend_other_versions(database: Path) -> None:
    """What the study was trained and raced with so far was another torch."""
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        for key, text in connection.execute("SELECT id, machine FROM autotune_environment").fetchall():
            machine = Machine.model_validate_json(text)
            other = machine.model_copy(update={"torch": machine.torch.model_copy(update={"version": "2.0.0"})})
            row = (other.model_dump_json(), other.software_fingerprint, f"digest {key}", key)
            connection.execute(
                "UPDATE autotune_environment SET machine = ?, software_fingerprint = ?, digest = ? WHERE id = ?", row
            )
            connection.execute("UPDATE autotune_race SET software_fingerprint = ?", (other.software_fingerprint,))


def test_study_beside_another_one_says_so_and_marks_its_throughput(home: Home) -> None:
    """Its races would be disturbed, and its figures are."""
    here = Company(["cpu"], who="study other").join()
    try:
        done = home.run("study", "start", "slow.yaml")
        by_hand = home.run("speed", "slow.yaml", "--seconds", "1")
    finally:
        here.leave()
    assert f"study other (pid {os.getpid()}) may train on this device, too: throughput is marked *" in done.stderr
    assert "race:" not in done.stderr
    assert all(row.is_contended for row in rows_of(home.folder, "slow"))
    assert "may train on this device, too: this measures on a disturbed device" in by_hand.stderr
