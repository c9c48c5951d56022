"""Annotates a finished study in both UIs: notes, the report, and links from one to the other."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from autotune.coordinator.interrupts import Interrupts
from autotune.errors import AutotuneError
from autotune.events import Outcome
from autotune.recording.database import normalise_url
from autotune.recording.engines import configure_engine
from autotune.recording.files import artifacts_folder
from autotune.recording.mlflow.run_pages import describe_runs
from autotune.recording.mlflow.server import run_address, server_base
from autotune.recording.places import Places
from autotune.recording.rows import StudyRow
from autotune.report.page.composing import Report, compose
from autotune.report.page.html import as_html
from autotune.report.page.markdown import as_markdown
from autotune.report.page.pictures import draw_report, draw_trials
from autotune.report.page.raced import adopted_section
from autotune.report.page.subject import Subject
from autotune.report.summaries.record import StudyRecord, read_record
from autotune.report.summaries.trials import TrialSummary
from autotune.report.text.wording import format_duration, format_metric, one_line
from autotune.search.notes import attach_files, write_notes
from autotune.search.storage import open_storage

LEAST_SECONDS = 60.0
"""Shorter studies are annotated only by ``study sync NAME``, since it takes two seconds."""
_REPORT, _CURVES, _CURVE = "report.html", "learning-curves.svg", "learning-curve.svg"
_RUNNING = (Outcome.INTERRUPTED.value, "running", "queued")


def annotate_long_study(
    name: str, *, places: Places, elapsed_seconds: float, interrupts: Interrupts, tell: Callable[[str], None]
) -> bool:
    """Annotate the study if it took at least ``LEAST_SECONDS``, and tell of what could not be written.

    Returns:
        False where Ctrl-C or SIGTERM ended that, or came before; a line tells what does it.
    """
    if elapsed_seconds < LEAST_SECONDS:
        return True
    problem, is_stopped = None, interrupts.should_stop
    if not is_stopped:
        try:
            with interrupts.raising():
                problem = annotate_study(name, places=places)
        except KeyboardInterrupt:
            is_stopped = True
    if is_stopped:
        tell(f"stopped before the notes for the dashboards were written; `autotune study sync {name}` writes them")
    elif problem is not None:
        tell(problem)
    return not is_stopped


def annotate_study(name: str, *, places: Places) -> str | None:
    """Write notes and attach the report and the learning curves, in Optuna's dashboard and in MLflow.

    Returns:
        One line about what could not be written; None where everything was. The study's records are not affected.
    """
    try:
        record = read_record(places.storage, name=name)
        report = compose(record, places=places)
        page, pictures = as_html(report), draw_report(report)
        curves = {number: {_CURVE: picture} for number, picture in draw_trials(Subject(record, places)).items()}
        verdict = as_markdown(_in_short(report, Subject(record, places)), is_folded=False)
        storage = open_storage(normalise_url(places.storage), configure_engine=configure_engine)
        try:
            attached = attach_files(
                name,
                storage=storage,
                folder=artifacts_folder(places.storage),
                study={name: text for name, text in pictures.items() if name == _CURVES} | {_REPORT: page},
                trials=curves,
            )
            notes = trial_notes(record, base=server_base(places.tracking_uri), curves=attached.trials)
            write_notes(name, storage=storage, study=verdict, links=_links(attached.study), trials=notes)
        finally:
            storage.engine.dispose()
        files = {_REPORT: page} | {f"plots/{name}": picture for name, picture in pictures.items()}
        return describe_runs(record.study, tracking_uri=places.tracking_uri, verdict=verdict, files=files)
    except (AutotuneError, OSError, KeyError) as error:
        return f"notes for the dashboards could not be written: {error}"


def _links(paths: Mapping[str, str]) -> str:
    """Markdown links to the study's own files, for its note."""
    picture = f"\n\n![Learning curves]({paths[_CURVES]})" if _CURVES in paths else ""
    return f"[The whole report]({paths[_REPORT]}){picture}"


def trial_notes(record: StudyRecord, *, base: str, curves: Mapping[int, Mapping[str, str]]) -> Mapping[int, str]:
    """Notes in Markdown by number, for all trials that have ended: outcome with its reason, figures, and links.

    Args:
        record: The study.
        base: Address of MLflow's server.
        curves: Paths of each trial's picture in the dashboard, by number and file name.
    """
    return {
        trial.number: _trial_note(trial, study=record.study, base=base, curve=curves.get(trial.number, {}).get(_CURVE))
        for trial in record.summaries
        if trial.outcome not in _RUNNING
    }


def _trial_note(trial: TrialSummary, *, study: StudyRow, base: str, curve: str | None) -> str:
    values = ", ".join(f"{metric} {format_metric(value)}" for metric, value in trial.objectives.items())
    lines = [
        f"**{'The baseline: ' if trial.is_baseline else ''}{trial.outcome}**" + (f", {values}" if values else ""),
        f"Reason: {_plain(trial.reason)}" if trial.reason else "",
        f"{trial.epochs} epochs in {format_duration(trial.seconds)} on {trial.device}" if trial.device else "",
    ]
    if trial.mlflow_run_id and study.experiment_id:
        address = run_address(base, experiment_id=study.experiment_id, run_id=trial.mlflow_run_id)
        lines.append(f"[Its run in MLflow]({address}), while `autotune mlflow` runs")
    lines.append(f"Its log: `autotune study logs {study.name} {trial.number}`")
    if curve is not None:
        lines.append(f"![Learning curve]({curve})")
    return "\n\n".join(line for line in lines if line)


def _in_short(report: Report, subject: Subject) -> Report:
    """The report's sections for a short note: the verdict, and the speed parameters that a race found."""
    verdict = [section for section in report.sections if section.key == "verdict"]
    raced = adopted_section(subject)
    return replace(report, sections=(*verdict, *([raced] if raced is not None else [])))


def _plain(reason: str) -> str:
    """The reason, escaped so that Markdown shows it literally: it may quote what a task wrote."""
    return f"`{one_line(reason).replace('`', chr(39))}`"
