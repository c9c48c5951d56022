import optuna
import pytest

from autotune.errors import StorageError
from autotune.search.races import RacedSetting, RaceStudy, delete_races
from tests.search.conftest import OpenStorage

HEAT = RacedSetting(setting={"num_workers": 2}, samples_per_second=100.0, attributes={})


def test_races_are_added_to_no_study_that_holds_something_else(open_again: OpenStorage) -> None:
    """Heats became trials of a search, whose numbers they took."""
    storage = open_again()
    theirs = optuna.create_study(study_name="digits.speed", storage=storage)
    theirs.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(StorageError, match=r"^study digits: its races are Optuna's study digits\.speed, got one that"):
        RaceStudy("digits", storage=storage, values={})
    delete_races("digits", storage=storage)
    assert len(optuna.load_study(study_name="digits.speed", storage=storage).trials) == 1


def test_races_go_on_in_their_study_and_go_with_it(open_again: OpenStorage) -> None:
    for _ in range(2):
        RaceStudy("digits", storage=open_again(), values={"num_workers": (0, 2)}).add(HEAT)
    storage = open_again()
    assert len(optuna.load_study(study_name="digits.speed", storage=storage).trials) == 2
    delete_races("digits", storage=storage)
    delete_races("digits", storage=storage)
    assert optuna.get_all_study_names(storage) == []
