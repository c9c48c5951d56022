"""What a search is told of its study."""

from autotune.search.plan import SearchPlan
from autotune.search.space import SearchSpace
from autotune.spec.model import StudySpec


def plan_of(spec: StudySpec, *, space: SearchSpace, jobs: int) -> SearchPlan:
    """The plan of a study with this spec, whose space was resolved on this machine."""
    is_joint = spec.speed_search.name == "joint"
    return SearchPlan(
        space=space if is_joint else space.learning,
        elsewhere=frozenset() if is_joint else frozenset(parameter.name for parameter in space.speed),
        objectives=spec.objectives,
        sampler=spec.sampler,
        pruner=spec.pruner,
        max_resource=spec.budget.max_resource,
        resource=spec.budget.resource,
        num_trials=spec.budget.trials,
        seed=spec.seed,
        jobs=jobs,
    )
