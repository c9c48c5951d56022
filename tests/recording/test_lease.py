import os
import subprocess
from collections.abc import Iterator

import pytest
from sqlalchemy import insert, select

from autotune.errors import LeaseLostError, StudyHeldError
from autotune.recording import tables, transactions
from autotune.recording.drafts import NewTrial
from autotune.recording.lease import COORDINATOR, StudyLease, lease_row
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from tests.processes import running

HOLD = """
import sys
from autotune.recording.database import open_database
from autotune.recording.lease import StudyLease
from autotune.recording.records import Records
records = Records(open_database(sys.argv[1], create=False))
lease = StudyLease.acquire(records, study=records.study("digits"))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(storage: str, study: StudyRow) -> Iterator["subprocess.Popen[str]"]:
    assert study.name == "digits"
    with running(HOLD, storage, says="held") as process:
        yield process


def test_a_living_holder_on_this_host_is_named(
    records: Records, study: StudyRow, holder: "subprocess.Popen[str]"
) -> None:
    with pytest.raises(StudyHeldError, match=f"held by pid {holder.pid} on .* since .*; stop that one first"):
        StudyLease.acquire(records, study=study)


def test_a_killed_holder_on_this_host_is_taken_over_at_once(
    records: Records, study: StudyRow, holder: "subprocess.Popen[str]"
) -> None:
    holder.kill()
    holder.wait()
    StudyLease.acquire(records, study=study, stale_seconds=1e9).beat()
    assert _pids(records) == [os.getpid()]


def test_a_killed_holder_that_nobody_reaped_is_taken_over_at_once(
    records: Records, study: StudyRow, holder: "subprocess.Popen[str]"
) -> None:
    holder.kill()
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
    StudyLease.acquire(records, study=study, stale_seconds=1e9).beat()
    assert _pids(records) == [os.getpid()]


def test_a_released_lease_guards_no_writes(records: Records, study: StudyRow) -> None:
    StudyLease.acquire(records, study=study).release()
    trial = records.add_trial(study, new=NewTrial(number=0, parameters={}, seed=1))
    assert records.trials(study) == (trial,)


def test_a_lease_of_a_commit_that_was_cut_off_is_nobodys(records: Records, study: StudyRow) -> None:
    """Its process lives and never heard of it: else it would be kept out by itself until it ends."""
    with transactions.write(records.engine) as connection:
        connection.execute(insert(tables.lease).values(lease_row(study, role=COORDINATOR, token="unheard")))
    StudyLease.acquire(records, study=study, stale_seconds=1e9).beat()
    assert _pids(records) == [os.getpid()]


def test_a_deleted_study_holds_no_lease(records: Records, study: StudyRow) -> None:
    lease = StudyLease.acquire(records, study=study)
    records.delete_study(study)
    with pytest.raises(LeaseLostError, match="got one that was deleted meanwhile"):
        lease.beat()


def _pids(records: Records) -> list[int]:
    """Of the processes that hold a lease."""
    with transactions.read(records.engine) as connection:
        return list(connection.execute(select(tables.lease.c.pid)).scalars())
