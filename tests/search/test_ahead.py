"""Proposals that are made before they are asked for, and what a sampler is told in a large study."""

from collections.abc import Mapping, Sequence

import pytest
from optuna.storages import RDBStorage
from optuna.study import StudyDirection, load_study
from optuna.trial import FrozenTrial, TrialState, create_trial

from autotune.events import Scalar
from autotune.search import known
from autotune.search.known import Horizon
from autotune.search.plan import SearchPlan
from autotune.search.proposals import Proposal
from autotune.search.space import SearchSpace, SpaceParameter
from autotune.search.study import Search
from tests.search.conftest import OpenStorage
from tests.search.spaces import conditional_space, finish, plan_for, run_trials

FROM = 6


@pytest.fixture(autouse=True)
def _early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "AHEAD_FROM", FROM)


def make_plan(sampler: str = "tpe", *, jobs: int = 1) -> SearchPlan:
    options = {"startup_trials": 3} if sampler == "tpe" else None
    return plan_for(conditional_space(), sampler=sampler, options=options, jobs=jobs)


def run_ahead(search: Search, *, count: int) -> list[Proposal]:
    """Runs trials one by one, each time finding out the next while one runs."""
    proposals = []
    for _ in range(count):
        proposal = search.ask()
        assert proposal is not None
        search.ask_ahead()
        finish(search, proposal)
        proposals.append(proposal)
    return proposals


def run_foreseen(
    search: Search, *, count: int, like: Mapping[str, Scalar]
) -> list[tuple[Proposal, tuple[int, Mapping[str, Scalar]] | None]]:
    """Runs trials one by one; each with what was foreseen of it while the one before ran, None for the first."""
    pairs: list[tuple[Proposal, tuple[int, Mapping[str, Scalar]] | None]] = []
    foreseen = None
    for _ in range(count):
        proposal = search.ask()
        assert proposal is not None
        pairs.append((proposal, foreseen))
        foreseen = search.foresee(like=like)
        finish(search, proposal)
    return pairs


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "cmaes", "nsgaii", "qmc"])
@pytest.mark.parametrize("is_foreseen", [False, True])
def test_proposals_are_the_same_made_early_foreseen_or_late(
    sampler: str, storage: RDBStorage, *, is_foreseen: bool
) -> None:
    plan = make_plan(sampler)
    late = run_trials(Search.create("same", storage=storage, plan=plan), count=FROM + 5)
    storage.delete_study(storage.get_study_id_from_name("same"))

    search = Search.create("same", storage=storage, plan=plan)
    if is_foreseen:
        early = [proposal for proposal, _ in run_foreseen(search, count=FROM + 5, like={})]
    else:
        early = run_ahead(search, count=FROM + 5)

    assert [p.parameters for p in early] == [p.parameters for p in late]
    assert len(storage.get_all_trials(search.study_id)) == FROM + 5


def test_proposal_made_ahead_is_in_no_table_and_is_made_again_by_the_next_start(open_again: OpenStorage) -> None:
    plan = make_plan()
    storage = open_again()
    whole = run_ahead(Search.create("same", storage=storage, plan=plan), count=FROM + 4)
    storage.delete_study(storage.get_study_id_from_name("same"))
    search = Search.create("same", storage=storage, plan=plan)
    run_ahead(search, count=FROM + 2)
    search.ask_ahead()
    num_stored = len(storage.get_all_trials(search.study_id))

    rest = run_trials(Search.open("same", storage=open_again(), plan=plan), count=2)

    assert num_stored == FROM + 2
    assert [p.parameters for p in rest] == [p.parameters for p in whole[FROM + 2 :]]


def test_queued_trial_comes_before_a_proposal_made_ahead(storage: RDBStorage) -> None:
    search = Search.create("study", storage=storage, plan=make_plan())
    run_trials(search, count=FROM + 1)
    search.ask_ahead()
    template = create_trial(state=TrialState.WAITING, system_attrs={"fixed_params": {"lr": 0.0123}})
    storage.create_new_trial(search.study_id, template)

    queued, after = search.ask(), search.ask()

    assert queued is not None
    assert after is not None
    assert queued.parameters["lr"] == 0.0123
    assert (queued.number, after.number) == (FROM + 1, FROM + 2)


