"""One suite over every database that studies live in."""

import math
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, select, update

from autotune.errors import InputError, LeaseLostError, StudyHeldError, StudyNotFoundError
from autotune.events import Adjusted, Finished, Outcome, Scalar, Started
from autotune.recording import tables, transactions
from autotune.recording.database import creation_lock, open_database
from autotune.recording.drafts import NewStudy, NewTrial
from autotune.recording.environments import EnvironmentRecords
from autotune.recording.lease import StudyLease
from autotune.recording.mlflow.publication import Publication
from autotune.recording.races import RaceRecords
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow, StudyState, TrialRow, TrialStatus
from tests.machines import machine
from tests.recording.beating import beating
from tests.recording.cutting_off import cut_off_at
from tests.report.raced import result_of, row_of
from tests.reports import make_report

STUDY = NewStudy(name="digits", task="package.module:Digits", spec_text="task: x", spec_json="{}", seed=7)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'autotune.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def engine(storage: str) -> Iterator[Engine]:
    engine = open_database(storage, create=True)
    yield engine
    engine.dispose()


@pytest.fixture
def records(engine: Engine) -> Records:
    return Records(engine)


@pytest.fixture
def study(records: Records) -> StudyRow:
    return records.create_study(STUDY)


@pytest.fixture
def trial(records: Records, study: StudyRow) -> TrialRow:
    return records.add_trial(study, new=NewTrial(number=0, parameters={"lr": 1e-3}, seed=1))


def test_a_new_study_reads_back_as_it_was_written(records: Records) -> None:
    made = records.create_study(STUDY)
    assert (made.name, made.task, made.spec_text, made.seed) == ("digits", "package.module:Digits", "task: x", 7)
    assert made.state is StudyState.OPEN
    assert records.study("digits") == made
    assert records.studies() == (made,)


def test_a_study_name_is_used_once(records: Records, study: StudyRow) -> None:
    with pytest.raises(InputError, match="study digits: a name is used once"):
        records.create_study(STUDY)
    assert records.studies() == (study,)


@pytest.mark.parametrize("typed", ["digit", "DIGITS"])
def test_a_missing_study_names_the_nearest(records: Records, study: StudyRow, typed: str) -> None:
    assert study.name == "digits"
    with pytest.raises(StudyNotFoundError, match=f"study {typed}: no such study here; did you mean digits"):
        records.study(typed)


def test_a_missing_study_among_none_says_so(records: Records) -> None:
    with pytest.raises(StudyNotFoundError, match="there is none yet"):
        records.study("digits")


def test_seconds_of_a_study_never_go_back(records: Records, study: StudyRow) -> None:
    records.set_seconds(study, seconds=3.5)
    records.set_seconds(study, seconds=2.0)
    assert records.study("digits").elapsed_seconds == pytest.approx(3.5)


def test_a_study_is_finished_once_and_not_before_its_trials(records: Records, study: StudyRow, trial: TrialRow) -> None:
    assert not records.finish_study(study)
    assert records.study("digits").state is StudyState.OPEN
    records.finish_trial(trial, finished=Finished(outcome=Outcome.COMPLETE), values=[1.0])
    assert [records.finish_study(study), records.finish_study(study)] == [True, False]
    assert records.study("digits").state is StudyState.COMPLETE


def test_a_complete_study_with_another_spec_is_open_again(records: Records, study: StudyRow) -> None:
    records.set_state(study, state=StudyState.COMPLETE)
    assert records.study("digits").ended_at is not None
    changed = records.update_spec(study, spec_text="task: y", spec_json='{"a": 1}', resolved_json="[]")
    assert (changed.spec_text, changed.state, changed.ended_at) == ("task: y", StudyState.OPEN, None)


def test_a_trial_number_has_one_row(records: Records, study: StudyRow, trial: TrialRow) -> None:
    again = records.add_trial(study, new=NewTrial(number=0, parameters={"lr": 5.0}, seed=2))
    assert again == trial
    assert records.trials(study) == (trial,)


