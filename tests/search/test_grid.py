from optuna.storages import RDBStorage

from autotune.events import Outcome
from autotune.search.grid import Grid
from autotune.search.proposals import Proposal
from autotune.search.study import Search
from tests.search.conftest import OpenStorage
from tests.search.spaces import plan_for, small_grid

NUM_CELLS = 18


def ask_until_exhausted(search: Search) -> list[Proposal]:
    proposals: list[Proposal] = []
    while (proposal := search.ask()) is not None:
        proposals.append(proposal)
        search.tell(proposal.number, outcome=Outcome.COMPLETE, values=(0.5,))
    return proposals


def test_every_combination_is_proposed_once_after_the_baseline(storage: RDBStorage) -> None:
    search = Search.create("study", storage=storage, plan=plan_for(small_grid(), sampler="grid"))

    proposals = ask_until_exhausted(search)

    cells = [str(sorted(proposal.parameters.items())) for proposal in proposals[1:]]
    assert len(set(cells)) == len(cells) == NUM_CELLS


def test_a_reopened_study_proposes_only_what_is_left(open_again: OpenStorage) -> None:
    plan = plan_for(small_grid(), sampler="grid")
    search = Search.create("study", storage=open_again(), plan=plan)
    first = [search.ask() for _ in range(8)]

    rest = ask_until_exhausted(Search.open("study", storage=open_again(), plan=plan))

    assert len(first) + len(rest) == NUM_CELLS + 1
    assert ask_until_exhausted(Search.open("study", storage=open_again(), plan=plan)) == []


def test_a_baseline_that_is_a_whole_combination_is_not_proposed_again(storage: RDBStorage) -> None:
    space = small_grid()
    whole = {"width": 8, "num_workers": 1, "prefetch_factor": 4, "dropout": 0.25}
    plan = plan_for(type(space)(space.parameters, space.fixed, space.left_out, whole), sampler="grid")

    proposals = ask_until_exhausted(Search.create("study", storage=storage, plan=plan))

    assert len(proposals) == NUM_CELLS


def test_another_seed_gives_another_order() -> None:
    grid = Grid(small_grid())

    assert len({str(grid.next(seed)) for seed in range(30)}) > 5
