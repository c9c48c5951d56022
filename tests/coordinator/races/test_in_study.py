"""What a study does with its races: what they cost it, what it takes over, and what it does where they fail."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import event

from autotune.coordinator.company import Company
from autotune.coordinator.interrupts import Interrupts
from autotune.coordinator.observer import Ending
from autotune.coordinator.speeds import RaceEndedError
from autotune.events import Finished, Outcome, Scalar
from autotune.recording.crew import Crew
from autotune.shortages import Shortage
from autotune.speed.measuring.arena import ContestantLostError, Loss
from autotune.trial.launcher import Arrival
from autotune.trial.leases import Lease
from tests.coordinator.races.simulated import CostOf, RacingStudy, racing_study
from tests.coordinator.retraining.instant import InstantTrials, Said
from tests.report.raced import BESIDE, MEASURED
from tests.reports import make_report
from tests.speed.simulated import Cost, Setting

CPU = Lease("cpu", None, ())
SPEC = """
task: autotune.tasks.digits:Digits
objective: {metric: val_loss, direction: minimize}
budget: {trials: 30, epochs: 2}
learning: {batch_size: {choices: [16, 32, 64, 128, 256, 512]}}
speed:
  num_workers: {choices: [0, 2]}
  precision: {choices: [fp32, bf16]}
baseline: {batch_size: 32, num_workers: 0, precision: fp32}
"""


@contextmanager
def racing_threads(folder: Path, *, ratio: float, monkeypatch: pytest.MonkeyPatch) -> Iterator[RacingStudy]:
    """A study whose baseline has two threads, with one of which a step is so many times as fast."""

    def cost(learning: Mapping[str, Scalar], setting: Setting) -> Cost:
        del learning
        return Cost(compute_seconds=0.01 * (1 if setting["torch_threads"] == 1 else ratio))

    spec = SPEC.replace("num_workers: {choices: [0, 2]}", "torch_threads: {choices: [1, 2]}")
    spec = spec.replace("num_workers: 0", "torch_threads: 2")
    with racing_study(folder, spec=spec, cost=cost, monkeypatch=monkeypatch) as study:
        yield study


def fails(*batch_sizes: int, kind: Loss = "crashed") -> CostOf:
    """Workers pay, and with these batch sizes nothing can be measured."""

    def cost(learning: Mapping[str, Scalar], setting: Setting) -> Cost:
        shortage: Shortage | None = "device" if kind == "out of memory" else None
        is_lost = learning["batch_size"] in batch_sizes
        failure = ContestantLostError(kind, "worn out", shortage=shortage) if is_lost else None
        wait = 0.0 if setting["num_workers"] else 0.02
        return Cost(compute_seconds=0.01, wait_seconds=wait, failure=failure)

    return cost


def test_race_that_crashes_costs_its_own_workload_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with racing_study(tmp_path, spec=SPEC, cost=fails(32), monkeypatch=monkeypatch) as study:
        assert study.train(1, batch_size=64)["num_workers"] == 2
        assert study.train(2, batch_size=32)["num_workers"] == 2  # of the workload that is most like it
        study.train(3, batch_size=32)
    assert study.ground.raced == [32, 64, 32]
    lost = "race: the baseline can't be measured with batch_size 32 (worn out); "
    told = [line.removeprefix(lost) for line in study.said if line.startswith(lost)]
    assert told == ["it is raced once more before a later trial", "its trials take speed parameters unraced"]


@pytest.mark.parametrize("num_starts", [0, 1, 3])
@pytest.mark.parametrize("kind", ["crashed", "out of memory"])
def test_race_that_lost_its_setting_to_beat_is_run_once_more_before_a_later_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Loss, num_starts: int
) -> None:
    """A moment's failure of the baseline left all trials of that start without a winner."""
    started: list[Setting] = []

    def cost(learning: Mapping[str, Scalar], setting: Setting) -> Cost:
        del learning
        is_passing = len(study.ground.raced) == 1 and len(started) >= num_starts
        started.append(setting)
        failure = ContestantLostError(kind, "others hold the device") if is_passing else None
        wait = 0.0 if setting["num_workers"] else 0.02
        return Cost(compute_seconds=0.01, wait_seconds=wait, failure=failure)

    with racing_study(tmp_path, spec=SPEC, cost=cost, monkeypatch=monkeypatch) as study:
        assert study.train(1, batch_size=32)["num_workers"] == 0
        assert study.ground.raced == [32]
        assert study.train(2, batch_size=32)["num_workers"] == 2
        study.train(3, batch_size=32)
    assert study.ground.raced == [32, 32]
    assert sum("once more before a later trial" in line for line in study.said) == 1


