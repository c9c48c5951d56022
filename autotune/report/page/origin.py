"""Sections about the machines that the study ran on, and how to reproduce it."""

from collections import Counter

from autotune.recording.rows import Environment
from autotune.report.machine.description import machine_lines
from autotune.report.page.blocks import Block, Code, Section, Table, Words
from autotune.report.page.subject import Subject
from autotune.report.text.ending import going_on
from autotune.report.text.places import storage_option, tracking_option
from autotune.report.text.wording import one_line


def machine_section(subject: Subject) -> Section | None:
    """The section about machines; None while no trial was launched."""
    counts = Counter(row.environment_id for row in subject.record.trials if row.environment_id is not None)
    used = [(subject.record.environments[key], count) for key, count in counts.most_common()]
    if not used:
        return None
    blocks: list[Block] = []
    for environment, count in used:
        if len(used) > 1:
            blocks.append(Words(text=f"{count} trials ran here:"))
        blocks.append(Table(header=("what", "this machine"), rows=_rows(environment)))
    data = {"machines": [environment.machine.model_dump(mode="json") for environment, _ in used]}
    return Section(key="machine", title="Machine and versions", blocks=tuple(blocks), data=data)


def _rows(environment: Environment) -> tuple[tuple[str, str], ...]:
    pairs = [line.partition(":") for line in machine_lines(environment.machine)]
    return tuple((name, one_line(value)) for name, _, value in pairs)


def reproduce_section(subject: Subject) -> Section:
    """The section about reproducing the study: commands, the code's commit, the seed and the spec."""
    study, places = subject.summary, subject.places
    storage, tracking = storage_option(places), tracking_option(places)
    go_on, with_what = going_on(study, options=f"{storage}{tracking}")
    lines = [f"{go_on}  # goes on{with_what or ' with this study'}"]
    if study.best is not None:
        replay = f"autotune trial replay {study.name} {study.best.number}{storage}"
        take = f"autotune study best {study.name} --format python{storage} > winner.py"
        lines += [f"{replay}  # trains the winner again", f"{take}  # the winner in plain PyTorch"]
    commits = sorted({row.git_commit for row in subject.record.trials if row.git_commit})
    commit = f" The task's code was at commit {', '.join(commits)}." if commits else ""
    spec = subject.record.study.spec_text.rstrip().splitlines()
    blocks: list[Block] = [
        Code(lines=tuple(lines)),
        Words(text=f"The study's seed is {subject.record.study.seed}.{commit} On a CPU a replay has the same losses."),
    ]
    if spec:
        blocks += [Words(text="The spec:"), Code(lines=tuple(spec))]
    data = {"seed": subject.record.study.seed, "commits": commits, "spec": subject.record.study.spec_text}
    return Section(key="reproduce", title="How to reproduce it", blocks=tuple(blocks), data=data)
