"""What a race outside of a study asks of its task."""

import pytest

from autotune.coordinator.races.alone import check_reads_batch_size
from autotune.errors import InputError
from tests.speed.simulated import Cost, SimulatedContestant, SimulatedMachine


def test_batch_sizes_of_a_task_that_has_its_own_are_not_raced() -> None:
    """Without it, the largest batch of such a task was said to be 1,048,576: each size trained the same."""
    cost = Cost(compute_seconds=0.01, in_force={"batch_size": "unread by the task"})
    contestant = SimulatedContestant({}, cost, SimulatedMachine())
    with pytest.raises(InputError, match=r"task must read batch_size, got a\.py:train, which does not"):
        check_reads_batch_size(contestant, batch_size=64, task="a.py:train")
    assert contestant.is_retired


def test_batch_sizes_of_a_task_that_reads_them_are_raced() -> None:
    contestant = SimulatedContestant({}, Cost(compute_seconds=0.01), SimulatedMachine())
    check_reads_batch_size(contestant, batch_size=64, task="a.py:train")
    assert not contestant.is_retired
