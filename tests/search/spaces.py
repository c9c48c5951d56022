import math
from collections.abc import Mapping

from autotune.events import Outcome, Scalar
from autotune.search.plan import SearchPlan
from autotune.search.proposals import Proposal
from autotune.search.space import Condition, Requirement, SearchSpace, SpaceParameter
from autotune.search.study import Search
from autotune.spec.model import Choice, Objective

ACCURACY = Objective(metric="val_accuracy", direction="maximize")
SPEED = Objective(metric="samples_per_second", direction="maximize")

BASELINE: Mapping[str, Scalar] = {"optimizer": "adam", "lr": 1e-3, "batch_size": 64}


def conditional_space(
    *, baseline: Mapping[str, Scalar] = BASELINE, lr_high: float = 1.0, is_finite: bool = False
) -> SearchSpace:
    """Conditions, choices that depend on others, and a baseline that names three of eight."""
    lr = SpaceParameter("lr", "learning", "float", low=1e-5, high=lr_high, log=True)
    if is_finite:
        lr = SpaceParameter("lr", "learning", "choices", choices=(1e-3, 1e-2))
    return SearchSpace(
        parameters=(
            SpaceParameter("optimizer", "learning", "choices", choices=("sgd", "adam", "adagrad")),
            lr,
            SpaceParameter(
                "momentum",
                "learning",
                "float",
                low=0.0,
                high=0.9,
                step=0.3,
                conditions=(Condition("optimizer", ("sgd",)),),
            ),
            SpaceParameter("batch_size", "learning", "choices", choices=(16, 64, 96)),
            SpaceParameter("num_workers", "speed", "int", low=0, high=2),
            SpaceParameter(
                "prefetch_factor", "speed", "int", low=2, high=8, step=2, conditions=(Condition("num_workers", None),)
            ),
            SpaceParameter(
                "optimizer_impl",
                "speed",
                "choices",
                choices=("for_loop", "foreach", "fused"),
                requirements=(Requirement("fused", "optimizer", ("sgd", "adam")),),
            ),
            SpaceParameter(
                "accumulate",
                "speed",
                "choices",
                choices=(1, 2, 3),
                requirements=(Requirement(2, "batch_size", divisor=2), Requirement(3, "batch_size", divisor=3)),
            ),
        ),
        fixed={"schedule": "cosine"},
        left_out=(),
        baseline=baseline,
    )


def small_grid() -> SearchSpace:
    """Eighteen combinations: two widths, three dropouts, and no worker or one with two prefetch factors."""
    return SearchSpace(
        parameters=(
            SpaceParameter("width", "learning", "choices", choices=(8, 16)),
            SpaceParameter("num_workers", "speed", "int", low=0, high=1),
            SpaceParameter(
                "prefetch_factor", "speed", "int", low=2, high=4, step=2, conditions=(Condition("num_workers", None),)
            ),
            SpaceParameter("dropout", "learning", "float", low=0.0, high=0.5, step=0.25),
        ),
        fixed={},
        left_out=(),
        baseline={"width": 8},
    )


def plan_for(
    space: SearchSpace,
    *,
    sampler: str = "random",
    pruner: str = "none",
    objectives: tuple[Objective, ...] = (ACCURACY,),
    epochs: int = 9,
    jobs: int = 1,
    options: Mapping[str, Scalar] | None = None,
) -> SearchPlan:
    return SearchPlan(
        space=space,
        objectives=objectives,
        sampler=Choice(name=sampler, options=dict(options or {})),
        pruner=Choice(name=pruner),
        max_resource=epochs,
        num_trials=30,
        seed=7,
        jobs=jobs,
    )


def is_legal(space: SearchSpace, parameters: Mapping[str, Scalar]) -> bool:
    """Written for the space above alone, so that it shares no code with what it judges."""
    sgd = parameters["optimizer"] == "sgd"
    workers = parameters["num_workers"]
    batch_size = parameters["batch_size"]
    accumulate = parameters["accumulate"]
    assert isinstance(workers, int)
    assert isinstance(batch_size, int)
    assert isinstance(accumulate, int)
    return (
        ("momentum" in parameters) == sgd
        and ("prefetch_factor" in parameters) == (workers > 0)
        and not (parameters["optimizer_impl"] == "fused" and parameters["optimizer"] == "adagrad")
        and batch_size % accumulate == 0
        and parameters["schedule"] == "cosine"
        and parameters.keys() <= {p.name for p in space.parameters} | {"schedule"}
    )


def score(parameters: Mapping[str, Scalar]) -> float:
    """Best with sgd at lr 0.1, between 0 and 1."""
    lr = parameters["lr"]
    assert isinstance(lr, float)
    return 1 / (1 + abs(math.log10(lr) + 1)) * (1.0 if parameters["optimizer"] == "sgd" else 0.8)


def run_trials(search: Search, *, count: int, num_objectives: int = 1) -> list[Proposal]:
    """Asks, reports three epochs and tells, as a coordinator with one job does."""
    proposals: list[Proposal] = []
    for _ in range(count):
        proposal = search.ask()
        if proposal is None:
            break
        proposals.append(proposal)
        finish(search, proposal, num_objectives=num_objectives)
    return proposals


def finish(search: Search, proposal: Proposal, *, num_objectives: int = 1) -> Outcome:
    """Trains the proposal in no time; trial 5 diverges, trial 6 runs out of memory, trial 7 fails."""
    fates = {5: Outcome.DIVERGED, 6: Outcome.INFEASIBLE, 7: Outcome.FAILED}
    best = score(proposal.parameters)
    for epoch in (1, 2, 3):
        search.report(proposal.number, step=epoch, value=best * epoch / 3)
        if search.should_prune(proposal.number):
            search.tell(proposal.number, outcome=Outcome.PRUNED, reason="hopeless")
            return Outcome.PRUNED
    outcome = fates.get(proposal.number, Outcome.COMPLETE)
    values = (best,) if num_objectives == 1 else (best, 1 - best)
    search.tell(proposal.number, outcome=outcome, values=values, reason=str(outcome))
    return outcome
