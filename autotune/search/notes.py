"""Notes and files on a study's page in optuna-dashboard.

Notes are study attributes of Optuna's, two for each, and files one attribute of the study or the
trial. They are written all at once: through the dashboard's own function a note costs a read of all
others and two transactions, and Optuna's attaches nothing to a trial that has ended. Tests hold the
keys against those that read them.
"""

import json
import mimetypes
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from optuna.storages import RDBStorage
from sqlalchemy import text

_OURS = "*Written by autotune, and written anew at the end of each start; without this line it stays as it is.*"
_MAX_CHARACTERS = 2045
"""The dashboard's limit on one attribute's value, in characters; a longer text is cut."""
_ARTIFACT = "artifacts:"

_SET, _SET_OF_TRIAL = (
    text(
        f"INSERT INTO {of}_system_attributes ({of}_id, key, value_json) VALUES (:{of}_id, :key, :value) "  # noqa: S608 - our own words
        f"ON CONFLICT ({of}_id, key) DO UPDATE SET value_json = excluded.value_json"
    )
    for of in ("study", "trial")
)


@dataclass(frozen=True, kw_only=True)
class Attached:
    """Paths on the dashboard's server of attached files, by file name."""

    study: Mapping[str, str]
    trials: Mapping[int, Mapping[str, str]]
    """Paths of the trials' files, by trial number and file name."""


def write_notes(name: str, *, storage: RDBStorage, study: str, links: str, trials: Mapping[int, str]) -> None:
    """Write notes (Markdown) of the study and of trials by number, in one transaction.

    A trial that has a note keeps it; the study's note is replaced if we wrote it. Its ``links``
    stand at its end, and are kept where a text that is too long is cut.
    """
    study_id = storage.get_study_id_from_name(name)
    there = storage.get_study_system_attrs(study_id)
    ids = _trial_ids(storage, study_id)
    values: dict[str, object] = {}
    end = f"\n\n{links}\n\n{_OURS}"
    if _is_ours(there):
        values |= _note("dashboard:", body=study[: _MAX_CHARACTERS - len(end)] + end, there=there)
    for number, body in trials.items():
        prefix = f"dashboard:{ids[number]}:" if number in ids else None
        if prefix is not None and f"{prefix}note_ver" not in there:
            values |= _note(prefix, body=body[:_MAX_CHARACTERS], there=there)
    rows = [{"study_id": study_id, "key": key, "value": json.dumps(value)} for key, value in values.items()]
    if rows:
        with storage.engine.begin() as connection:
            connection.execute(_SET, rows)


def attach_files(
    name: str,
    *,
    storage: RDBStorage,
    folder: Path,
    study: Mapping[str, str],
    trials: Mapping[int, Mapping[str, str]],
) -> Attached:
    """Attach texts by file name to the study and to trials by number, as artifacts, in one transaction.

    A file of the same name is replaced. ``folder`` holds the artifacts of all studies of the storage.
    """
    study_id = storage.get_study_id_from_name(name)
    ids = _trial_ids(storage, study_id)
    folder.mkdir(parents=True, exist_ok=True)
    place = f"{folder}/{name}/{study_id}"
    of_study = _store(study, folder=folder, place=place)
    of_trials = {
        number: _store(files, folder=folder, place=f"{place}/{number}")
        for number, files in trials.items()
        if number in ids
    }
    rows = [{"study_id": study_id} | row for row in _attributes(of_study)]
    trial_rows = [{"trial_id": ids[number]} | row for number, keys in of_trials.items() for row in _attributes(keys)]
    with storage.engine.begin() as connection:
        for statement, values in ((_SET, rows), (_SET_OF_TRIAL, trial_rows)):
            if values:
                connection.execute(statement, values)
    base = f"/artifacts/{study_id}"
    return Attached(
        study={filename: f"{base}/{key}" for filename, key in of_study.items()},
        trials={
            number: {filename: f"{base}/{ids[number]}/{key}" for filename, key in keys.items()}
            for number, keys in of_trials.items()
        },
    )


def delete_files(name: str, *, storage: RDBStorage, folder: Path) -> None:
    """Delete the files attached to the study and its trials, which must still be in Optuna's tables."""
    try:
        study_id = storage.get_study_id_from_name(name)
    except KeyError:
        return
    attributes = [storage.get_study_system_attrs(study_id)]
    attributes += [trial.system_attrs for trial in storage.get_all_trials(study_id, deepcopy=False)]
    for key in (key for some in attributes for key in some if key.startswith(_ARTIFACT)):
        (folder / Path(key.removeprefix(_ARTIFACT)).name).unlink(missing_ok=True)


def _store(files: Mapping[str, str], *, folder: Path, place: str) -> Mapping[str, str]:
    """Write the files; returns their ids by file name.

    An id depends on place and name alone, so that a file written again replaces the old one.
    """
    ids = {filename: str(uuid.uuid5(uuid.NAMESPACE_URL, f"{place}/{filename}")) for filename in files}
    for filename, content in files.items():
        (folder / ids[filename]).write_text(content, encoding="utf-8")
    return ids


def _attributes(ids: Mapping[str, str]) -> Iterator[dict[str, object]]:
    for filename, artifact_id in ids.items():
        kind, encoding = mimetypes.guess_type(filename)
        meta = {
            "artifact_id": artifact_id,
            "filename": filename,
            "mimetype": kind or "text/plain",
            "encoding": encoding,
        }
        # Optuna's column holds JSON, and the value in it is a text that is JSON itself.
        yield {"key": f"{_ARTIFACT}{artifact_id}", "value": json.dumps(json.dumps(meta))}


def _trial_ids(storage: RDBStorage, study_id: int) -> Mapping[int, int]:
    trials = storage.get_all_trials(study_id, deepcopy=False)
    return {trial.number: trial._trial_id for trial in trials}  # noqa: SLF001 - Optuna gives it under no other name


def _is_ours(there: Mapping[str, object]) -> bool:
    body = "".join(str(value) for key, value in there.items() if key.startswith("dashboard:note_str:"))
    return not body or _OURS in body


def _note(prefix: str, *, body: str, there: Mapping[str, object]) -> Mapping[str, object]:
    version = there.get(f"{prefix}note_ver", 0)
    return {f"{prefix}note_ver": (version if isinstance(version, int) else 0) + 1, f"{prefix}note_str:0": body}
