"""Who is trained again, how often and in which order, and what the rows then say; trainings are over at once."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial

from autotune.coordinator.interrupts import Interrupts
from autotune.coordinator.retraining.confirming import Confirmation, Mode, confirm
from autotune.coordinator.retraining.contenders import NotConfirmedError
from autotune.events import Finished, Outcome, Scalar
from autotune.goals import Target
from autotune.proof.verdict import Verdict
from autotune.recording.confirmed import read_verdict
from autotune.recording.engines import configure_engine
from autotune.search.storage import open_storage
from autotune.spec.model import Budget, Confirm, Objective
from tests.coordinator.retraining.instant import (
    InstantTrials,
    Said,
    SavedTrials,
    Trainer,
    ends_with,
    make_workplace,
)
from tests.coordinator.simulated import PassingClock
from tests.report.study_book import MAXIMIZE, StudyBook, make_spec
from tests.stores import copy_store

LRS = {"A": 0.1, "B": 0.2, "C": 0.3, "D": 0.4}
"""The baseline, what came second and first in the search, and what is better still."""
SEARCHED = {"A": 0.5, "B": 0.7, "C": 0.9}


@dataclass
class World:
    """A study that was searched, and whoever confirms it."""

    folder: Path
    book: StudyBook
    interrupts: Interrupts

    def confirm(
        self,
        train: Trainer,
        *,
        wanted: Confirm | None = None,
        mode: Mode = "asked for",
        seconds_left: float | None = None,
    ) -> tuple[str, list[str], Confirmation]:
        """The sides in the order of their trainings, what was said, and how it ended."""
        trials = InstantTrials(train)
        workplace, listener = make_workplace(
            self.book.storage, folder=self.folder, trials=trials, interrupts=self.interrupts
        )
        ended = confirm(workplace, self.book.row, wanted=wanted or Confirm(), mode=mode, seconds_left=seconds_left)
        return "".join(map(side_of, trials.trained)), listener.lines, ended

    @property
    def verdict(self) -> Verdict:
        verdict = read_verdict(self.book.records, study=self.book.row)
        assert verdict is not None
        return verdict


def side_of(parameters: Mapping[str, Scalar]) -> str:
    return next(side for side, lr in LRS.items() if parameters["lr"] == lr)


def alike(parameters: Mapping[str, Scalar], count: int) -> Said:
    """All sides are the same, but for noise."""
    del parameters
    return ends_with(float(np.random.default_rng(count).normal(0.5, 0.01)))


def apart(parameters: Mapping[str, Scalar], count: int) -> Said:
    """The sides differ as they did in the search."""
    return ends_with(SEARCHED[side_of(parameters)] + float(np.random.default_rng(count).normal(0, 0.01)))


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    with Interrupts() as interrupts:
        yield interrupts


@pytest.fixture
def world(tmp_path: Path, interrupts: Interrupts, empty_store: Path) -> World:
    copy_store(empty_store, folder=tmp_path)
    return make_world(tmp_path, interrupts)


def make_world(
    folder: Path,
    interrupts: Interrupts,
    *,
    objective: Objective = MAXIMIZE[0],
    baseline: Outcome = Outcome.COMPLETE,
) -> World:
    spec = make_spec([objective], budget=Budget(trials=3, epochs=1))
    book = StudyBook(f"sqlite:///{folder}/autotune.db", spec=spec)
    for number, (side, value) in enumerate(SEARCHED.items()):
        metrics = {"val_accuracy": value, "time_to_val_accuracy": 10 * (1 - value)}
        outcome = baseline if side == "A" else Outcome.COMPLETE
        book.add(number, epochs=[metrics], parameters={"lr": LRS[side]}, outcome=outcome)
    return World(folder, book, interrupts)


def test_study_s_end_trains_five_a_side_while_nothing_is_sure(world: World) -> None:
    order, lines, ended = world.confirm(alike, mode="at the end")
    again, said, _ = world.confirm(alike, mode="at the end")

    assert order == "ACCAACCAAC"
    assert (again, said) == ("", [])
    assert lines == ["confirming trial 2 against the baseline: at most 5 trainings each, on fresh seeds"]
    assert ended.is_whole
    assert (world.verdict.conclusion, world.verdict.confidence) == ("no significant gain", 0.96)


def test_study_s_end_is_content_with_three_a_side_when_they_are_sure(world: World) -> None:
    order, lines, _ = world.confirm(apart, mode="at the end")
    again, said, ended = world.confirm(apart, mode="at the end", seconds_left=-1.0)

    assert order == "ACCAAC"
    assert lines[-1] == "the verdict is sure: the other trainings are not needed"
    assert (world.verdict.conclusion, world.verdict.confidence) == ("better", 0.99)
    assert (again, said, ended.is_whole) == ("", [], True)


def test_what_was_asked_for_by_itself_is_trained_whole(world: World) -> None:
    order, _, _ = world.confirm(apart, wanted=Confirm(repeats=4))

    assert order == "ACCAACCA"


def test_best_trials_are_compared_with_the_same_reference(world: World) -> None:
    order, _, _ = world.confirm(apart, wanted=Confirm(repeats=3, top=2))

    assert order == "ACBBCAACB"
    assert [world.verdict.winner, *(other.winner for other in world.verdict.others)] == [2, 1]
    assert world.verdict.confidence == pytest.approx(0.975)


def test_time_is_taken_to_what_every_training_came_to(world: World) -> None:
    world.confirm(apart, wanted=Confirm(repeats=3))

    times = world.verdict.quantity("seconds_to_target")
    assert world.verdict.target is not None
    assert world.verdict.target.startswith("val_accuracy at least 0.4")
    assert times is not None
    assert (times.winner, times.reference, times.finding) == (2.0, 2.0, "no difference")
    assert (world.verdict.winner_success_rate, world.verdict.reference_success_rate) == (1.0, 1.0)


def test_another_trial_is_what_the_winner_is_compared_with(world: World) -> None:
    order, lines, _ = world.confirm(apart, wanted=Confirm(repeats=3, against=1))

    assert order == "BCCBBC"
    assert "trial 2 against trial 1" in lines[0]
    assert (world.verdict.winner, world.verdict.reference) == (2, 1)


def test_new_winner_alternates_with_fresh_trainings_of_the_baseline(world: World) -> None:
    world.confirm(alike, wanted=Confirm(repeats=2))
    world.book.add(3, epochs=[{"val_accuracy": 0.95}], parameters={"lr": LRS["D"]})

    order, _, _ = world.confirm(alike, wanted=Confirm(repeats=2))

    assert order == "ADDA"
    assert (world.verdict.winner, world.verdict.num_reference) == (3, 2)


def test_short_budget_takes_the_repeats_that_it_has_time_for(world: World) -> None:
    # A training in the search took 4.5 s.
    order, lines, ended = world.confirm(alike, mode="at the end", seconds_left=8.8 * 4.6)

    assert order == "ACCAACCA"
    assert "at most 4 trainings each" in lines[0]
    assert ended.is_whole
    assert world.verdict.confidence == 0.96


def test_budget_that_has_no_time_for_three_a_side_trains_none(world: World) -> None:
    with pytest.raises(NotConfirmedError, match=r"29\.7 s are needed, and the budget has 20 s left"):
        world.confirm(alike, mode="at the end", seconds_left=20.0)


def test_time_that_ends_before_its_plan_makes_the_last_look_of_what_is_there(world: World) -> None:
    clock = PassingClock()

    def slowly(parameters: Mapping[str, Scalar], count: int) -> Said:
        clock.pass_seconds(7.0)
        return alike(parameters, count)

    with mock.patch("autotune.coordinator.retraining.ledger.time", clock):
        order, lines, ended = world.confirm(slowly, mode="at the end", seconds_left=51.0)

    assert order == "ACCAACC"
    assert lines[-1] == "no time is left in the budget for the other trainings"
    assert not ended.is_whole
    assert (world.verdict.num_wanted, world.verdict.confidence) == (3, 0.95)


def test_whoever_watches_is_told_what_each_training_repeats(world: World) -> None:
    world.confirm(apart, wanted=Confirm(repeats=1))
    trials = InstantTrials(apart)
    workplace, listener = make_workplace(
        world.book.storage, folder=world.folder, trials=trials, interrupts=world.interrupts
    )

    confirm(workplace, world.book.row, wanted=Confirm(repeats=2))

    assert listener.sides == ["trial 2", "the baseline"]
    assert [(side.name, side.num_ended) for side in listener.last_sides] == [("the baseline", 2), ("trial 2", 2)]


def test_failed_training_is_not_tried_again(world: World) -> None:
    def failing(parameters: Mapping[str, Scalar], count: int) -> Said:
        failed = Finished(outcome=Outcome.FAILED, reason="ValueError: no")
        return ([], failed) if side_of(parameters) == "C" else alike(parameters, count)

    order, _, _ = world.confirm(failing, wanted=Confirm(repeats=5))

    assert order == "ACCAACCAAC"
    assert (world.verdict.conclusion, world.verdict.decided_by) == ("worse", "failures")


@pytest.mark.parametrize("baseline", [Outcome.COMPLETE, Outcome.PRUNED])
def test_training_that_misses_its_target_counts_as_infinite(
    baseline: Outcome, tmp_path: Path, interrupts: Interrupts, empty_store: Path
) -> None:
    copy_store(empty_store, folder=tmp_path)
    target = Target(metric="val_accuracy", bound=0.9, is_at_least=True)
    objective = Objective(metric=target.objective, direction="minimize", target=target)
    world = make_world(tmp_path, interrupts, objective=objective, baseline=baseline)

    def missing(parameters: Mapping[str, Scalar], count: int) -> Said:
        if side_of(parameters) == "A":
            reports, _ = ends_with(0.8)
            return reports, Finished(outcome=Outcome.PRUNED, reason="never came to its target")
        return ends_with(0.95, also={target.objective: 1.0 + count / 100})

    world.confirm(missing, wanted=Confirm(repeats=4))

    times = world.verdict.quantities[0]
    assert (times.name, times.reference) == ("seconds_to_target", np.inf)
    assert (world.verdict.winner_success_rate, world.verdict.reference_success_rate) == (1.0, 0.0)
    assert world.verdict.conclusion == "better"


def test_baseline_that_failed_is_nothing_to_compare_with(
    tmp_path: Path, interrupts: Interrupts, empty_store: Path
) -> None:
    copy_store(empty_store, folder=tmp_path)
    world = make_world(tmp_path, interrupts, baseline=Outcome.FAILED)

    with pytest.raises(NotConfirmedError, match="the baseline must be complete to be compared with, got failed"):
        world.confirm(alike)


def test_reference_must_be_there(world: World) -> None:
    with pytest.raises(NotConfirmedError, match="got no such trial; `autotune study confirm"):
        world.confirm(alike, wanted=Confirm(against=9))


def test_next_best_trial_is_confirmed_against_the_best(world: World) -> None:
    order, _, _ = world.confirm(alike, wanted=Confirm(repeats=1, against=2))

    assert order == "CB"


def test_baseline_that_is_the_best_needs_no_confirmation(world: World) -> None:
    world.book.add(3, epochs=[{"val_accuracy": 0.99}], parameters={"lr": 0.1})

    with pytest.raises(NotConfirmedError, match="the baseline itself is the best trial"):
        world.confirm(alike)


def test_baseline_alone_leaves_nothing_to_confirm_and_says_so(world: World) -> None:
    alone = StudyBook(world.book.storage, name="alone", spec=make_spec(MAXIMIZE, budget=Budget(trials=3, epochs=1)))
    alone.add(0, epochs=[{"val_accuracy": 0.9}], parameters={"lr": 0.1})
    rule = "the winner is not confirmed: a trial with other parameters than the baseline must be complete, got none"

    with pytest.raises(NotConfirmedError, match=f"study alone: {rule}; let the study run on"):
        World(world.folder, alone, world.interrupts).confirm(alike)


def test_training_that_was_cut_off_while_it_was_asked_for_is_given_up_once_another_trial_is_the_winner(
    world: World,
) -> None:
    """Each later confirmation ended with an error, since it knew no contender of that number."""
    world.confirm(alike, wanted=Confirm(repeats=1))
    storage = open_storage(world.book.storage, configure_engine=configure_engine)
    study_id, numbers = storage.get_study_id_from_name("digits.confirm"), IntDistribution(0, 2)
    cut_off = create_trial(state=TrialState.RUNNING, params={"trial": 2}, distributions={"trial": numbers})
    optuna_id = storage.create_new_trial(study_id, cut_off)
    world.book.add(3, epochs=[{"val_accuracy": 0.95}], parameters={"lr": LRS["D"]})

    order, _, ended = world.confirm(alike, wanted=Confirm(repeats=2))
    assert (set(order), ended.is_whole) == ({"A", "D"}, True)
    assert storage.get_trial(optuna_id).state is TrialState.FAIL
    storage.engine.dispose()


def confirm_once(world: World, *, is_cut_off: Callable[[Mapping[str, Scalar]], bool]) -> bool:
    """A training a side with checkpoints, of which Ctrl-C stops some; returns whether it did."""
    with Interrupts() as interrupts:
        interrupts.wake_with(lambda: None)
        trials = SavedTrials(alike, is_cut_off=is_cut_off)
        workplace, _ = make_workplace(world.book.storage, folder=world.folder, trials=trials, interrupts=interrupts)
        return not confirm(workplace, world.book.row, wanted=Confirm(repeats=1)).is_whole


def is_winner(parameters: Mapping[str, Scalar]) -> bool:
    return side_of(parameters) == "C"


def test_training_of_an_earlier_winner_that_was_cut_off_waits_until_it_is_one_again(world: World) -> None:
    """It was trained first, unasked, by each later confirmation."""
    assert confirm_once(world, is_cut_off=is_winner)
    world.book.add(3, epochs=[{"val_accuracy": 0.95}], parameters={"lr": LRS["D"]})

    order, _, ended = world.confirm(alike, wanted=Confirm(repeats=2))
    again, said, _ = world.confirm(alike, wanted=Confirm(repeats=2), mode="at the end")
    both, _, _ = world.confirm(alike, wanted=Confirm(repeats=2, top=2))

    assert (order, ended.is_whole) == ("ADDA", True)
    assert (again, said) == ("", [])
    assert both == "CAC"


def test_only_trainings_that_have_not_ended_keep_their_checkpoints(world: World) -> None:
    """That of the best one stayed for ever, and nothing reads it: the model that is logged is the search's."""
    kept: list[list[str]] = []
    for is_cut_off in (is_winner, lambda _: False):
        confirm_once(world, is_cut_off=is_cut_off)
        kept.append([path.parent.name for path in world.folder.rglob("checkpoint.pt")])

    assert kept == [["trial-00001"], []]
