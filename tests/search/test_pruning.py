import math

import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from autotune.events import Outcome, Scalar
from autotune.goals import Target
from autotune.search.mirror import Mirror, MirrorTrial
from autotune.search.plan import SearchPlan, TrialHistory
from autotune.search.pruners import Pruner, make_pruner
from autotune.search.study import Search
from autotune.spec.model import Choice, Objective
from autotune.spec.policies import PRUNERS
from tests.search.conftest import OpenStorage
from tests.search.spaces import ACCURACY, SPEED, conditional_space, plan_for

EPOCHS = 9
OPTIONS: dict[str, dict[str, Scalar]] = {
    "median": {"startup_trials": 2},
    "percentile": {"percentile": 25.0, "startup_trials": 2},
    "patient": {"patience": 1},
    "threshold": {"lower": 0.12},
}


def make_plan(pruner: str, *, num_objectives: int = 1) -> SearchPlan:
    plan = plan_for(conditional_space(), objectives=(ACCURACY, SPEED)[:num_objectives], epochs=EPOCHS)
    return SearchPlan(
        space=plan.space,
        objectives=plan.objectives,
        sampler=plan.sampler,
        pruner=Choice(name=pruner, options=OPTIONS.get(pruner, {})),
        max_resource=EPOCHS,
        seed=plan.seed,
    )


def pruner_of(name: str, *, options: dict[str, Scalar]) -> Pruner:
    return make_pruner(Choice(name=name, options=options), study="study", direction="maximize", max_resource=EPOCHS)


def curve(number: int, epoch: int) -> float:
    """Trials of very different worth; each third one gets worse after its fourth epoch."""
    worth = (number * 7 % 11 + 1) / 11
    return worth * (epoch if number % 3 or epoch < 4 else 4 - epoch / 3) / EPOCHS


def train(search: Search, *, num_objectives: int = 1) -> int:
    """Runs the next trial; gives the epoch at which it was pruned, or 0."""
    proposal = search.ask()
    assert proposal is not None
    for epoch in range(1, EPOCHS + 1):
        search.report(proposal.number, step=epoch, value=curve(proposal.number, epoch))
        if search.should_prune(proposal.number):
            search.tell(proposal.number, outcome=Outcome.PRUNED)
            return epoch
    search.tell(
        proposal.number, outcome=Outcome.COMPLETE, values=(curve(proposal.number, EPOCHS), 1.0)[:num_objectives]
    )
    return 0


@pytest.mark.parametrize("pruner", [name for name in PRUNERS if name != "none"])
def test_a_reopened_study_prunes_as_one_that_was_never_closed(pruner: str, open_again: OpenStorage) -> None:
    plan = make_plan(pruner)
    storage = open_again()
    search = Search.create("same", storage=storage, plan=plan)
    whole = [train(search) for _ in range(14)]
    storage.delete_study(search.study_id)
    search = Search.create("same", storage=storage, plan=plan)
    first = [train(search) for _ in range(8)]

    search = Search.open("same", storage=open_again(), plan=plan)
    rest = [train(search) for _ in range(6)]

    assert first + rest == whole
    assert any(whole)


@pytest.mark.parametrize("pruner", ["hyperband", "successive_halving", "median"])
def test_several_objectives_are_pruned_by_the_first(pruner: str, storage: RDBStorage) -> None:
    one = Search.create("one", storage=storage, plan=make_plan(pruner))
    alone = [train(one) for _ in range(12)]
    storage.delete_study(one.study_id)  # hyperband's brackets hang on the name
    two = Search.create("one", storage=storage, plan=make_plan(pruner, num_objectives=2))

    assert [train(two, num_objectives=2) for _ in range(12)] == alone


def test_several_objectives_prune_on_after_they_were_reconciled(open_again: OpenStorage) -> None:
    plan = make_plan("median", num_objectives=2)
    storage = open_again()
    search = Search.create("same", storage=storage, plan=plan)
    whole = [train(search, num_objectives=2) for _ in range(12)]
    storage.delete_study(search.study_id)
    search = Search.create("same", storage=storage, plan=plan)
    first = [train(search, num_objectives=2) for _ in range(8)]

    search = Search.open("same", storage=open_again(), plan=plan)
    search.reconcile([history(number, end) for number, end in enumerate(first)])
    rest = [train(search, num_objectives=2) for _ in range(4)]

    assert first + rest == whole
    assert any(rest)


def history(number: int, end: int) -> TrialHistory:
    epochs = range(1, (end or EPOCHS) + 1)
    return TrialHistory(
        number=number,
        parameters={},
        outcome=Outcome.PRUNED if end else Outcome.COMPLETE,
        reports={epoch: curve(number, epoch) for epoch in epochs},
    )


