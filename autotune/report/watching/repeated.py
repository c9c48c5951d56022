"""Names the configurations that a study of repeated trainings repeats, from its rows and those of the search."""

from collections.abc import Mapping, Sequence

from autotune.recording.ablated import ABLATION_SUFFIX, changes_of, sides_of
from autotune.recording.confirmed import CONFIRM_SUFFIX, key_of
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow, TrialRow


def names_of_repeats(records: Records, study: StudyRow, *, rows: Sequence[TrialRow]) -> Mapping[int, str]:
    """Names by trial number, such as ``the baseline`` or ``without lr``; empty for a study that searches.

    Trainings of an ablation for an earlier winner have no name.
    """
    for suffix in (CONFIRM_SUFFIX, ABLATION_SUFFIX):
        search = records.find_study(study.name.removesuffix(suffix)) if study.name.endswith(suffix) else None
        if search is not None:
            names = _names(search, records.trials(search), is_ablation=suffix == ABLATION_SUFFIX)
            keys = {row.number: key_of(row.parameters) for row in rows}
            return {number: names[key] for number, key in keys.items() if key in names}
    return {}


def _names(search: StudyRow, trials: Sequence[TrialRow], *, is_ablation: bool) -> Mapping[str, str]:
    """Names by the key of parameters; of trials with equal parameters the first gives its number."""
    names = {key_of(row.parameters): f"trial {row.number}" for row in reversed(trials)}
    names |= {key_of(row.parameters): "the baseline" for row in trials if row.is_baseline}
    if not is_ablation:
        return names
    spec = search.spec
    winner, baseline = sides_of(trials, spec=spec)
    if winner is None or baseline is None:
        return names
    changes = changes_of(winner.parameters, baseline.parameters, spec=spec)
    return {key_of(each.parameters): f"without {', '.join(each.names)}" for each in changes} | names