def test_parameters_keep_their_types(records: Records, study: StudyRow) -> None:
    parameters: dict[str, Scalar] = {"lr": 1e-5, "width": 8, "optimizer": "adam", "nesterov": True, "schedule": None}
    made = records.add_trial(study, new=NewTrial(number=3, parameters=parameters, seed=2**62, origin="old/4"))
    assert made.parameters == parameters
    assert [type(value) for value in made.parameters.values()] == [float, int, str, bool, type(None)]
    assert (made.seed, made.origin, made.status) == (2**62, "old/4", TrialStatus.QUEUED)


def test_a_trial_that_ended_elsewhere_is_recorded_whole_or_not_at_all(records: Records, study: StudyRow) -> None:
    """One that was half recorded was trained by the next start, and by whoever shared the study."""
    new = NewTrial(number=5, parameters={"lr": 0.1}, seed=1, origin="old/3")
    take_over = partial(
        records.take_over_trial,
        study,
        new=new,
        finished=Finished(outcome=Outcome.COMPLETE),
        values=[0.5],
        reports=[make_report(1), make_report(2)],
        ended_at=7.0,
    )

    with cut_off_at("UPDATE autotune_trial", engine=records.engine):
        take_over()
    assert records.trials(study) == ()

    for _ in range(2):
        take_over()
    (row,) = records.trials(study)
    assert (row.origin, row.outcome, row.values, row.ended_at) == ("old/3", Outcome.COMPLETE, (0.5,), 7.0)
    assert [recorded.report.epoch for recorded in records.reports(row)] == [1, 2]


def test_a_missing_trial_is_not_found(records: Records, study: StudyRow) -> None:
    with pytest.raises(StudyNotFoundError, match="trial 9: no such trial"):
        records.trial(study, number=9)


def test_a_trial_is_recorded_from_launch_to_end(records: Records, study: StudyRow, trial: TrialRow) -> None:
    environment_id = EnvironmentRecords(records.engine).add(machine())
    records.launch_trial(trial, pid=123, device="cpu", environment_id=environment_id, git_commit="abc")
    records.start_trial(
        trial, started=Started(in_force={"num_workers": 2}, device="cpu", setup_seconds=0.5, num_parameters=9)
    )
    finished = Finished(
        outcome=Outcome.COMPLETE, samples_per_second=640.0, unread_parameters=("widht",), reason=None, traceback=None
    )
    records.finish_trial(trial, finished=finished, values=[0.75], ended_at=1_700_000_001.0)
    row = records.trial(study, number=0)
    assert (row.status, row.outcome, row.values) == (TrialStatus.ENDED, Outcome.COMPLETE, (0.75,))
    assert (row.in_force, row.num_parameters, row.samples_per_second) == ({"num_workers": 2}, 9, 640.0)
    assert (row.pid, row.git_commit, row.unread_parameters) == (None, "abc", ("widht",))
    assert row.ended_at == pytest.approx(1_700_000_001.0)
    assert row.version == trial.version + 3


def test_what_training_adjusts_takes_the_place_of_what_was_in_force(
    records: Records, study: StudyRow, trial: TrialRow
) -> None:
    started = Started(in_force={"accumulate": 1, "num_workers": 2}, device="cpu", setup_seconds=0.5)
    records.start_trial(trial, started=started)
    adjusted = Adjusted(in_force={"accumulate": 4, "num_workers": 2}, reason="out of memory")
    records.adjust_trial(trial, adjusted=adjusted)
    row = records.trial(study, number=0)
    assert row.in_force == {"accumulate": 4, "num_workers": 2}
    assert row.version == trial.version + 2