def test_the_baseline_is_never_pruned(storage: RDBStorage) -> None:
    search = Search.create("study", storage=storage, plan=make_plan("threshold"))
    baseline = search.ask()
    assert baseline is not None

    search.report(baseline.number, step=1, value=0.0)

    assert not search.should_prune(baseline.number)


def test_nothing_is_pruned_after_its_last_epoch(storage: RDBStorage) -> None:
    search = Search.create("study", storage=storage, plan=make_plan("threshold"))
    train(search)
    proposal = search.ask()
    assert proposal is not None

    search.report(proposal.number, step=EPOCHS - 1, value=0.0)
    assert search.should_prune(proposal.number)
    search.report(proposal.number, step=EPOCHS, value=0.0)
    assert not search.should_prune(proposal.number)


@pytest.mark.parametrize("pruner", ["hyperband", "successive_halving", "threshold"])
def test_a_metric_that_is_not_a_number_is_pruned(pruner: str, storage: RDBStorage) -> None:
    search = Search.create("study", storage=storage, plan=make_plan(pruner))
    train(search)
    proposal = search.ask()
    assert proposal is not None

    search.report(proposal.number, step=3, value=math.nan)

    assert search.should_prune(proposal.number)


@pytest.mark.parametrize("pruner", ["median", "percentile", "threshold"])
@pytest.mark.parametrize("warmup_epochs", [0, 3])
def test_warmup_epochs_are_exempt_and_the_next_is_not(pruner: str, warmup_epochs: int) -> None:
    options = {**OPTIONS[pruner], "warmup_epochs": warmup_epochs}
    mirror = Mirror(pruner=pruner_of(pruner, options=options))
    for number in range(3):
        reports = dict.fromkeys(range(1, 10), 0.9)
        mirror.add(MirrorTrial(number, TrialState.COMPLETE, reports=reports))

    answers: list[bool] = []
    for epoch in range(1, 6):
        mirror.report(3, step=epoch, value=0.01)
        answers.append(mirror.should_prune(3)[0])

    assert answers.index(True) == warmup_epochs


def test_hyperband_may_prune_after_the_first_epoch() -> None:
    mirror = Mirror(pruner=pruner_of("hyperband", options={"min_epochs": 1}))
    epochs = []
    for number in range(30):
        mirror.report(number, step=1, value=1.0 - number / 30)
        epochs.append(mirror.should_prune(number)[0])

    assert any(epochs)


@pytest.mark.parametrize("is_reopened", [False, True])
def test_median_compares_trials_that_report_at_other_seconds(*, is_reopened: bool) -> None:
    mirror = Mirror(pruner=pruner_of("median", options={"startup_trials": 2}), steps=range(1, 21))
    for number, reports in enumerate([{3: 0.5, 7: 0.8, 20: 0.9}, {4: 0.5, 9: 0.8, 18: 0.9}]):
        if is_reopened:
            mirror.add(MirrorTrial(number, TrialState.COMPLETE, reports=reports))
            continue
        for step, value in reports.items():
            mirror.report(number, step=step, value=value)
        mirror.finish(number, state=TrialState.COMPLETE)

    mirror.report(2, step=5, value=0.45)
    is_behind_at_5 = mirror.should_prune(2)[0]
    mirror.report(2, step=6, value=0.6)
    is_behind_at_6 = mirror.should_prune(2)[0]

    assert (is_behind_at_5, is_behind_at_6) == (True, False)


PER_TRIAL = 60
SLOW, FAST = 8, 1
"""Seconds of an epoch. The first rung of successive halving and hyperband is at 2 s then, the next at 6 or 8."""


class Seconds:
    """A study of trials that count in seconds and learn alike, up to a height of their own."""

    def __init__(self, pruner: str, *, options: dict[str, Scalar]) -> None:
        self._choice = Choice(name=pruner, options=options)
        self._ended: list[MirrorTrial] = []
        self.reopen()

    def reopen(self) -> None:
        """As the next start does, from what the last one noted down."""
        pruner = make_pruner(
            self._choice, study="study", direction="maximize", max_resource=PER_TRIAL, resource="seconds"
        )
        self._mirror = Mirror(pruner=pruner, steps=range(1, PER_TRIAL + 1))
        for trial in self._ended:
            self._mirror.add(trial)

    def train(self, *, epoch: int, height: float) -> int | None:
        """The second at which the next trial is pruned."""
        number = len(self._ended)
        reports: dict[int, float] = {}
        notes: dict[str, object] = {}
        is_pruned = False
        for second in range(epoch, PER_TRIAL, epoch):
            reports[second] = height * (1 - math.exp(-second / 10))
            self._mirror.report(number, step=second, value=reports[second])
            is_pruned, noted = self._mirror.should_prune(number)
            notes |= noted
            if is_pruned:
                break
        state = TrialState.PRUNED if is_pruned else TrialState.COMPLETE
        self._mirror.finish(number, state=state)
        self._ended.append(MirrorTrial(number, state, reports=reports, attributes=notes))
        return max(reports) if is_pruned else None


