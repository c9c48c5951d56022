"""Two specs of one study, and whether Optuna can go on from the one with the other."""

from dataclasses import dataclass

from autotune.spec.model import StudySpec


@dataclass(frozen=True)
class Change:
    """One key that differs."""

    key: str
    old: str | None
    """As YAML in one line; None where the key was not there."""
    new: str | None
    can_continue: bool
    why: str


@dataclass(frozen=True)
class SpecDiff:
    """All keys that differ, in the order of a spec."""

    changes: tuple[Change, ...]

    @property
    def can_continue(self) -> bool:
        """Whether the study can go on with the new spec."""
        return all(change.can_continue for change in self.changes)


def compare_specs(old: StudySpec, new: StudySpec) -> SpecDiff:
    """What differs between the spec that a study was made with and the one that it is started with now."""
    raise NotImplementedError