def test_race_that_loses_its_setting_to_beat_each_time_is_run_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def cost(learning: Mapping[str, Scalar], setting: Setting) -> Cost:
        del learning
        started.append(len(study.ground.raced))
        is_lost = started.count(started[-1]) > 1
        failure = ContestantLostError("crashed", "worn out") if is_lost else None
        return Cost(compute_seconds=0.01, wait_seconds=0.0 if setting["num_workers"] else 0.02, failure=failure)

    with racing_study(tmp_path, spec=SPEC, cost=cost, monkeypatch=monkeypatch) as study:
        for number in (1, 2, 3, 4):
            assert study.train(number, batch_size=32)["num_workers"] == 0
    assert study.ground.raced == [32, 32]


@pytest.mark.parametrize("kind", ["hung", "unsupported"])
def test_race_whose_baseline_hangs_or_is_not_supported_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Loss
) -> None:
    """It may take as long again, or is sure to end in the same way."""
    with racing_study(tmp_path, spec=SPEC, cost=fails(32, kind=kind), monkeypatch=monkeypatch) as study:
        for number in (1, 2):
            study.train(number, batch_size=32)
    assert study.ground.raced == [32]


def test_race_tells_of_a_setting_that_can_not_be_trained_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hung took most of a race, and only Optuna's dashboard knew."""

    def cost(learning: Mapping[str, Scalar], setting: Setting) -> Cost:
        del learning
        hung = ContestantLostError("hung", "it must train a block within 8 s, got no end")
        return Cost(compute_seconds=0.01, wait_seconds=0.02, failure=hung if setting["num_workers"] else None)

    with racing_study(tmp_path, spec=SPEC, cost=cost, monkeypatch=monkeypatch) as study:
        assert study.train(1, batch_size=32)["num_workers"] == 0
    assert "race: num_workers 2: passed over, hung: it must train a block within 8 s, got no end" in study.said


def test_race_tells_of_what_is_faster_at_first_sight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two bottlenecks were told one after the other, and not what lay between them."""

    with racing_threads(tmp_path, ratio=3, monkeypatch=monkeypatch) as study:
        assert study.train(1, batch_size=32)["torch_threads"] == 1
    told = [line for line in study.said if line.endswith("(screen)")]
    assert told == ["race: torch_threads 1: 3.0 times faster at first sight (screen)"]


def test_completing_a_trial_races_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with racing_study(tmp_path, spec=SPEC, cost=fails(), monkeypatch=monkeypatch) as study:
        unraced = study.speeds.complete(1, {"batch_size": 64}, lease=CPU)
        assert study.ground.raced == []
        raced = study.train(1, batch_size=64)
        assert study.speeds.complete(1, {"batch_size": 64}, lease=CPU) == raced
    assert (unraced["num_workers"], raced["num_workers"]) == (0, 2)
    assert study.ground.raced == [32, 64]


def test_whether_a_race_would_come_before_a_trial_is_told_without_running_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next trial's process is not started before a race: it would be ended for that."""
    with racing_study(tmp_path, spec=SPEC, cost=fails(), monkeypatch=monkeypatch) as study:
        small, large = {"batch_size": 32}, {"batch_size": 64}
        assert study.speeds.may_measure(1, small)
        assert study.ground.raced == []
        study.train(1, batch_size=32)
        assert not study.speeds.may_measure(2, small)
        assert study.speeds.may_measure(2, large)
        study.speeds.rule_out(large)
        assert not study.speeds.may_measure(2, large)
        assert study.ground.raced == [32]


def test_no_race_would_come_where_there_is_no_time_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SPEC.replace("trials: 30", "trials: 30, seconds: 3620")
    with racing_study(tmp_path, spec=spec, cost=fails(), monkeypatch=monkeypatch) as study:
        assert not study.speeds.may_measure(1, {"batch_size": 32})


def test_race_begins_once_the_floor_is_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that waits for its trial's turn holds memory, and workers."""
    with racing_study(tmp_path, spec=SPEC, cost=fails(), monkeypatch=monkeypatch) as study:
        found: list[int] = []
        study.train(1, batch_size=32, clear=lambda: found.append(len(study.ground.limits)))
        assert found[0] == 0
        assert study.ground.limits
        raced = len(found)
        study.train(2, batch_size=32, clear=lambda: found.append(-1))
        assert len(found) == raced


