"""What a start knows from the trials of earlier ones: of memory, and how often they were killed."""

from dataclasses import replace
from pathlib import Path

import pytest

from autotune.coordinator.speeds import Floor
from autotune.coordinator.tickets import Ticket
from autotune.hardware import Machine
from autotune.recording.environments import EnvironmentRecords
from autotune.trial.leases import Lease
from tests.coordinator.simulated import lose_trial, make_ledger, open_books
from tests.machines import machine

FLOOR = Floor(Lease("cpu", None, ()), is_alone=True, clear=lambda: None, on_wait=lambda _: None)


@pytest.mark.parametrize(
    ("now", "is_known"),
    [
        (machine(hostname="another-pod", num_threads=2), True),
        (machine().model_copy(update={"memory_bytes": 8 * 2**30 + 4096}), True),
        (machine().model_copy(update={"memory_bytes": 16 * 2**30}), False),
        (machine(version="2.14.0"), False),
    ],
)
def test_trial_that_ran_out_is_known_on_hardware_and_software_like_its_own(
    tmp_path: Path, now: Machine, *, is_known: bool
) -> None:
    """By the environment's id a new container, with another host name, forgot each loss."""
    with open_books(tmp_path) as books:
        lost = lose_trial(make_ledger(books))
        here = EnvironmentRecords(books.records.engine).add(now)
        later = make_ledger(replace(books, environment_id=here))
        later.unfinished()
        again = later.take_up(Ticket(replace(lost.row, number=9)), floor=FLOOR)
    assert (again.refusal is not None) is is_known


def test_restarts_of_an_earlier_start_are_not_counted_in_this_one(tmp_path: Path) -> None:
    """The first kill of a new start was counted after all that were before, so that the second one ended the trial."""
    with open_books(tmp_path) as books:
        ledger = make_ledger(books)
        asked = ledger.ask()
        assert asked is not None
        ledger.record_launch(asked, pid=1, device="cpu")
        killed = ledger.record_restart(ledger.record_restart(asked))
        assert killed.restarts == 2
        (adopted,) = make_ledger(books).unfinished()
        assert adopted.is_adopted
        assert make_ledger(books).record_restart(adopted).restarts == 1
        assert books.records.trial(books.study, number=adopted.row.number).restarts == 3
