"""What both UIs say of a finished study in words: notes, the report, and links from one to the other."""

from dataclasses import replace

from autotune.errors import AutotuneError
from autotune.events import Outcome
from autotune.recording.database import configure_engine, normalise_url
from autotune.recording.files import artifacts_folder
from autotune.recording.mlflow_server import run_address, server_base
from autotune.recording.rows import StudyRow
from autotune.recording.run_pages import describe_runs
from autotune.report.page.composing import Report, compose
from autotune.report.page.html import as_html
from autotune.report.page.markdown import as_markdown
from autotune.report.places import Places
from autotune.report.record import read_record
from autotune.report.trials import TrialSummary
from autotune.report.wording import format_duration, format_metric, one_line
from autotune.search.notes import attach_files, write_notes
from autotune.search.storage import open_storage

LEAST_SECONDS = 60.0
"""Making all of it takes two seconds: a shorter study gets it by ``study sync NAME`` alone."""
_RUNNING = (Outcome.INTERRUPTED.value, "running", "queued")


def annotate_long_study(name: str, *, places: Places, elapsed_seconds: float) -> str | None:
    """``annotate_study`` where the study took long enough to be worth it."""
    return annotate_study(name, places=places) if elapsed_seconds >= LEAST_SECONDS else None


def annotate_study(name: str, *, places: Places) -> str | None:
    """Write notes and attach the report and the learning curves, in Optuna's dashboard and in MLflow.

    Returns:
        One line about what could not be written; None where all was. A study is none the worse for it.
    """
    try:
        record = read_record(places.storage, name=name)
        report = compose(record, places=places)
        files = {"report.html": as_html(report), "learning-curves.html": as_html(_only(report, "progress"))}
        verdict = as_markdown(_only(report, "verdict"))
        storage = open_storage(normalise_url(places.storage), configure_engine=configure_engine)
        try:
            base = server_base(places.tracking_uri)
            notes = {
                trial.number: trial_note(trial, study=record.study, base=base)
                for trial in record.summaries
                if trial.outcome not in _RUNNING
            }
            write_notes(name, storage=storage, study=verdict, trials=notes)
            attach_files(name, storage=storage, folder=artifacts_folder(places.storage), files=files)
        finally:
            storage.engine.dispose()
        return describe_runs(record.study, tracking_uri=places.tracking_uri, verdict=verdict, files=files)
    except (AutotuneError, OSError, KeyError) as error:
        return f"notes for the dashboards could not be written: {error}"


def trial_note(trial: TrialSummary, *, study: StudyRow, base: str) -> str:
    """A trial's outcome with its reason, its figures, and the way to its run in MLflow; Markdown."""
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
    return "\n\n".join(line for line in lines if line)


def _only(report: Report, key: str) -> Report:
    return replace(report, sections=tuple(section for section in report.sections if section.key == key))


def _plain(reason: str) -> str:
    """The reason as Markdown shows it letter by letter: it may quote what a task wrote."""
    return f"`{one_line(reason).replace('`', chr(39))}`"
