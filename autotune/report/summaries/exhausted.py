"""Whether a study has tried every combination of its grid, so that no larger budget lets it go on."""

from collections.abc import Sequence

from autotune.recording.rows import StudyRow, StudyState
from autotune.report.summaries.trials import TrialSummary
from autotune.spec.model import StudySpec


def is_exhausted(row: StudyRow, *, spec: StudySpec, trials: Sequence[TrialSummary]) -> bool:
    """Whether the study is complete with every cell of its grid among the trials; False for any open study."""
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