IN_SECONDS: dict[str, tuple[str, dict[str, Scalar]]] = {
    "successive_halving": ("successive_halving", {"reduction_factor": 3}),
    "successive_halving from 2 s": ("successive_halving", {"min_seconds": 2}),
    "hyperband": ("hyperband", {}),
    "median": ("median", {"startup_trials": 2}),
    "percentile": ("percentile", {"percentile": 25.0, "startup_trials": 2}),
}
in_seconds = pytest.mark.parametrize(("pruner", "options"), IN_SECONDS.values(), ids=IN_SECONDS)


@in_seconds
def test_fast_trial_is_not_pruned_for_what_slow_ones_came_to_later(pruner: str, options: dict[str, Scalar]) -> None:
    study = Seconds(pruner, options=options)
    for _ in range(15):  # in each of hyperband's brackets
        study.train(epoch=SLOW, height=0.8)
    assert [study.train(epoch=FAST, height=0.9) for _ in range(15)] == [None] * 15


@in_seconds
def test_slow_trial_that_is_as_good_as_fast_ones_is_not_pruned(pruner: str, options: dict[str, Scalar]) -> None:
    study = Seconds(pruner, options=options)
    for _ in range(15):
        study.train(epoch=FAST, height=0.8)
    assert [study.train(epoch=SLOW, height=0.9) for _ in range(15)] == [None] * 15


@in_seconds
@pytest.mark.parametrize("others", [FAST, SLOW])
def test_slow_trial_that_is_bad_is_pruned_at_its_first_report(
    pruner: str, options: dict[str, Scalar], others: int
) -> None:
    study = Seconds(pruner, options=options)
    for _ in range(30):
        study.train(epoch=others, height=0.9)
    pruned = [study.train(epoch=SLOW, height=0.3) for _ in range(30)]
    assert pruned.count(SLOW) >= 10
    assert {second for second in pruned if second is not None} <= {8, 16, 24, 32}
    assert pruned.count(None) <= 10  # in hyperband's bracket of few rungs


@in_seconds
def test_study_in_seconds_that_is_reopened_prunes_as_one_that_was_never_closed(
    pruner: str, options: dict[str, Scalar]
) -> None:
    whole, closed = Seconds(pruner, options=options), Seconds(pruner, options=options)
    of_whole, of_closed = [], []
    for number in range(40):
        epoch, height = (1, 5, 8, 25)[number % 4], (number * 7 % 11 + 1) / 11
        of_whole.append(whole.train(epoch=epoch, height=height))
        of_closed.append(closed.train(epoch=epoch, height=height))
        closed.reopen()
    assert of_closed == of_whole
    assert any(of_whole)


def test_trial_that_has_had_all_its_samples_is_not_pruned(storage: RDBStorage) -> None:
    plan = make_plan("threshold")
    search = Search.create("study", storage=storage, plan=plan)
    search.ask()
    proposal = search.ask()
    assert proposal is not None

    search.report(proposal.number, step=EPOCHS - 1, value=0.0)
    is_pruned_before = search.should_prune(proposal.number)
    search.report(proposal.number, step=EPOCHS, value=0.0)

    assert is_pruned_before
    assert not search.should_prune(proposal.number)


def test_cmaes_does_not_take_what_is_missing_to_a_target_for_a_time(open_again: OpenStorage) -> None:
    """Each pruned trial was better than all complete ones, whose values are seconds."""
    target = Target(metric="val_accuracy", bound=0.9, is_at_least=True)
    time = Objective(metric=target.objective, direction="minimize", target=target)
    plan = plan_for(conditional_space(), sampler="cmaes", options={"population": 4}, objectives=(time,))
    told, untold = (
        [propose(search, has_reports=has_reports) for _ in range(24)]
        for has_reports in (True, False)
        for search in [Search.create(f"reports-{has_reports}", storage=open_again(), plan=plan)]
    )
    assert told == untold


def propose(search: Search, *, has_reports: bool) -> dict[str, Scalar]:
    """The next proposal; one of three sees its target, the others are pruned a little before it."""
    proposal = search.ask()
    assert proposal is not None
    if proposal.number % 3 == 0:
        search.tell(proposal.number, outcome=Outcome.COMPLETE, values=(30.0 + proposal.number % 7,))
        return dict(proposal.parameters)
    if has_reports:
        search.report(proposal.number, step=1, value=0.01 * (proposal.number % 5))
    search.tell(proposal.number, outcome=Outcome.PRUNED)
    return dict(proposal.parameters)
