"""A report from its sections, in the order in which a decision is made."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from autotune.recording.places import Places
from autotune.report.page.blocks import Section
from autotune.report.page.failures import failures_section
from autotune.report.page.front import front_section
from autotune.report.page.origin import machine_section, reproduce_section
from autotune.report.page.progress import progress_section
from autotune.report.page.raced import raced_section
from autotune.report.page.space import space_section
from autotune.report.page.spent import spent_section
from autotune.report.page.subject import Subject
from autotune.report.page.verdict import verdict_section
from autotune.report.page.winner import winner_section
from autotune.report.summaries.record import StudyRecord
from autotune.report.text.wording import one_line

_SECTIONS: tuple[Callable[[Subject], Section | None], ...] = (
    verdict_section,
    winner_section,
    progress_section,
    space_section,
    front_section,
    spent_section,
    raced_section,
    failures_section,
    machine_section,
    reproduce_section,
)


@dataclass(frozen=True, kw_only=True)
class Report:
    """A study's report, in no format yet."""

    name: str
    """The study's name."""
    task: str
    objectives: str
    state: str
    made: str
    """When and by what this report was made."""
    sections: tuple[Section, ...]


def compose(record: StudyRecord, *, places: Places) -> Report:
    """The report; sections that have nothing to say are left out."""
    subject = Subject(record, places)
    found = [section(subject) for section in _order(subject)]
    now = time.strftime("%Y-%m-%d %H:%M %Z")
    return Report(
        name=record.study.name,
        task=one_line(record.study.task),
        objectives=one_line(", ".join(objective.text for objective in record.spec.objectives)),
        state=record.study.state.value,
        made=f"{now}, autotune {version('autotune-torch')}",
        sections=tuple(section for section in found if section is not None),
    )


def _order(subject: Subject) -> Sequence[Callable[[Subject], Section | None]]:
    """The sections in order; failures come first where no trial is complete, since nothing else can be decided."""
    if subject.summary.best is not None:
        return _SECTIONS
    others = [section for section in _SECTIONS if section not in {verdict_section, failures_section}]
    return (verdict_section, failures_section, *others)
