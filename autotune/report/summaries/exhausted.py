"""Whether a study has tried every combination that it has: no budget lets it go on then."""

from collections.abc import Sequence

from autotune.recording.rows import StudyRow, StudyState
from autotune.report.summaries.trials import TrialSummary
from autotune.spec.model import StudySpec


def is_exhausted(row: StudyRow, *, spec: StudySpec, trials: Sequence[TrialSummary]) -> bool:
    """A grid of which every cell is among the trials; those of a study that goes on are not looked at."""
    if spec.sampler.name != "grid" or row.state is not StudyState.COMPLETE:
        return False
    from autotune.coordinator.opening.planning import plan_of
    from autotune.coordinator.opening.spec import resolved_space
    from autotune.search.grid import Grid

    space = plan_of(spec, space=resolved_space(row), jobs=1).space
    searched = {parameter.name for parameter in space.parameters}
    grid = Grid(space)
    for trial in trials:
        values = {name: value for name, value in trial.parameters.items() if name in searched}
        grid.mark(trial.number, {**values, **space.fixed})
    return grid.next(seed=0) is None
