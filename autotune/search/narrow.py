"""Cuts each declared parameter down to the values that can occur on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from autotune.events import Scalar
from autotune.hardware import Machine
from autotune.search.declared import Declared
from autotune.search.space import Condition, LeftOut, Requirement, SpaceParameter
from autotune.spec.model import Parameter
from autotune.spec.written import written
from autotune.speed.knobs.knob import Knob


@dataclass
class Narrowed:
    """The parameters decided so far; parents are decided before their children."""

    knobs: Mapping[str, Knob]
    """Every knob that the spec may name."""
    searched: dict[str, SpaceParameter] = field(default_factory=dict)
    fixed: dict[str, Scalar] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)

    def add(self, declared: Declared, machine: Machine) -> None:
        """Decide one more parameter: searched, fixed, or left out with a reason."""
        if reason := self._reason_against(declared.name, machine):
            self._leave_out(declared.name, reason)
            return
        parameter = self._without_impossible(_as_searched(declared), machine)
        parameter = self._with_open_conditions(parameter) if parameter else None
        parameter = self._with_open_requirements(parameter) if parameter else None
        if parameter is None:
            return
        if parameter.conditions or parameter.requirements or len(parameter.choices) != 1:
            self.searched[parameter.name] = parameter
        else:
            self.fixed[parameter.name] = parameter.choices[0]

    def _leave_out(self, name: str, reason: str) -> None:
        self.left_out.append(LeftOut(name=name, reason=reason))

    def _without_impossible(self, parameter: SpaceParameter, machine: Machine) -> SpaceParameter | None:
        reasons = {choice: self._reason_against_choice(parameter.name, choice, machine) for choice in parameter.choices}
        for choice, reason in reasons.items():
            if reason:
                self._leave_out(parameter.name, f"{written(choice)}: {reason}")
        left = tuple(choice for choice, reason in reasons.items() if not reason)
        return replace(parameter, choices=left) if left or parameter.type != "choices" else None

    def _reason_against(self, name: str, machine: Machine) -> str | None:
        return self.knobs[name].applies(machine) if name in self.knobs else None

    def _reason_against_choice(self, name: str, choice: Scalar, machine: Machine) -> str | None:
        if name == "optimizer" and choice == "muon" and not machine.torch.has_muon:
            return f"torch {machine.torch.version} has no Muon"
        return self.knobs[name].choice_applies(choice, machine) if name in self.knobs else None

    def _with_open_conditions(self, parameter: SpaceParameter) -> SpaceParameter | None:
        still_open: list[Condition] = []
        for condition in parameter.conditions:
            open_or_answer = self._decide(condition)
            if open_or_answer is False:
                self._leave_out(parameter.name, f"it needs {_condition_in_words(condition)}, which never comes up here")
                return None
            if isinstance(open_or_answer, Condition):
                still_open.append(open_or_answer)
        return replace(parameter, conditions=tuple(still_open))

    def _decide(self, condition: Condition) -> Condition | bool:
        parent = self.searched.get(condition.parameter)
        if parent is None:
            return condition.holds(self._in_force(condition.parameter))
        if parent.type != "choices":
            return _decide_on_range(condition, parent)
        values = tuple(choice for choice in parent.choices if condition.holds({parent.name: choice}))
        if not values:
            return False
        always = len(values) == len(parent.choices) and not parent.conditions and not parent.requirements
        return True if always else Condition(parent.name, values)

    def _in_force(self, name: str) -> Mapping[str, Scalar]:
        if name in self.fixed:
            return self.fixed
        # A knob that is left out, or that the spec doesn't name, keeps torch's default.
        return {name: self.knobs[name].simplest} if name in self.knobs else {}

    def _with_open_requirements(self, parameter: SpaceParameter) -> SpaceParameter | None:
        still_open: list[Requirement] = []
        impossible: dict[Scalar, str] = {}
        for need in parameter.requirements:
            if need.choice not in parameter.choices:
                continue
            answers = self._answers(need)
            if not any(answers):
                impossible[need.choice] = _requirement_in_words(need)
            elif not all(answers):
                still_open.append(need)
        for choice, reason in impossible.items():
            self._leave_out(parameter.name, f"{written(choice)}: it needs {reason}")
        choices = tuple(choice for choice in parameter.choices if choice not in impossible)
        if parameter.type == "choices" and not choices:
            return None
        return replace(parameter, choices=choices, requirements=tuple(still_open))

    def _answers(self, need: Requirement) -> list[bool]:
        parent = self.searched.get(need.parameter)
        if parent is None:
            return [need.holds(self._in_force(need.parameter))]
        # A range is assumed to have both values that fit and values that don't.
        answers = [need.holds({parent.name: choice}) for choice in parent.choices] or [True, False]
        return [*answers, True] if parent.conditions or parent.requirements else answers


def _as_searched(declared: Declared) -> SpaceParameter:
    parameter = declared.parameter
    outline = SpaceParameter(
        name=declared.name,
        group=declared.group,
        type="choices",
        choices=declared.choices,
        conditions=declared.conditions,
        requirements=declared.requirements,
    )
    if not isinstance(parameter, Parameter) or parameter.type == "choices":
        return outline
    assert isinstance(parameter.low, int | float)
    assert isinstance(parameter.high, int | float)
    if parameter.low == parameter.high:
        return replace(outline, choices=(parameter.low,))
    return replace(
        outline,
        type=parameter.type,
        low=parameter.low,
        high=parameter.high,
        log=parameter.log,
        step=parameter.step,
    )


def _decide_on_range(condition: Condition, parent: SpaceParameter) -> Condition | bool:
    assert parent.low is not None
    assert parent.high is not None
    if condition.values is not None:
        is_possible = any(
            isinstance(value, int | float) and parent.low <= value <= parent.high for value in condition.values
        )
        return condition if is_possible else False
    if parent.high <= 0:
        return False
    return True if parent.low > 0 and not parent.conditions else condition


def _condition_in_words(condition: Condition) -> str:
    if condition.values is None:
        return f"{condition.parameter} above 0"
    return f"{condition.parameter} to be {' or '.join(written(value) for value in condition.values)}"


def _requirement_in_words(need: Requirement) -> str:
    if need.divisor is not None:
        return f"a {need.parameter} that {need.divisor} divides"
    return f"{need.parameter} to be {' or '.join(map(written, need.values)) or 'another'}"
