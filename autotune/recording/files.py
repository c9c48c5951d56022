"""Where a study keeps its files: a checkpoint and a log a trial."""

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from autotune.errors import InputError
from autotune.recording.rows import StudyRow

FILES_VARIABLE = "AUTOTUNE_FILES"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def check_study_name(name: str) -> None:
    """Raise InputError unless the name can be a folder, an Optuna study and an MLflow experiment."""
    if not _NAME.fullmatch(name) or ".." in name:
        msg = f"study name: 1 to 100 of letters, digits, '.', '_' and '-', the first a letter or digit, got {name!r}"
        raise InputError(f"{msg}; choose another with --name")


def files_root(storage: str, *, environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of all studies' files: AUTOTUNE_FILES, else beside a SQLite database, else here."""
    given = environ.get(FILES_VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    url = make_url(storage)
    if url.get_backend_name() == "sqlite" and url.database:
        return Path(url.database.removeprefix("file:")).with_suffix(".files").absolute()
    return Path("autotune.files").absolute()


@dataclass(frozen=True)
class StudyFiles:
    """The files of one study.

    The folder's name has a part of the study's uid: a study made later under the same name, or
    in another database that shares the root, never finds an older one's checkpoints.
    """

    folder: Path

    @classmethod
    def of(cls, study: StudyRow, *, root: Path) -> "StudyFiles":
        """The files of this study under the root."""
        check_study_name(study.name)
        return cls(root / f"{study.name}-{study.uid[:8]}")

    def trial_folder(self, number: int) -> Path:
        """The folder of a trial; made when it is first asked for."""
        folder = self._trial(number)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def checkpoint(self, number: int) -> Path:
        """Where the trial's checkpoint is, if it has one."""
        return self._trial(number) / "checkpoint.pt"

    def log(self, number: int) -> Path:
        """Where the trial's stdout and stderr are, if it wrote any."""
        return self._trial(number) / "trial.log"

    def remove_checkpoint(self, number: int) -> None:
        """Delete the trial's checkpoint and keep its log."""
        self.checkpoint(number).unlink(missing_ok=True)

    def remove(self, number: int) -> None:
        """Delete the trial's folder."""
        _remove(self._trial(number))

    def remove_all(self) -> None:
        """Delete the study's folder."""
        _remove(self.folder)

    def _trial(self, number: int) -> Path:
        return self.folder / f"trial-{number:05d}"


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
