"""What is refused early: before torch is imported, and before anything is stored."""

from autotune.coordinator.aims import check_company
from autotune.coordinator.observer import Observer
from autotune.coordinator.opening.order import StartOrder
from autotune.coordinator.opening.spec import check_spec
from autotune.errors import InputError, StorageError, StudyNotFoundError
from autotune.recording.ablated import ABLATION_SUFFIX
from autotune.recording.confirmed import CONFIRM_SUFFIX
from autotune.recording.crew import workers_here
from autotune.recording.database import find_database, hide_password, is_optunas, normalise_url
from autotune.recording.files import check_study_name
from autotune.recording.lease import check_holder
from autotune.recording.records import Records
from autotune.search.races import RACE_SUFFIX
from autotune.search.storage import studies_of_others
from autotune.spec.secret_parameters import check_secrets


def check_name(name: str) -> None:
    """Refuse what can't be the name of a study that is searched.

    Raises:
        InputError: It can't be a folder's name, or is that of confirmations, ablations or races.
    """
    check_study_name(name)
    if name.endswith(RACE_SUFFIX):
        raise InputError(f"study {name}: names that end in {RACE_SUFFIX} are those of races; choose another --name")
    for suffix, what, command in (
        (CONFIRM_SUFFIX, "confirmations", "study confirm {}"),
        (ABLATION_SUFFIX, "ablations", "study report {} --ablate"),
    ):
        parent = name.removesuffix(suffix)
        if parent != name:
            rule = f"names that end in {suffix} are those of {what}"
            way_out = f"run `autotune {command.format(parent)}`, or choose another --name"
            raise InputError(f"study {name}: {rule}; {way_out}")


def check_existing(order: StartOrder, *, observer: Observer) -> None:
    """Refuse what does not go with the study as it is in the database, or with whose database that is.

    Raises:
        InputError: A secret of the spec is missing.
        StudyNotFoundError: There is no study to start from.
        StudyHeldError: Another coordinator here has the study, and does not share it.
        SpecChangedError: The study can't go on with what the spec changes.
        StorageError: The database can't be read, or Optuna has a study of this name there.
    """
    remedy = f"`autotune study start SPEC.yaml --name {order.name}` goes on, with the spec file that has it"
    check_secrets(order.file.spec, study=order.name, secrets=order.file.secrets, remedy=remedy)
    engine = find_database(order.places.storage)
    if engine is None:
        if order.warm_start is not None:
            shown = hide_password(order.places.storage)
            raise StudyNotFoundError(f"--warm-start: must name a study of {shown}, got {order.warm_start}; it has none")
        if is_optunas(order.places.storage):
            _join_optunas(order, observer=observer)
        return
    try:
        _check_recorded(order, records=Records(engine))
    finally:
        engine.dispose()


def _check_recorded(order: StartOrder, *, records: Records) -> None:
    study = records.find_study(order.name)
    if study is not None:
        if records.is_shareable:
            check_company(order.file.spec, study=order.name, here=workers_here(records, study=study))
        else:
            check_holder(records.engine, study=study)
        check_spec(study, file=order.file)
    if order.warm_start is not None:
        records.study(order.warm_start)


def _join_optunas(order: StartOrder, *, observer: Observer) -> None:
    """Say that our tables come beside those of another program's studies, none of which has this name."""
    shown, names = hide_password(order.places.storage), studies_of_others(normalise_url(order.places.storage))
    if order.name in names:
        rule = "its name must be new to Optuna's tables, got one that is there"
        raise StorageError(f"study {order.name}: {rule}; choose another --name")
    studies = "study stays" if len(names) == 1 else "studies stay"
    observer.note(f"{shown} is a database of Optuna's: its {len(names)} {studies}, with autotune's tables beside")
