"""Which knobs a race tries, and with which values."""

import pytest

from autotune.coordinator.races.entries import entries_of, is_slow_to_start, possible_entries
from autotune.events import Scalar
from autotune.speed.knobs import with_own
from autotune.speed.knobs.entries import Entry
from autotune.speed.knobs.table import KNOBS
from autotune.task_knob import Needs, TaskKnob
from tests.coordinator.races.test_ground import resolve
from tests.machines import machine


def raced(speed: str) -> dict[str, tuple[object, ...]]:
    entries = entries_of(resolve(speed), knobs=KNOBS, num_cores=4, machine=machine())
    return {entry.name: entry.values for entry in entries}


def test_of_a_range_what_is_worth_trying_is_raced() -> None:
    assert raced("  num_workers: {low: 0, high: auto}") == {"num_workers": (0, 1, 2, 4)}


def test_range_without_anything_worth_trying_is_raced_at_its_ends() -> None:
    assert raced("  num_workers: {low: 5, high: 7}") == {"num_workers": (5, 7)}


def test_race_keeps_to_the_steps_of_a_range() -> None:
    assert raced("  num_workers: {low: 0, high: 6, step: 2}") == {"num_workers": (0, 2, 4)}


def test_choices_that_a_workload_cannot_have_are_not_raced_there() -> None:
    space = resolve("  optimizer_impl: {choices: [for_loop, foreach, fused]}")
    entries = entries_of(space, knobs=KNOBS, num_cores=4, machine=machine())
    (entry,) = possible_entries(entries, space=space, learning={"optimizer": "rprop"})
    assert entry.values == ("for_loop", "foreach")


@pytest.mark.parametrize(("needs", "is_slow"), [(None, False), ("relaunch", True), ("new graph", False)])
def test_start_with_a_tasks_own_knob_is_waited_for_where_the_task_says_so(
    needs: Needs | None, *, is_slow: bool
) -> None:
    """A value that hung took half of a race, as no declaration says that a start is quick."""
    own = TaskKnob(name="decoder", choices=("pillow", "turbo"), simplest="pillow", needs=needs)
    knob = with_own((own,), task="a:B")["decoder"]
    assert is_slow_to_start({"decoder": "turbo"}, entries=[Entry(knob, knob.choices)]) is is_slow
    assert knob.is_slow_to_start is (needs != "new graph")  # what its start costs more is charged


@pytest.mark.parametrize(
    ("setting", "is_slow"),
    [
        ({}, False),
        ({"num_workers": 2, "optimizer_impl": "fused"}, False),
        ({"allocator": "jemalloc"}, True),  # a new interpreter, which imports torch
        ({"cache": "memory"}, True),
        ({"compile": "default"}, True),
        ({"cudnn_benchmark": True}, True),
        ({"worker_start_method": "spawn"}, True),
    ],
)
def test_start_that_is_known_as_slow_is_not_taken_for_a_hang(setting: dict[str, Scalar], *, is_slow: bool) -> None:
    entries = [Entry(knob, knob.choices) for knob in KNOBS.values()]
    assert is_slow_to_start(setting, entries=entries) is is_slow
