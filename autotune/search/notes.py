"""What a study's page in optuna-dashboard says beside the plots: notes and files.

Notes are study attributes of Optuna's, two for each, and are written all at once: through the
dashboard's own function each costs a read of all others and two transactions. A test holds the
keys against that function.
"""

import json
import mimetypes
import uuid
from collections.abc import Mapping
from pathlib import Path

from optuna.storages import RDBStorage
from sqlalchemy import text

_OURS = "*Written by autotune, and written anew at the end of each start; without this line it stays as it is.*"
_MAX_CHARACTERS = 2045
"""Of one attribute's value, as the dashboard has it; a longer text is cut."""
_ARTIFACT = "artifacts:"

_SET = text(
    "INSERT INTO study_system_attributes (study_id, key, value_json) VALUES (:study_id, :key, :value) "
    "ON CONFLICT (study_id, key) DO UPDATE SET value_json = excluded.value_json"
)


def write_notes(name: str, *, storage: RDBStorage, study: str, trials: Mapping[int, str]) -> None:
    """Notes (Markdown) of the study and of trials by number, in one transaction.

    A trial that has a note keeps it; the study's is replaced as long as it is ours.
    """
    study_id = storage.get_study_id_from_name(name)
    there = storage.get_study_system_attrs(study_id)
    ids = {trial.number: trial._trial_id for trial in storage.get_all_trials(study_id, deepcopy=False)}  # noqa: SLF001 - Optuna gives it under no other name
    values: dict[str, object] = {}
    if _is_ours(there):
        values |= _note("dashboard:", body=f"{study[: _MAX_CHARACTERS - len(_OURS) - 2]}\n\n{_OURS}", there=there)
    for number, body in trials.items():
        prefix = f"dashboard:{ids[number]}:" if number in ids else None
        if prefix is not None and f"{prefix}note_ver" not in there:
            values |= _note(prefix, body=body[:_MAX_CHARACTERS], there=there)
    rows = [{"study_id": study_id, "key": key, "value": json.dumps(value)} for key, value in values.items()]
    if rows:
        with storage.engine.begin() as connection:
            connection.execute(_SET, rows)


def attach_files(name: str, *, storage: RDBStorage, folder: Path, files: Mapping[str, str]) -> None:
    """Texts by file name, as artifacts of the study; one of the same name is replaced."""
    study_id = storage.get_study_id_from_name(name)
    folder.mkdir(parents=True, exist_ok=True)
    for filename, content in files.items():
        artifact_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{folder}/{name}/{study_id}/{filename}"))
        (folder / artifact_id).write_text(content, encoding="utf-8")
        kind, encoding = mimetypes.guess_type(filename)
        meta = {
            "artifact_id": artifact_id,
            "filename": filename,
            "mimetype": kind or "text/plain",
            "encoding": encoding,
        }
        storage.set_study_system_attr(study_id, f"{_ARTIFACT}{artifact_id}", json.dumps(meta))


def _is_ours(there: Mapping[str, object]) -> bool:
    body = "".join(str(value) for key, value in there.items() if key.startswith("dashboard:note_str:"))
    return not body or _OURS in body


def _note(prefix: str, *, body: str, there: Mapping[str, object]) -> Mapping[str, object]:
    version = there.get(f"{prefix}note_ver", 0)
    return {f"{prefix}note_ver": (version if isinstance(version, int) else 0) + 1, f"{prefix}note_str:0": body}
