"""Where a study keeps its files: a checkpoint and a log a trial."""

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from autotune.errors import InputError, RunError, StorageError
from autotune.recording.rows import StudyRow

FILES_VARIABLE = "AUTOTUNE_FILES"

_UID_LENGTH = 8
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def is_study_name(name: str) -> bool:
    """Whether the name can be a folder, an Optuna study and an MLflow experiment."""
    return _NAME.fullmatch(name) is not None and ".." not in name


def check_study_name(name: str) -> None:
    """Raise InputError unless ``is_study_name``."""
    if not is_study_name(name):
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


def artifacts_folder(storage: str) -> Path:
    """The folder of the files that Optuna's dashboard shows beside its studies."""
    return files_root(storage) / "dashboard"


def make_files_root(storage: str) -> Path:
    """``files_root``, made where it was missing.

    Raises:
        StorageError: It can't be made, or holds no files.
    """
    root = files_root(storage)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            return root
    except OSError as error:
        rule = f"a study keeps its checkpoints in this folder, got {error.strerror!r}"
        raise StorageError(f"{root}: {rule}; name another with {FILES_VARIABLE}, or mend its permissions") from error


def bytes_of_checkpoints(root: Path, *, name: str) -> int:
    """Bytes that the checkpoints of the study of that name take, those that are being written included."""
    folder = f"{name}-{'?' * _UID_LENGTH}/trial-*"
    return sum(each.stat().st_size for suffix in (".pt", ".tmp") for each in root.glob(f"{folder}/checkpoint{suffix}"))


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
        return cls(root / f"{study.name}-{study.uid[:_UID_LENGTH]}")

    def trial_folder(self, number: int) -> Path:
        """The folder of a trial, made when it is first asked for; raises RunError where it can't be made."""
        folder = self.trial_path(number)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"{folder}: a trial needs its folder, got {error.strerror!r}; mend that, and start again"
            ) from error
        return folder

    def trial_path(self, number: int) -> Path:
        """The trial's folder, which need not be there."""
        return self.folder / f"trial-{number:05d}"

    @property
    def race_folder(self) -> Path:
        """Where the contestants of the study's races have their logs."""
        return self.folder / "races"

    def checkpoint(self, number: int) -> Path:
        """Where the trial's checkpoint is, if it has one."""
        return self.trial_path(number) / "checkpoint.pt"

    def log(self, number: int) -> Path:
        """Where the trial's stdout and stderr are, if it wrote any."""
        return self.trial_path(number) / "trial.log"

    def remove_checkpoint(self, number: int) -> None:
        """Delete the trial's checkpoint, also one that is half written, and keep its log."""
        for suffix in (".pt", ".tmp", ".owner"):
            self.checkpoint(number).with_suffix(suffix).unlink(missing_ok=True)

    def remove(self, number: int) -> None:
        """Delete the trial's folder."""
        _remove(self.trial_path(number))

    def remove_all(self) -> None:
        """Delete the study's folder."""
        _remove(self.folder)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