def test_races_that_all_crash_end_with_a_line_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = (16, 32, 64, 128, 256, 512)
    with racing_study(tmp_path, spec=SPEC, cost=fails(*sizes), monkeypatch=monkeypatch) as study:
        for number, size in enumerate(sizes, start=1):
            assert study.train(number, batch_size=size)["num_workers"] == 0
    assert study.ground.raced == [32, 16, 32, 64]
    assert study.said[-1] == "race: 3 workloads in a row could not be raced; this start races no more"


def test_study_that_has_no_time_for_a_race_says_so_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an hour old, and said nothing of why its trials trained at the baseline's speed."""
    spec = SPEC.replace("trials: 30", "trials: 30, seconds: 3620")
    with racing_study(tmp_path, spec=spec, cost=fails(), monkeypatch=monkeypatch) as study:
        for number in (1, 2):
            study.train(number, batch_size=32)
    assert study.ground.raced == []
    assert study.said == ["races: none is run: too little of the study's time is left to repay one"]


def test_workloads_that_are_too_large_end_no_races(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cost = fails(128, 256, 512, kind="out of memory")
    with racing_study(tmp_path, spec=SPEC, cost=cost, monkeypatch=monkeypatch) as study:
        for number, size in enumerate((512, 256, 128, 64), start=1):
            study.train(number, batch_size=size)
    assert study.ground.raced == [32, 512, 256, 128, 64]


def test_workload_that_runs_out_in_its_race_is_refused_and_raced_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was launched with what another workload's race had found, failed as a trial, and was raced at each start."""
    cost = fails(16, 64, 128, 256, 512, kind="out of memory")
    with racing_study(tmp_path, spec=SPEC, cost=cost, monkeypatch=monkeypatch) as study:
        baseline, *others = (study.ask() for _ in range(8))
        assert baseline.refusal is None
        lost = next(ticket for ticket in others if ticket.row.parameters["batch_size"] != 32)
        size = lost.row.parameters["batch_size"]
        assert lost.refusal is not None
        assert lost.refusal.reason == f"predicted not to fit: the race with batch_size {size} ran out of memory"
        assert lost.row.parameters["num_workers"] == 0
        study.ledger.record_end(lost, Finished(outcome=Outcome.INFEASIBLE, reason=lost.refusal.reason))
        row = study.records.trial(study.books.study, number=lost.row.number)
        assert (row.is_out_of_memory, row.environment_id) == (True, study.books.environment_id)

        num_raced = len(study.ground.raced)
        study.start_again()
        study.ledger.unfinished()
        assert isinstance(size, int)
        study.train(20, batch_size=size)
    assert len(study.ground.raced) == num_raced


def test_race_that_a_crowd_leaves_no_memory_for_says_nothing_of_its_workload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd = ContestantLostError("out of memory", "others hold it")

    def cost(learning: Mapping[str, Scalar], setting: Setting) -> Cost:
        wait = 0.0 if setting["num_workers"] else 0.02
        is_lost = learning["batch_size"] == 64
        return Cost(compute_seconds=0.01, wait_seconds=wait, failure=crowd if is_lost else None)

    with racing_study(tmp_path, spec=SPEC, cost=cost, monkeypatch=monkeypatch) as study:
        assert study.train(1, batch_size=64)["num_workers"] == 2
        assert study.fitting.reason_not_to_launch(1, parameters={"batch_size": 64}, lease=CPU) is None


def test_race_is_paid_for_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A coordinator that is killed in a race has charged it, up to the last seconds."""
    with racing_study(tmp_path, spec=SPEC, cost=fails(), monkeypatch=monkeypatch) as study:
        began = study.standing.elapsed_seconds
        owed: list[float] = []
        of_trials: list[float] = []

        def on_wait() -> None:
            of_trials.append(study.standing.trial_seconds)
            owed.append(study.standing.elapsed_seconds - began - study.charged_seconds)
            study.clock.pass_seconds(3.0)

        study.train(1, batch_size=32, on_wait=on_wait)
        assert study.charged_seconds == pytest.approx(study.standing.elapsed_seconds - began, abs=10)
    assert len(owed) >= 6
    assert max(owed) < 12  # or all of it, 15 s and more
    assert max(of_trials) - began < 12  # nor has any of it been taken for the trials' time


def test_no_start_of_a_race_takes_as_long_as_the_study_lets_a_race_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compile that took longer than the race had left ended it, and what had been found was lost."""
    with racing_study(tmp_path, spec=SPEC, cost=fails(), monkeypatch=monkeypatch) as study:
        study.train(1, batch_size=32)
        assert study.said[0] == "race: batch_size 32, up to 30 s"
        first, *later = study.ground.limits
    assert first == float("inf")  # the baseline: nothing is found yet
    assert later
    assert max(later) < 60


def test_race_that_a_start_ended_in_has_what_is_left_of_its_time_in_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each start that was killed in its race gave it all of its time again."""
    with racing_study(tmp_path, spec=SPEC, cost=fails(), monkeypatch=monkeypatch) as study:

        def stop() -> None:
            study.clock.pass_seconds(25.0)
            raise RaceEndedError("the study stops")

        study.train(1, batch_size=32, on_wait=stop)
        study.start_again()
        assert study.train(1, batch_size=32)["num_workers"] == 2
        workload = study.ground.workload({"batch_size": 32})
        assert study.log.unfinished_seconds(workload, ground=study.ground) == 0
    assert study.said[0] == "race: batch_size 32, up to 30 s"
    assert study.said[2] == "race: batch_size 32, up to 12 s"


def test_race_that_answers_nothing_has_what_is_left_of_its_time_in_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each start gave it all of its time again: it had come to its end, where noise hid everything."""
    factors = cycle([1.0, 1.35])

    def cost(learning: Mapping[str, Scalar], setting: Setting) -> Cost:
        del learning, setting
        factor = next(factors)  # two processes of one setting differ
        return Cost(compute_seconds=0.01 * factor, wait_seconds=0.02 * factor)

    with racing_study(tmp_path, spec=SPEC, cost=cost, monkeypatch=monkeypatch) as study:
        study.train(1, batch_size=32, on_wait=lambda: study.clock.pass_seconds(2.0))
        left = 30 - study.charged_seconds
        assert 0 < left < 28
        study.start_again()
        study.train(1, batch_size=32)
        assert study.log.known(study.ground) == {}
    begun = [line for line in study.said if line.startswith("race: batch_size 32, up to")]
    assert begun == ["race: batch_size 32, up to 30 s", f"race: batch_size 32, up to {max(12, left):.0f} s"]


def test_workload_without_a_race_takes_no_precision_that_was_judged_on_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cost(learning: Mapping[str, Scalar], setting: Setting) -> Cost:
        del learning
        wait = 0.0 if setting["num_workers"] else 0.02
        compute = 0.005 if setting["precision"] == "bf16" else 0.01
        return Cost(compute_seconds=compute, wait_seconds=wait, losses=lambda seed, step: 2 / (1 + step) + 0.01 * seed)

    with racing_study(tmp_path, spec=SPEC, cost=cost, monkeypatch=monkeypatch) as study:
        raced = study.train(1, batch_size=32)
        taken_over = study.train(2, batch_size=64, is_alone=False)
    assert (raced["num_workers"], raced["precision"]) == (2, "bf16")
    assert (taken_over["num_workers"], taken_over["precision"]) == (2, "fp32")


def test_race_in_turns_has_its_share_of_the_study_and_is_not_ended_as_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its starts alone take longer than twice what a first race may take where two have room."""
    with racing_study(tmp_path, spec=SPEC, cost=fails(), monkeypatch=monkeypatch) as study:
        study.ground.device_bytes = 1_500_000
        study.standing.count(Ending(0, Outcome.COMPLETE, value=0.5))  # after an hour
        began = study.standing.elapsed_seconds
        raced = study.train(1, batch_size=32, on_wait=lambda: study.clock.pass_seconds(12.0))
        took = study.standing.elapsed_seconds - began
    assert raced["num_workers"] == 2
    assert took > 240
    assert [line for line in study.said if "they take turns, up to 900 s" in line]


def test_winner_with_other_cores_is_no_answer_and_no_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said_by(name: str, *, jobs: int) -> list[str]:
        study_of = racing_study(tmp_path, spec=SPEC, cost=fails(), monkeypatch=monkeypatch, name=name, jobs=jobs)
        with study_of as study:
            study.train(1, batch_size=32)
        return study.said

    assert said_by("first", jobs=1)[0] == "race: batch_size 32, up to 30 s"
    assert said_by("again", jobs=1) == ["races: this machine knows the winner of a workload of this task"]
    assert said_by("halved", jobs=2)[0] == "race: batch_size 32, up to 30 s"


def test_races_are_read_when_they_are_asked_for_and_not_as_their_owner_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with racing_study(tmp_path, spec=SPEC, cost=fails(), monkeypatch=monkeypatch) as study:
        study.train(1, batch_size=32)
        study.said.clear()
        statements: list[str] = []

        def listen(*sent: object) -> None:
            statements.append(str(sent[2]))

        event.listen(study.records.engine, "before_cursor_execute", listen)
        speeds = study.make_speeds()
        assert (statements, study.said) == ([], [])
        speeds.load()
        assert study.said == ["races: this machine knows the winner of a workload of this task"]
        assert statements


def said_first(folder: Path, monkeypatch: pytest.MonkeyPatch, *, name: str, task: str = "Mine") -> str:
    """What a study of this class in the folder's ``mine.py`` says at first, of its races."""
    spec = SPEC.replace("autotune.tasks.digits:Digits", f"mine.py:{task}")
    with racing_study(folder, spec=spec, cost=fails(), monkeypatch=monkeypatch, name=name) as study:
        study.train(1, batch_size=32)
    return study.said[0]


def test_race_holds_where_the_project_lies_after_it_was_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A race is stored with the place of its task; what it says hangs on the task's code alone."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    (old / "mine.py").write_text("WIDTH = 1\n")
    assert said_first(old, monkeypatch, name="first").startswith("race: batch_size 32")
    old.rename(new)
    assert said_first(new, monkeypatch, name="moved").startswith("races: this machine knows the winner of a workload")
    (new / "mine.py").write_text("WIDTH = 2\n")
    assert said_first(new, monkeypatch, name="changed").startswith("race: batch_size 32")


def test_race_says_nothing_of_a_copy_beside_its_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy may be there for the sake of other data."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    (old / "mine.py").write_text("WIDTH = 1\n")
    said_first(old, monkeypatch, name="first")
    shutil.copytree(old, new)
    assert said_first(new, monkeypatch, name="copied").startswith("race: batch_size 32")


def test_race_says_nothing_of_another_class_in_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    (old / "mine.py").write_text("WIDTH = 1\n")
    said_first(old, monkeypatch, name="first")
    old.rename(new)
    assert said_first(new, monkeypatch, name="other", task="Other").startswith("race: batch_size 32")


def test_dashboard_shows_what_was_adopted_at_first_sight_with_its_throughput(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with racing_threads(tmp_path, ratio=10, monkeypatch=monkeypatch) as study:
        study.train(1, batch_size=32)
    heats = optuna.load_study(study_name="raced.speed", storage=f"sqlite:///{tmp_path}/autotune.db").trials
    (seen,) = (heat for heat in heats if "at first sight" in heat.user_attrs["reason"])
    assert seen.params["torch_threads"] == 1
    assert seen.state is TrialState.COMPLETE
    assert seen.value == pytest.approx(32 / 0.01)


def test_dashboard_tells_the_informed_guess_from_what_won(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial has the winner's parameters and its gain over the guess."""
    with racing_study(
        tmp_path, spec=SPEC, cost=lambda _, __: Cost(compute_seconds=0.01), monkeypatch=monkeypatch
    ) as study:
        guess = BESIDE.model_copy(update={"stage": "informed", "changes": {"num_workers": 2}})
        study.log.add_heat(guess, workload=study.ground.workload({"batch_size": 32}))
    (seen,) = optuna.load_study(study_name="raced.speed", storage=f"sqlite:///{tmp_path}/autotune.db").trials
    assert seen.user_attrs["tried"] == "the winner against an informed guess: num_workers 2"


def test_dashboard_shows_what_a_setting_held_and_what_was_around(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with racing_study(
        tmp_path, spec=SPEC, cost=lambda _, __: Cost(compute_seconds=0.01), monkeypatch=monkeypatch
    ) as study:
        study.log.add_heat(MEASURED, workload=study.ground.workload({"batch_size": 32}))
    (seen,) = optuna.load_study(study_name="raced.speed", storage=f"sqlite:///{tmp_path}/autotune.db").trials
    told = {"peak_memory_bytes": 3 * 2**28, "start_seconds": 1.25, "load_low": 0.52, "load_high": 1.31}
    assert seen.user_attrs.items() >= {**told, "recompilations": 2, "temperature_celsius_high": 64.0}.items()


class _Pressed(Interrupts):
    """Ctrl-C, without a signal."""

    is_pressed = False

    @property
    def should_stop(self) -> bool:
        return self.is_pressed


class _OneAfterTheOther(InstantTrials):
    """Trials of which one ends at a time, so that another one always runs."""

    def wait(self, timeout: float) -> list[Arrival]:
        del timeout
        said = [arrival for arrival in self._said if arrival.process == self._said[0].process]
        self._said = self._said[len(said) :]
        return said


def _trains(parameters: Mapping[str, Scalar], number: int) -> Said:
    del parameters
    report = make_report(2, metrics={"val_loss": 1 / (1 + number), "val_accuracy": 0.5}, trained_seconds=4.0)
    return [report], Finished(outcome=Outcome.COMPLETE, samples_per_second=320.0)


def test_study_of_several_jobs_that_was_stopped_in_its_race_races_in_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial that waits would be launched first, and then no moment of the start has the device to itself."""
    interrupts, spec, trials = _Pressed(), SPEC.replace("trials: 30", "trials: 4"), _OneAfterTheOther(_trains)

    def cost(learning: Mapping[str, Scalar], setting: Setting) -> Cost:
        interrupts.is_pressed = not trials.trained and len(study.ground.raced) == 1
        return fails()(learning, setting)

    with racing_study(tmp_path, spec=spec, cost=cost, monkeypatch=monkeypatch, jobs=2) as study:
        study.run(trials, interrupts=interrupts)
        assert (study.ground.raced, trials.trained) == ([32], [])
        interrupts.is_pressed = False
        study.run(trials, interrupts=interrupts)
        assert study.ground.raced == [32, 32]
        study.run(trials, interrupts=interrupts)  # nothing is left to train: nothing is raced
    assert study.ground.raced == [32, 32]
    assert [trained["num_workers"] for trained in trials.trained] == [0, 2, 2, 2]


def test_trial_that_was_asked_for_and_stopped_in_its_race_has_the_winner_of_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It trained at the baseline's speed, and the race was run again for the trial after it."""
    interrupts, spec, trials = _Pressed(), SPEC.replace("trials: 30", "trials: 3"), InstantTrials(_trains)

    def cost(learning: Mapping[str, Scalar], setting: Setting) -> Cost:
        interrupts.is_pressed = len(study.ground.raced) == 1
        return fails()(learning, setting)

    with racing_study(tmp_path, spec=spec, cost=cost, monkeypatch=monkeypatch) as study:
        study.run(trials, interrupts=interrupts)
        assert [trained["num_workers"] for trained in trials.trained] == [0]
        interrupts.is_pressed = False
        study.run(trials, interrupts=interrupts)
        assert [trained["num_workers"] for trained in trials.trained] == [0, 2, 2]
        rows = study.records.trials(study.books.study)
    assert [row.parameters["num_workers"] for row in rows] == [0, 2, 2]


def test_coordinator_whose_trials_always_run_hears_what_another_one_has_raced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It found another one racing when it began, and never had the device to itself again."""
    with racing_study(tmp_path, spec=SPEC, cost=fails(), monkeypatch=monkeypatch, jobs=2) as study:
        alone = study.books
        study.books = replace(alone, crew=Crew(study.records, study=alone.study, lease=alone.lease, stale_seconds=60))
        study.start_again()
        busy = study.speeds
        study.books = alone
        study.start_again()
        study.train(1, batch_size=32)
        study.speeds = busy
        assert study.train(2, batch_size=32, is_alone=False)["num_workers"] == 2
    assert study.ground.raced == [32]


def test_nothing_is_raced_beside_another_program_until_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "devices"
    with racing_study(tmp_path, spec=SPEC, cost=fails(), monkeypatch=monkeypatch) as study:
        study.books = replace(study.books, company=Company(["cpu"], who="study a", folder=folder).join())
        study.start_again()
        other = Company(["cpu"], who="study b", folder=folder).join()
        assert [study.train(number, batch_size=64)["num_workers"] for number in (1, 2)] == [0, 0]
        assert study.ground.raced == []
        assert [line for line in study.said if "company" in line or "study b (pid " in line] == study.said[:1]
        other.leave()
        assert study.train(3, batch_size=64)["num_workers"] == 2
        study.books.company.leave()


def test_trial_beside_another_program_is_contended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "devices"
    with racing_study(tmp_path, spec=SPEC, cost=fails(), monkeypatch=monkeypatch) as study:
        study.books = replace(study.books, company=Company(["cpu"], who="study a", folder=folder).join())
        study.start_again()
        ticket = study.ask()
        other = Company(["cpu"], who="study b", folder=folder).join()
        study.ledger.record_launch(ticket, pid=1, device="cpu")
        other.leave()
        assert study.records.trial(study.books.study, number=ticket.row.number).is_contended
        study.books.company.leave()