def test_an_interrupted_trial_stays_running_and_is_clean_when_launched_again(
    records: Records, study: StudyRow, trial: TrialRow
) -> None:
    records.launch_trial(trial, pid=1, device="cpu", environment_id=None, git_commit=None)
    started_at = records.trial(study, number=0).started_at
    records.finish_trial(trial, finished=Finished(outcome=Outcome.INTERRUPTED, reason="Ctrl-C"), values=None)
    row = records.trial(study, number=0)
    assert (row.status, row.outcome, row.ended_at) == (TrialStatus.RUNNING, Outcome.INTERRUPTED, None)
    records.launch_trial(trial, pid=2, device="cpu", environment_id=None, git_commit=None)
    row = records.trial(study, number=0)
    assert (row.status, row.outcome, row.reason, row.started_at) == (TrialStatus.RUNNING, None, None, started_at)


def test_restarts_are_counted(records: Records, trial: TrialRow) -> None:
    assert [records.count_restart(trial) for _ in range(3)] == [1, 2, 3]


def test_text_that_no_database_takes_is_recorded_readably(records: Records, study: StudyRow, trial: TrialRow) -> None:
    finished = Finished(outcome=Outcome.FAILED, reason="bad\0byte", traceback="path \udcff.py")
    records.finish_trial(trial, finished=finished, values=None)
    row = records.trial(study, number=0)
    assert (row.reason, row.traceback) == ("bad\\0byte", "path \\udcff.py")


def test_a_report_reads_back_as_it_was_written(records: Records, trial: TrialRow) -> None:
    report = make_report(
        1, lr=1e-3, step_seconds_p50=0.125, device_utilisation=0.5, power_watts=250.0, step_seconds_p95=0.25
    )
    assert records.add_report(trial, report=report)
    (row,) = records.reports(trial)
    assert (row.report, row.number, row.trial_id) == (report, 0, trial.id)


def test_a_repeated_report_is_the_same_row(records: Records, trial: TrialRow) -> None:
    assert records.add_report(trial, report=make_report(1))
    assert not records.add_report(trial, report=make_report(1, seconds=99.0))
    assert [row.report.seconds for row in records.reports(trial)] == [2.0]


def test_numbers_that_are_no_numbers_survive(records: Records, trial: TrialRow) -> None:
    metrics = {"val_loss": math.nan, "train_loss": math.inf, "drift": -math.inf}
    records.add_report(trial, report=make_report(1, metrics=metrics, samples_per_second=math.nan, lr=None))
    (row,) = records.reports(trial)
    assert math.isnan(row.report.metrics["val_loss"])
    assert (row.report.metrics["train_loss"], row.report.metrics["drift"]) == (math.inf, -math.inf)
    assert math.isnan(row.report.samples_per_second)
    assert row.report.lr is None


def test_reports_of_a_study_come_by_trial_and_epoch(records: Records, study: StudyRow, trial: TrialRow) -> None:
    second = records.add_trial(study, new=NewTrial(number=1, parameters={}, seed=2))
    for row, epoch in [(second, 2), (second, 1), (trial, 1)]:
        records.add_report(row, report=make_report(epoch))
    assert [(row.number, row.report.epoch) for row in records.all_reports(study)] == [(0, 1), (1, 1), (1, 2)]


def test_the_same_machine_has_one_row(records: Records) -> None:
    environments = EnvironmentRecords(records.engine)
    first = environments.add(machine())
    assert environments.add(machine()) == first
    other = environments.add(machine(hostname="elsewhere"))
    assert set(environments.all()) == {first, other}
    assert environments.all()[other].machine == machine(hostname="elsewhere")


def test_deleting_a_study_leaves_no_row_of_it_and_all_of_others(
    records: Records, study: StudyRow, trial: TrialRow
) -> None:
    other = records.create_study(NewStudy(name="other", task="t", spec_text="", spec_json="{}", seed=1))
    kept = records.add_trial(other, new=NewTrial(number=0, parameters={}, seed=1))
    for row in (trial, kept):
        records.add_report(row, report=make_report(1))
    races, digest = RaceRecords(records.engine), "ab" * 16
    for _ in range(2):
        races.charge(study, digest=digest, machine=machine(), seconds=2.5)
    assert races.unfinished_seconds(study, digest=digest, machine=machine()) == 5.0
    StudyLease.acquire(records, study=study)
    records.delete_study(study)
    records.guard = None
    assert races.unfinished_seconds(study, digest=digest, machine=machine()) == 0.0
    assert records.studies() == (other,)
    assert len(records.all_reports(other)) == 1
    assert records.reports(trial) == ()


