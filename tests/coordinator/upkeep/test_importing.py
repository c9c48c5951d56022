import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial
from pydantic import TypeAdapter

from autotune.coordinator.opening.planning import plan_of
from autotune.coordinator.upkeep.importing import Imported, ImportOrder, import_study
from autotune.errors import InputError, StorageError, StudyHeldError, StudyNotFoundError
from autotune.events import Finished, Outcome, Scalar
from autotune.recording.database import open_database
from autotune.recording.drafts import NewStudy, NewTrial
from autotune.recording.engines import configure_engine
from autotune.recording.lease import StudyLease
from autotune.recording.records import Records
from autotune.search.space import SearchSpace, SpaceParameter
from autotune.search.storage import open_storage
from autotune.search.study import Search
from tests.report.study_book import make_spec

SPACE = SearchSpace(
    parameters=(
        SpaceParameter(name="lr", group="learning", type="float", low=1e-4, high=1.0, log=True),
        SpaceParameter(name="optimizer", group="learning", type="choices", choices=("sgd", "adam")),
    ),
    fixed={},
    left_out=(),
    baseline={"lr": 0.1, "optimizer": "adam"},
)


@pytest.fixture
def storage(tmp_path: Path) -> str:
    """A study that was started: its baseline is complete."""
    url = f"sqlite:///{tmp_path}/autotune.db"
    records = Records(open_database(url, create=True))
    spec = make_spec()
    plan = plan_of(spec, space=SPACE, jobs=1)
    search = Search.create("mine", storage=open_storage(url, configure_engine=configure_engine), plan=plan)
    resolved = TypeAdapter(SearchSpace).dump_json(SPACE).decode()
    new = NewStudy(
        name="mine", task=spec.task, spec_text="", spec_json=spec.model_dump_json(), resolved_json=resolved, seed=0
    )
    study = records.create_study(new)
    proposal = search.ask()
    assert proposal is not None
    row = records.add_trial(study, new=NewTrial(number=0, parameters=proposal.parameters, seed=1, is_baseline=True))
    records.finish_trial(row, finished=Finished(outcome=Outcome.COMPLETE), values=[0.5])
    search.tell(0, outcome=Outcome.COMPLETE, values=[0.5])
    records.engine.dispose()
    return url


def _trial(params: Mapping[str, Any], *, value: float | None = 0.9, state: TrialState = TrialState.COMPLETE) -> Any:  # noqa: ANN401 - Optuna's
    distributions: dict[str, BaseDistribution] = {
        name: FloatDistribution(1e-5, 10.0) if isinstance(held, float) else CategoricalDistribution(["sgd", "adam"])
        for name, held in params.items()
    }
    return create_trial(state=state, value=value, params=dict(params), distributions=distributions)


def _foreign(
    tmp_path: Path,
    trials: Sequence[Any],
    *,
    name: str = "theirs",
    direction: Literal["maximize", "minimize"] = "maximize",
) -> str:
    url = f"sqlite:///{tmp_path}/theirs.db"
    other = optuna.create_study(study_name=name, storage=RDBStorage(url), direction=direction)
    other.add_trials(trials)
    return url


def _import(storage: str, source: str, **options: Any) -> Imported:  # noqa: ANN401 - of the order
    given: dict[str, Any] = {"source_study": None, "renamed": {}, "assumed": {}, **options}
    return import_study(ImportOrder(storage=storage, name="mine", source=source, **given))


def _rows(storage: str) -> list[tuple[int, str | None, Mapping[str, Scalar], tuple[float, ...] | None]]:
    records = Records(open_database(storage, create=False))
    rows = records.trials(records.study("mine"))
    records.engine.dispose()
    return [(row.number, row.origin, row.parameters, row.values) for row in rows[1:]]


def test_trials_that_fit_are_taken_over_with_their_origin(storage: str, tmp_path: Path) -> None:
    fits, misfit = _trial({"lr": 0.01, "optimizer": "sgd"}), _trial({"lr": 5.0, "optimizer": "sgd"})
    failed = _trial({"lr": 0.01, "optimizer": "sgd"}, value=None, state=TrialState.FAIL)
    done = _import(storage, _foreign(tmp_path, [misfit, fits, failed]))
    assert (done.source, done.num_taken, done.num_ended, done.trials) == ("theirs", 1, 3, {1: 1})
    assert _rows(storage) == [(1, "theirs/1", {"lr": 0.01, "optimizer": "sgd"}, (0.9,))]


