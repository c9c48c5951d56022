"""A resolved search space in words, for ``autotune space check``."""

from collections.abc import Sequence

from autotune.cli.output import echo_lines, print_table
from autotune.events import Scalar
from autotune.report.machine.spaces import SpaceSummary
from autotune.report.text.wording import format_parameters, format_scalar, lines_by_reason
from autotune.search.space import Condition, Requirement, SpaceParameter
from autotune.spec.model import Choice

_SPEED_SEARCHES = {
    "race": "speed parameters are raced, and the sampler chooses what is learned",
    "joint": "the sampler chooses speed parameters like all others",
    "fixed": "speed parameters stay as the baseline has them",
}


def print_space(summary: SpaceSummary) -> None:
    """Everything that is searched, everything that is not, and the baseline."""
    budget = [f"{summary.budget.trials} trials"] if summary.budget.trials is not None else []
    budget += [f"{summary.budget.seconds:g} s"] if summary.budget.seconds is not None else []
    objectives = ", ".join(objective.text for objective in summary.objectives)
    length = f"{summary.budget.max_resource} {summary.budget.resource}"
    echo_lines(
        [
            f"{summary.name}: {summary.task} on {', '.join(summary.devices)}",
            f"data: {_data(summary)}",
            f"objective: {objectives}",
            f"budget: {' or '.join(budget) or 'no limit'}, {length} a trial",
            f"sampler: {_choice(summary.sampler)}; pruner: {_choice(summary.pruner)}",
            f"speed search: {_choice(summary.speed_search)}: {_SPEED_SEARCHES[summary.speed_search.name]}",
            "",
        ]
    )
    rows = [(p.group, p.name, _range(p), _conditions(p)) for p in summary.parameters]
    print_table(("group", "parameter", "searched", "when"), rows)
    baseline = format_parameters(summary.baseline) or "the defaults of torch and the task"
    echo_lines(
        [
            *(["", f"fixed: {format_parameters(summary.fixed)}"] if summary.fixed else []),
            "",
            f"baseline (trial 0): {baseline}",
            *(["", "left out here:"] if summary.left_out else []),
            *(f"  {line}" for line in lines_by_reason((each.name, each.reason) for each in summary.left_out)),
        ]
    )


def _data(summary: SpaceSummary) -> str:
    found = summary.rehearsal
    if found.num_train_samples is None:
        return "the task's own"
    samples = f"{found.num_train_samples:,} training and {found.num_validation_samples or 0:,} validation samples"
    return f"{samples}; reports {', '.join(found.metric_names)}"


def _choice(choice: Choice) -> str:
    options = ", ".join(f"{name} {format_scalar(value)}" for name, value in choice.options.items())
    return f"{choice.name} ({options})" if options else choice.name


def _range(parameter: SpaceParameter) -> str:
    if parameter.type == "choices":
        return ", ".join(map(format_scalar, parameter.choices))
    text = f"{format_scalar(parameter.low)} to {format_scalar(parameter.high)}"
    text += ", log" if parameter.log else ""
    return f"{text}, step {format_scalar(parameter.step)}" if parameter.step is not None else text


def _conditions(parameter: SpaceParameter) -> str:
    conditions = [_condition(condition) for condition in parameter.conditions]
    return "; ".join(conditions + [_requirement(requirement) for requirement in parameter.requirements])


def _condition(condition: Condition) -> str:
    if condition.values is None:
        return f"{condition.parameter} > 0"
    return f"{condition.parameter} is {_alternatives(condition.values)}"


def _requirement(requirement: Requirement) -> str:
    choice = format_scalar(requirement.choice)
    if requirement.divisor is not None:
        return f"{choice} where it divides {requirement.parameter}"
    return f"{choice} where {requirement.parameter} is {_alternatives(requirement.values)}"


def _alternatives(values: Sequence[Scalar]) -> str:
    return " or ".join(map(format_scalar, values))