def trials_of(values: Sequence[float | None]) -> list[FrozenTrial]:
    made = []
    for number, value in enumerate(values):
        trial = create_trial(state=TrialState.PRUNED if value is None else TrialState.COMPLETE, value=value)
        trial.number = number
        made.append(trial)
    return made


@pytest.mark.parametrize("direction", list(StudyDirection)[1:])
def test_tpe_is_told_of_the_newest_and_of_the_best(direction: StudyDirection) -> None:
    values: list[float | None] = [None if number % 3 == 0 else float(number * 7 % 101) for number in range(100)]
    horizon = Horizon("tpe", jobs=1, directions=[direction], num_trials=45)

    numbers = [trial.number for trial in horizon.known(trials_of(values), number=FROM - 1)]

    older = [(value, number) for number, value in enumerate(values[:80]) if value is not None]
    best = sorted(older, reverse=direction is StudyDirection.MAXIMIZE)[:25]
    assert numbers == [*sorted(number for _, number in best), *range(80, 100)]


@pytest.mark.parametrize("jobs", [1, 3])
def test_results_of_the_last_trials_are_no_part_of_a_proposal_ahead(jobs: int) -> None:
    trials = trials_of([0.5] * (FROM + 4))

    told = Horizon("tpe", jobs=jobs, directions=[StudyDirection.MINIMIZE]).known(trials, number=FROM + 4)

    assert [trial.state for trial in told[-jobs - 1 :]] == [TrialState.COMPLETE, *[TrialState.RUNNING] * jobs]
    assert all(trial.state is TrialState.COMPLETE for trial in trials)


@pytest.mark.parametrize(("sampler", "num_sure"), [("random", FROM + 5), ("tpe", 3)])
def test_what_depends_on_no_result_is_foreseen(sampler: str, num_sure: int, storage: RDBStorage) -> None:
    """tpe chooses at random until three trials have ended, and does without the last result from trial 6 on."""
    search = Search.create("foreseen", storage=storage, plan=make_plan(sampler))
    pairs = run_foreseen(search, count=FROM + 5, like={})[1:]
    sure = [pair for pair in pairs if pair[0].number < num_sure or pair[0].number >= FROM]
    assert len(sure) >= 7
    assert all(foreseen == (proposal.number, proposal.parameters) for proposal, foreseen in sure)
    assert all(foreseen is not None and foreseen[0] == proposal.number for proposal, foreseen in pairs)


def test_sampler_that_keeps_a_state_is_foreseen_to_propose_what_runs(storage: RDBStorage) -> None:
    search = Search.create("cmaes", storage=storage, plan=make_plan("cmaes"))
    pairs = run_foreseen(search, count=4, like={"batch_size": 16})
    assert [foreseen for _, foreseen in pairs] == [None, *((number, {"batch_size": 16}) for number in (1, 2, 3))]


def test_grid_is_foreseen_to_its_end(storage: RDBStorage) -> None:
    parameter = SpaceParameter("lr", "learning", "choices", choices=(0.1, 0.2, 0.3))
    fixed: Mapping[str, Scalar] = {"optimizer": "sgd"}
    space = SearchSpace(parameters=(parameter,), fixed=fixed, left_out=(), baseline={"lr": 0.1, **fixed})
    search = Search.create("grid", storage=storage, plan=plan_for(space, sampler="grid"))
    (_, first), *rest = run_foreseen(search, count=3, like={})
    assert first is None
    assert all(foreseen == (proposal.number, proposal.parameters) for proposal, foreseen in rest)
    assert search.foresee(like={}) is None


def test_nothing_is_foreseen_where_somebody_has_queued_a_trial(storage: RDBStorage) -> None:
    search = Search.create("queued", storage=storage, plan=make_plan("random"))
    assert search.foresee(like={}) is None
    assert search.ask() is not None
    assert search.foresee(like={}) is not None
    load_study(study_name="queued", storage=storage).enqueue_trial({"batch_size": 16})
    assert search.foresee(like={}) is None
