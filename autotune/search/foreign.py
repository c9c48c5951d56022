"""Reads a study that another program ran with Optuna, as histories that our search can learn from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from autotune.errors import StorageError, StudyNotFoundError
from autotune.events import Outcome, Scalar
from autotune.search.plan import TrialHistory
from autotune.search.storage import open_for_reading
from autotune.spec.names import nearest

_OUTCOMES = {TrialState.COMPLETE: Outcome.COMPLETE, TrialState.PRUNED: Outcome.PRUNED, TrialState.FAIL: Outcome.FAILED}


@dataclass(frozen=True)
class ForeignStudy:
    """A study that another program ran with Optuna."""

    name: str
    directions: tuple[str, ...]
    """``maximize`` or ``minimize`` for each objective."""
    histories: tuple[TrialHistory, ...]
    """Its ended trials, with parameters under the names that it gave them."""


def read_foreign_study(url: str, *, name: str | None) -> ForeignStudy:
    """The study of this name, or the only one if no name is given; nothing is written to its storage.

    Args:
        url: ``sqlite:///FILE``, ``postgresql://HOST/NAME``, or the file of an Optuna journal.
        name: The study's name; None for the only one.

    Raises:
        StorageError: There is nothing at this address, or nothing that Optuna can read.
        StudyNotFoundError: It has no study of this name, or several and none was named.
    """
    storage = _open(url)
    names = [summary.study_name for summary in storage.get_all_studies()]
    study = optuna.load_study(study_name=_choose(names, name), storage=storage)
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state in _OUTCOMES]
    directions = tuple(direction.name.lower() for direction in study.directions)
    return ForeignStudy(study.study_name, directions, tuple(_history(trial) for trial in trials))


def _open(url: str) -> BaseStorage:
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    file = url.removeprefix("sqlite:///") if url.startswith("sqlite:///") else None if "://" in url else url
    if file is not None and not Path(file).is_file():
        raise StorageError(f"--from {url}: must be an Optuna storage that is there, got no file {file}")
    try:
        if "://" in url:
            return open_for_reading(url, is_ours=False, option="--from")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        return JournalStorage(JournalFileBackend(url))
    except (ArgumentError, SQLAlchemyError, ValueError, AssertionError) as error:
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise StorageError(f"--from {url}: must be a storage that Optuna can read, got {reason[0]!r}") from error


def _choose(names: list[str], name: str | None) -> str:
    if name is None and len(names) == 1:
        return names[0]
    shown = ", ".join(names[:10]) or "none"
    if name is None:
        raise StudyNotFoundError(f"--from: holds several studies or none, got {shown}; name one with --study")
    if name not in names:
        near = nearest(name, names)
        raise StudyNotFoundError(
            f"--study {name}: no such study there; {f'did you mean {near}?' if near else f'there are {shown}'}"
        )
    return name


def _history(trial: FrozenTrial) -> TrialHistory:
    parameters: Mapping[str, Scalar] = dict(trial.params)
    return TrialHistory(
        number=trial.number,
        parameters=parameters,
        outcome=_OUTCOMES[trial.state],
        values=tuple(trial.values) if trial.state is TrialState.COMPLETE else None,
        reports=dict(trial.intermediate_values),
    )