def test_races_of_others_are_those_that_a_study_s_trials_may_have_taken_over(records: Records, study: StudyRow) -> None:
    here = EnvironmentRecords(records.engine).add(machine())
    trial = records.add_trial(study, new=NewTrial(number=0, parameters={}, seed=0))
    records.launch_trial(trial, pid=1, device="cpu", environment_id=here, git_commit=None)
    earlier = records.create_study(replace(STUDY, name="earlier"))
    races = RaceRecords(records.engine)
    race = replace(row_of(result_of()), created_at=1.0, task=f"moved.{study.task}")
    races.add(race, machine=machine(hostname="renamed"), study=earlier)
    races.add(race, machine=machine(), study=None)
    races.add(race, machine=machine(), study=study)
    races.add(race, machine=machine(num_gpus=1), study=earlier)
    races.add(replace(race, created_at=1e11), machine=machine(), study=earlier)
    races.add(replace(race, task="task.py:Other"), machine=machine(), study=earlier)
    assert [found.study for found in races.of_others(study)] == [None, "earlier"]
    assert [found.study for found in races.of_study(study)] == [study.name]


def test_many_writers_at_once_lose_nothing(storage: str, records: Records, study: StudyRow) -> None:
    def write(number: int) -> None:
        engine = open_database(storage, create=False)
        mine = Records(engine)
        row = mine.add_trial(study, new=NewTrial(number=number, parameters={}, seed=number))
        for epoch in range(1, 11):
            mine.add_report(row, report=make_report(epoch))
        engine.dispose()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(8)))
    assert len(records.all_reports(study)) == 80


def test_many_openers_at_once_make_one_database(storage: str) -> None:
    def open_once(_: int) -> set[str]:
        engine = open_database(storage, create=True)
        names = set(inspect(engine).get_table_names())
        engine.dispose()
        return names

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(open_once, range(4)))
    assert all(set(tables.metadata.tables) | {tables.VERSION_TABLE} == names for names in found)


def test_the_creation_lock_lets_one_in_at_a_time(storage: str, engine: Engine) -> None:
    assert engine is not None
    inside = threading.Event()
    order = []

    def second() -> None:
        inside.wait()
        with creation_lock(storage):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with creation_lock(storage):
        inside.set()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_the_migrated_schema_is_that_of_the_tables(engine: Engine) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with engine.connect() as connection:
        options = {"version_table": tables.VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, tables.metadata) == []


def test_a_second_coordinator_is_refused_while_the_first_lives(records: Records, study: StudyRow) -> None:
    lease = StudyLease.acquire(records, study=study)
    with pytest.raises(StudyHeldError, match=r"study digits: one coordinator at a time, held by pid \d+ on .+ since"):
        StudyLease.acquire(Records(records.engine), study=study)
    lease.release()
    StudyLease.acquire(Records(records.engine), study=study).release()


def test_coordinator_and_publisher_hold_the_same_study(records: Records, study: StudyRow) -> None:
    coordinator = StudyLease.acquire(records, study=study)
    publication = Publication(records.engine, study_id=study.id)
    publisher = StudyLease.acquire(publication, study=study, role="publisher")
    coordinator.beat()
    publisher.beat()
    assert _beats(records.engine) == {"coordinator": 1, "publisher": 1}


def test_a_holder_elsewhere_whose_counter_stands_still_is_taken_over(records: Records, study: StudyRow) -> None:
    gone = StudyLease.acquire(records, study=study)
    _move_elsewhere(records.engine)
    lease = StudyLease.acquire(Records(records.engine), study=study, stale_seconds=0.3)
    lease.beat()
    with pytest.raises(LeaseLostError, match="study digits: this coordinator seemed dead, and pid"):
        gone.beat()


