"""What races write, where the server does a commit and its answer is lost, so that it is written again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, event

from autotune.errors import StorageGoneError
from autotune.outages import waiting_out
from autotune.recording.races import RaceRecords
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from autotune.recording.transactions import READS_ONLY
from tests.machines import machine
from tests.report.raced import result_of, row_of

SECONDS = 5.0
DIGEST = row_of(result_of()).workload_digest

Write = Callable[[RaceRecords, StudyRow], object]


def charge(races: RaceRecords, study: StudyRow) -> None:
    races.charge(study, digest=DIGEST, machine=machine(), seconds=SECONDS)


def charge_beside(races: RaceRecords, study: StudyRow) -> None:
    races.charge(study, digest=None, machine=machine(), seconds=SECONDS)


def add(races: RaceRecords, study: StudyRow) -> int:
    return races.add(row_of(result_of()), machine=machine(), study=study)


@contextmanager
def commit_cut_off(records: Records, *, is_done: bool) -> Iterator[None]:
    """Of the first commit that writes, no answer comes; the server had done it, or not."""
    has_come = False

    def cut_off(connection: Connection) -> None:
        nonlocal has_come
        if has_come or READS_ONLY in connection.get_execution_options():
            return
        has_come = True
        if is_done:
            connection.connection.commit()
        raise StorageGoneError("the server closed the connection", cause="it did")

    event.listen(records.engine, "commit", cut_off)
    try:
        with waiting_out(lambda _: None):
            yield
    finally:
        event.remove(records.engine, "commit", cut_off)
    assert has_come


def written(races: RaceRecords, records: Records, study: StudyRow) -> tuple[float, float, int]:
    unfinished = races.unfinished_seconds(study, digest=DIGEST, machine=machine())
    return records.study(study.name).speed_seconds, unfinished, len(races.of_study(study))


@pytest.mark.parametrize("is_done", [True, False])
@pytest.mark.parametrize(
    ("write", "more"),
    [(charge, (SECONDS, SECONDS, 0)), (charge_beside, (SECONDS, 0.0, 0)), (add, (0.0, -SECONDS, 1))],
    ids=["charge", "charge beside", "add"],
)
def test_what_a_race_writes_counts_once_though_its_commit_is_cut_off(
    write: Write, more: tuple[float, float, int], records: Records, study: StudyRow, *, is_done: bool
) -> None:
    """A race was charged twice, and was there twice, where its commit had been done."""
    races = RaceRecords(records.engine)
    charge(races, study)
    with commit_cut_off(records, is_done=is_done):
        write(races, study)
    expected = [one + other for one, other in zip((SECONDS, SECONDS, 0), more, strict=True)]
    assert [*written(races, records, study)] == expected
    write(races, study)
    assert written(races, records, study)[0] == expected[0] + more[0], "the next one counts, too"


def test_races_that_end_one_after_the_other_are_two(records: Records, study: StudyRow) -> None:
    races = RaceRecords(records.engine)
    assert add(races, study) != add(races, study)
