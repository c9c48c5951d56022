from pathlib import Path

import optuna
import pytest
from sqlalchemy import event

from autotune.errors import StorageError
from autotune.recording.engines import configure_engine
from autotune.search.races import RacedSetting, RaceStudy, delete_races
from autotune.search.storage import open_storage
from tests.search.conftest import OpenStorage

HEAT = RacedSetting(setting={"num_workers": 2}, samples_per_second=100.0, attributes={})


@pytest.mark.parametrize("num_trials", [0, 1])
def test_races_are_added_to_no_study_that_holds_something_else(open_again: OpenStorage, num_trials: int) -> None:
    """Heats became trials of a search, whose numbers they took."""
    storage = open_again()
    theirs = optuna.create_study(study_name="digits.speed", storage=storage, direction="maximize")
    theirs.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=num_trials)
    with pytest.raises(StorageError, match=r"^study digits: its races are Optuna's study digits\.speed, got one that"):
        RaceStudy("digits", storage=storage, values={})
    delete_races("digits", storage=storage)
    assert len(optuna.load_study(study_name="digits.speed", storage=storage).trials) == num_trials


def test_races_go_on_in_their_study_and_go_with_it(open_again: OpenStorage) -> None:
    for _ in range(2):
        RaceStudy("digits", storage=open_again(), values={"num_workers": (0, 2)}).add(HEAT)
    storage = open_again()
    assert len(optuna.load_study(study_name="digits.speed", storage=storage).trials) == 2
    delete_races("digits", storage=storage)
    delete_races("digits", storage=storage)
    assert optuna.get_all_study_names(storage) == []


class KilledError(Exception):
    """Stands for the end of the process."""


def test_study_of_races_that_was_killed_while_it_was_made_goes_with_it(open_again: OpenStorage) -> None:
    """It was taken for a search of somebody else's until it had its metric's name, and was never deleted."""
    for num_statements in range(40):
        left = num_statements
        storage = open_again()

        def count(*_: object) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KilledError

        event.listen(storage.engine, "before_cursor_execute", count)
        try:
            RaceStudy("digits", storage=storage, values={})
        except KilledError:
            pass
        else:
            break
        finally:
            storage.engine.dispose()
        delete_races("digits", storage=open_again())
        assert optuna.get_all_study_names(open_again()) == [], f"after {num_statements} statements"
    else:
        pytest.fail("it takes more statements")
    assert num_statements > 3


@pytest.mark.parametrize("server", ["sqlite", "postgresql"])
def test_study_of_races_is_one_of_optunas_own(server: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """It is written to Optuna's tables past Optuna."""
    url = f"sqlite:///{tmp_path}/new.db" if server == "sqlite" else request.getfixturevalue("postgres_url")
    storage = open_storage(url, configure_engine=configure_engine)
    try:
        for _ in range(2):
            RaceStudy("digits", storage=storage, values={"num_workers": (0, 2)}).add(HEAT)
        study = optuna.load_study(study_name="digits.speed", storage=storage)
        assert study.metric_names == ["samples_per_second"]
        assert [direction.name for direction in study.directions] == ["MAXIMIZE"]
        assert study.best_trial.params == {"num_workers": 2}
        delete_races("digits", storage=storage)
        assert optuna.get_all_study_names(storage) == []
    finally:
        storage.engine.dispose()