def test_what_has_another_name_or_is_lacking_can_be_said(storage: str, tmp_path: Path) -> None:
    source = _foreign(tmp_path, [_trial({"learning_rate": 0.01})])
    left = _import(storage, source)
    assert (left.num_taken, left.lacking, left.unknown) == (0, ("lr", "optimizer"), ("learning_rate",))
    done = _import(storage, source, renamed={"learning_rate": "lr"}, assumed={"optimizer": "adam"})
    assert (done.num_taken, done.lacking, done.unknown) == (1, (), ())
    assert _rows(storage)[0][2] == {"lr": 0.01, "optimizer": "adam"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"renamed": {"learning_rat": "lr"}},
            "--rename learning_rat=lr: .* theirs, got .*; did you mean learning_rate",
        ),
        ({"renamed": {"learning_rate": "rl"}}, "--rename learning_rate=rl: .* mine, got rl; it has lr, optimizer"),
        ({"assumed": {"depth": 3}}, "--assume depth: must name a parameter of study mine, .*; it has lr, optimizer"),
    ],
)
def test_a_name_that_no_parameter_has_is_refused(
    storage: str, tmp_path: Path, options: dict[str, dict[str, Scalar]], said: str
) -> None:
    """All trials were left out, and nothing told why."""
    source = _foreign(tmp_path, [_trial({"learning_rate": 0.01})])
    with pytest.raises(InputError, match=said):
        _import(storage, source, **options)


def test_an_import_that_is_repeated_takes_what_is_new(storage: str, tmp_path: Path) -> None:
    source = _foreign(tmp_path, [_trial({"lr": 0.01, "optimizer": "sgd"})])
    _import(storage, source)
    optuna.load_study(study_name="theirs", storage=source).add_trial(_trial({"lr": 0.02, "optimizer": "adam"}))
    assert _import(storage, source).trials == {1: 0, 2: 1}
    assert [row[1] for row in _rows(storage)] == ["theirs/0", "theirs/1"]


def test_a_journal_is_a_storage_too(storage: str, tmp_path: Path) -> None:
    path = str(tmp_path / "journal.log")
    other = optuna.create_study(study_name="j", storage=JournalStorage(JournalFileBackend(path)), direction="maximize")
    other.add_trial(_trial({"lr": 0.01, "optimizer": "sgd"}))
    assert _import(storage, path).num_taken == 1


def test_a_study_that_goes_the_other_way_is_refused(storage: str, tmp_path: Path) -> None:
    source = _foreign(tmp_path, [_trial({"lr": 0.01, "optimizer": "sgd"})], direction="minimize")
    with pytest.raises(InputError, match="its objectives must go maximize, got minimize"):
        _import(storage, source)


def test_a_running_study_takes_nothing_over(storage: str, tmp_path: Path) -> None:
    source = _foreign(tmp_path, [_trial({"lr": 0.01, "optimizer": "sgd"})])
    records = Records(open_database(storage, create=False))
    lease = StudyLease.acquire(records, study=records.study("mine"))
    with pytest.raises(StudyHeldError):
        _import(storage, source)
    lease.release()
    records.engine.dispose()


def test_a_source_that_is_not_there_is_named_and_not_made(storage: str, tmp_path: Path) -> None:
    for source in (f"sqlite:///{tmp_path}/gone.db", f"{tmp_path}/gone.log"):
        with pytest.raises(StorageError, match="must be an Optuna storage that is there, got no file"):
            _import(storage, source)
    assert not list(tmp_path.glob("gone*"))


def test_a_source_of_an_older_optuna_is_for_optuna_to_upgrade(storage: str, tmp_path: Path) -> None:
    source = _foreign(tmp_path, [])
    with sqlite3.connect(source.removeprefix("sqlite:///")) as database:
        database.execute("UPDATE alembic_version SET version_num = 'v2.6.0.a'")
    database.close()
    with pytest.raises(StorageError, match=r"--from: .* got older ones; copy the database, and run `optuna storage"):
        _import(storage, source)


def test_of_several_studies_one_must_be_named(storage: str, tmp_path: Path) -> None:
    source = _foreign(tmp_path, [])
    _foreign(tmp_path, [], name="others")
    with pytest.raises(StudyNotFoundError, match="got theirs, others; name one with --study"):
        _import(storage, source)
    with pytest.raises(StudyNotFoundError, match=r"--study other: no such study there; did you mean others\?"):
        _import(storage, source, source_study="other")
