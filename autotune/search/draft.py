"""A trial as a sampler fills it in, before it is in any table.

Optuna's own ``ask`` writes a new trial first and then each of its parameters in a transaction of its
own. Here the sampler works on a study in which the trial is a draft; when it has all its
parameters, it is written in one transaction, whole. A draft that is not written leaves no trace.
"""

from collections.abc import Container, Sequence
from copy import deepcopy as copy_deeply
from typing import Any, NoReturn

from optuna.distributions import BaseDistribution
from optuna.pruners import NopPruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
from typing_extensions import override

_DRAFT_ID = -1


def start_draft(
    study: Study, *, storage: BaseStorage, trials: Sequence[FrozenTrial], number: int, sampler: BaseSampler
) -> "Draft":
    """A new draft with this number, whose parameters the sampler suggests from what it knows of ``trials``.

    Args:
        study: The study.
        storage: The study's storage. No trial is written to it, but a sampler may set attributes of the study.
        trials: The trials that the sampler knows, by number; they are not changed.
        number: The draft's number.
        sampler: Asked whenever a parameter is suggested.
    """
    drafts = _DraftStorage(study, storage=storage, trials=trials, number=number)
    drafted = Study(study.study_name, drafts, sampler=sampler, pruner=NopPruner())
    return Draft(Trial(drafted, _DRAFT_ID), storage=drafts)


class Draft:
    """A trial that exists in memory alone: parameters can be suggested for it, and it is then written as a template."""

    def __init__(self, trial: Trial, *, storage: "_DraftStorage") -> None:
        self.trial = trial
        self._storage = storage

    @property
    def template(self) -> FrozenTrial:
        """The trial as it is now, in the state RUNNING, with the attributes that its sampler set."""
        return self._storage.draft


class _DraftStorage(BaseStorage):
    """A storage with the study's given trials and the draft; other writes go to the study's real storage."""

    def __init__(self, study: Study, *, storage: BaseStorage, trials: Sequence[FrozenTrial], number: int) -> None:
        self._study = study
        self._storage = storage
        self._known = trials
        self.draft = create_trial(state=TrialState.RUNNING)
        self.draft.number = number
        self.draft._trial_id = _DRAFT_ID  # noqa: SLF001 - a storage gives ids; Optuna's own do it this way

    @override
    def get_trial(self, trial_id: int) -> FrozenTrial:
        if trial_id == _DRAFT_ID:
            return self.draft
        found = next((trial for trial in self._known if trial._trial_id == trial_id), None)  # noqa: SLF001
        if found is None:
            raise KeyError(trial_id)
        return found

    @override
    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = [trial for trial in (*self._known, self.draft) if states is None or trial.state in states]
        return copy_deeply(trials) if deepcopy else trials

    @override
    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        self.draft.params = {
            **self.draft.params,
            param_name: distribution.to_external_repr(param_value_internal),
        }
        self.draft.distributions = {**self.draft.distributions, param_name: distribution}

    @override
    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.draft.system_attrs = {**self.draft.system_attrs, key: value}

    @override
    def get_study_id_from_name(self, study_name: str) -> int:
        return self._storage.get_study_id_from_name(study_name)

    @override
    def get_study_name_from_id(self, study_id: int) -> str:
        return self._study.study_name

    @override
    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._study.directions

    @override
    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._storage.get_study_system_attrs(study_id)

    @override
    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._storage.set_study_system_attr(study_id, key, value)

    @override
    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._storage.get_study_user_attrs(study_id)

    @override
    def create_new_study(self, *_: object, **__: object) -> NoReturn:
        raise _unused()

    @override
    def delete_study(self, *_: object, **__: object) -> NoReturn:
        raise _unused()

    @override
    def set_study_user_attr(self, *_: object, **__: object) -> NoReturn:
        raise _unused()

    @override
    def get_all_studies(self, *_: object, **__: object) -> NoReturn:
        raise _unused()

    @override
    def create_new_trial(self, *_: object, **__: object) -> NoReturn:
        raise _unused()

    @override
    def set_trial_state_values(self, *_: object, **__: object) -> NoReturn:
        raise _unused()

    @override
    def set_trial_intermediate_value(self, *_: object, **__: object) -> NoReturn:
        raise _unused()

    @override
    def set_trial_user_attr(self, *_: object, **__: object) -> NoReturn:
        raise _unused()


def _unused() -> AssertionError:
    return AssertionError("a sampler that draws a trial's parameters does nothing of this kind")
