"""What a race outside of a study asks of its task."""

import pytest

from autotune.coordinator.races.alone import as_raced, check_reads_batch_size
from autotune.errors import InputError
from autotune.search.resolve import resolve_space
from autotune.spec.load import parse_spec
from tests.machines import machine
from tests.speed.simulated import Cost, SimulatedContestant, SimulatedMachine

SPEC = """
task: a:B
objective: {metric: a, direction: minimize}
budget: {trials: 30}
"""


def test_batch_sizes_of_a_task_that_has_its_own_are_not_raced() -> None:
    """Without it, the largest batch of such a task was said to be 1,048,576: each size trained the same."""
    cost = Cost(compute_seconds=0.01, in_force={"batch_size": "unused by the task"})
    contestant = SimulatedContestant({}, cost, SimulatedMachine())
    with pytest.raises(InputError, match=r"task must read batch_size, got a\.py:train, which does not"):
        check_reads_batch_size(contestant, batch_size=64, task="a.py:train")
    assert contestant.is_retired


def test_batch_sizes_of_a_task_that_reads_them_are_raced() -> None:
    contestant = SimulatedContestant({}, Cost(compute_seconds=0.01), SimulatedMachine())
    check_reads_batch_size(contestant, batch_size=64, task="a.py:train")
    assert not contestant.is_retired


@pytest.mark.parametrize("speed_search", ["fixed", "joint", "race"])
@pytest.mark.parametrize("lr", ["{low: 0.1, high: 1}", "0.1"], ids=["searched", "fixed"])
def test_spec_that_names_no_knob_is_raced_like_a_task_without_one(lr: str, speed_search: str) -> None:
    """Nothing was raced, and the verdict was that nothing is faster; with fixed learning parameters it was refused."""
    text = f"{SPEC}learning: {{lr: {lr}}}\nspeed_search: {speed_search}\n"
    file = as_raced(parse_spec(text, origin="s.yaml", needs_search=False))
    raced = {parameter.name for parameter in resolve_space(file, machine=machine(), num_cores=4).speed}
    assert {"num_workers", "torch_threads"} <= raced


def test_spec_that_fixes_every_knob_it_names_is_refused() -> None:
    text = f"{SPEC}learning: {{lr: 0.1}}\nspeed:\n  num_workers: 4\n"
    file = parse_spec(text, origin="s.yaml", needs_search=False)
    with pytest.raises(
        InputError, match=r"^s\.yaml:6: speed: something must be left to race .*, got fixed values alone;"
    ):
        as_raced(file)