def test_a_holder_elsewhere_whose_counter_moves_is_alive(records: Records, study: StudyRow) -> None:
    lease = StudyLease.acquire(records, study=study)
    _move_elsewhere(records.engine)
    with beating(lease), pytest.raises(StudyHeldError, match="one coordinator at a time"):
        StudyLease.acquire(Records(records.engine), study=study, stale_seconds=10.0)


def test_a_writer_whose_lease_was_taken_over_writes_no_more(records: Records, study: StudyRow, trial: TrialRow) -> None:
    StudyLease.acquire(records, study=study)
    _move_elsewhere(records.engine)
    StudyLease.acquire(Records(records.engine), study=study, stale_seconds=0.1)
    writes: list[Callable[[], object]] = [
        lambda: records.add_trial(study, new=NewTrial(number=5, parameters={}, seed=1)),
        lambda: records.add_report(trial, report=make_report(1)),
        lambda: records.finish_trial(trial, finished=Finished(outcome=Outcome.COMPLETE), values=[1.0]),
        lambda: records.set_seconds(study, seconds=1.0),
        lambda: records.set_state(study, state=StudyState.COMPLETE),
        lambda: records.count_restart(trial),
    ]
    for write in writes:
        with pytest.raises(LeaseLostError, match=rf"study {study.name}: .* pid {os.getpid()} on \S+ has taken it over"):
            write()
    assert records.trials(study) == (trial,)
    assert records.reports(trial) == ()


def test_releasing_a_lost_lease_leaves_the_new_holder_alone(records: Records, study: StudyRow) -> None:
    lost = StudyLease.acquire(records, study=study)
    _move_elsewhere(records.engine)
    held = StudyLease.acquire(Records(records.engine), study=study, stale_seconds=0.1)
    lost.release()
    held.beat()
    assert _beats(records.engine) == {"coordinator": 1}


def test_only_what_changed_waits_to_be_published(records: Records, study: StudyRow, trial: TrialRow) -> None:
    publication = Publication(records.engine, study_id=study.id)
    records.add_report(trial, report=make_report(1))
    assert publication.num_waiting() == 3
    publication.mark_study(study)
    publication.mark_reports(trial, epochs=[1])
    publication.mark_trial(trial)
    assert publication.num_waiting() == 0
    assert publication.changed_trials() == ()
    assert not publication.is_study_changed()
    records.add_report(trial, report=make_report(2))
    assert [row.number for row in publication.changed_trials()] == [0]
    assert [row.report.epoch for row in publication.waiting_reports(trial)] == [2]


def test_a_change_made_during_delivery_waits_for_the_next(records: Records, study: StudyRow, trial: TrialRow) -> None:
    publication = Publication(records.engine, study_id=study.id)
    (delivered,) = publication.changed_trials()
    records.launch_trial(trial, pid=1, device="cpu", environment_id=None, git_commit=None)
    publication.mark_trial(delivered)
    assert [row.status for row in publication.changed_trials()] == [TrialStatus.RUNNING]


def test_what_was_published_can_be_forgotten(records: Records, study: StudyRow, trial: TrialRow) -> None:
    publication = Publication(records.engine, study_id=study.id)
    records.add_report(trial, report=make_report(1))
    publication.set_run(trial, run_id="r")
    publication.set_experiment(tracking_uri="u", experiment_id="1", run_id="p")
    publication.mark_study(study)
    publication.mark_reports(trial, epochs=[1])
    publication.mark_trial(trial)
    publication.forget()
    assert publication.num_waiting() == 3
    assert records.trial(study, number=0).run_id is None
    assert records.study("digits").experiment_id is None


def _beats(engine: Engine) -> dict[str, int]:
    """How often each lease that is held was renewed, by its role."""
    with transactions.read(engine) as connection:
        return {row.role: row.counter for row in connection.execute(select(tables.lease))}


def _move_elsewhere(engine: Engine) -> None:
    """Make the holder look like a process on another host, where no pid can be asked for."""
    with transactions.write(engine) as connection:
        connection.execute(update(tables.lease).values(host="another host", hostname="elsewhere"))
