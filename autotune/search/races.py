"""A race as an Optuna study of its own, ``NAME.speed``, so that the dashboard shows it."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial
from sqlalchemy import text

from autotune.errors import StorageError
from autotune.events import Scalar
from autotune.search.stored import delete_search


@dataclass(frozen=True)
class RacedSetting:
    """One heat, as the dashboard shows it."""

    setting: Mapping[str, Scalar]
    samples_per_second: float | None
    """Throughput; None for a setting that was not measured."""
    attributes: Mapping[str, Scalar]


RACE_SUFFIX = ".speed"
_METRIC_NAMES = ["samples_per_second"]
_ADD_STUDY = text("INSERT INTO studies (study_name) VALUES (:name) ON CONFLICT DO NOTHING RETURNING study_id")
_ADD_DIRECTION = text("INSERT INTO study_directions (study_id, objective, direction) VALUES (:study_id, 0, 'MAXIMIZE')")
_ADD_METRIC_NAMES = text(
    "INSERT INTO study_system_attributes (study_id, key, value_json) VALUES (:study_id, 'study:metric_names', :names)"
)


def race_study_name(study: str) -> str:
    """The name of the Optuna study that holds a study's races."""
    return f"{study}{RACE_SUFFIX}"


class RaceStudy:
    """Heats as Optuna trials, the throughput as their value."""

    def __init__(self, study: str, *, storage: RDBStorage, values: Mapping[str, Sequence[Scalar]]) -> None:
        """Open the Optuna study, or make it.

        Args:
            study: Name of the study that races.
            storage: Optuna's storage.
            values: The values that each knob may have in this study.

        Raises:
            StorageError: Optuna has a study of that name which holds something else.
        """
        name = race_study_name(study)
        _create_if_new(name, storage=storage)
        self._study = optuna.load_study(study_name=name, storage=storage)
        if not _holds_races(self._study):
            rule = f"its races are Optuna's study {name}, got one that holds something else"
            raise StorageError(f"study {study}: {rule}; choose another --name")
        self._distributions: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(tuple(choices)) for name, choices in values.items()
        }
        for trial in self._study.get_trials(deepcopy=False):
            self._distributions.update(trial.distributions)

    def add(self, heat: RacedSetting) -> None:
        """Add a heat as a trial: complete where it was measured, else pruned with its reason."""
        setting = {self._name_of(name, value): value for name, value in heat.setting.items() if value is not None}
        is_measured = heat.samples_per_second is not None
        self._study.add_trial(
            create_trial(
                state=TrialState.COMPLETE if is_measured else TrialState.PRUNED,
                value=heat.samples_per_second,
                params=setting,
                distributions={name: self._distributions[name] for name in setting},
                user_attrs={name: value for name, value in heat.attributes.items() if value is not None},
            )
        )

    def _name_of(self, name: str, value: Scalar) -> str:
        """The knob's name in Optuna's study; the value is added where Optuna knows the knob with other choices."""
        known = self._distributions.setdefault(name, CategoricalDistribution((value,)))
        if isinstance(known, CategoricalDistribution) and value in known.choices:
            return name
        other = f"{name}[{value}]"
        self._distributions.setdefault(other, CategoricalDistribution((value,)))
        return other


def delete_races(study: str, *, storage: RDBStorage) -> None:
    """Remove the study's races from Optuna's tables; nothing happens where there are none."""
    name = race_study_name(study)
    with suppress(KeyError):
        if _holds_races(optuna.load_study(study_name=name, storage=storage)):
            delete_search(name, storage=storage)


def _create_if_new(name: str, *, storage: RDBStorage) -> None:
    """Make the Optuna study with its metric's name in one transaction; nothing happens where there is one.

    Optuna itself sets that name in a second one, and between the two nothing tells it from a study of somebody else's.
    """
    with storage.engine.begin() as connection:
        study_id = connection.execute(_ADD_STUDY, {"name": name}).scalar_one_or_none()
        if study_id is not None:
            connection.execute(_ADD_DIRECTION, {"study_id": study_id})
            connection.execute(_ADD_METRIC_NAMES, {"study_id": study_id, "names": json.dumps(_METRIC_NAMES)})


def _holds_races(study: optuna.Study) -> bool:
    """Whether an Optuna study is one of races, and not another program's, or a search, that has such a name."""
    return study.metric_names == _METRIC_NAMES
