"""A saved view of the experiment's runs: trials side by side, the best first.

MLflow nests runs under their parent and folds them, and its table shows no metric until somebody
selects it, so that a study looks like one run without a number. A view that is saved as a tag of
the experiment (the button "Views" lists it, since 3.17) says which columns there are, and in
which order the runs stand. Sorted by a metric they are not nested.
"""

import json

from autotune.goals import SAMPLES_PER_SECOND
from autotune.recording.mlflow.names import key_of
from autotune.recording.rows import StudyRow

VIEW_KEY = "trials"
"""Names the view in an address, as ``viewStateShareKey``."""

VIEW_TAG = f"mlflow.sharedViewState.{VIEW_KEY}"
"""Tag of an experiment that holds the view."""

_MAX_PARAMETERS = 12
"""Most parameters shown as columns: more can't be read side by side, and a tag holds 5,000 characters."""
_ATTRIBUTE_WIDTHS = {"attributes.`Run Name`": 290}
_THROUGHPUT = "steady_samples_per_second"
"""Metric with the trial's steady throughput, as every command prints it; a last epoch may measure only 30 ms."""
_OBJECTIVES = {SAMPLES_PER_SECOND: _THROUGHPUT}
"""Objectives whose metric has another name in MLflow."""


def view_tag(study: StudyRow) -> str:
    """The tag's value: a view with the study's objectives, its throughput, outcomes and searched parameters."""
    objectives = json.loads(study.spec_json).get("objectives", [])
    searched = json.loads(study.resolved_json).get("parameters", [])
    names = [key_of(_OBJECTIVES.get(objective["metric"], objective["metric"])) for objective in objectives]
    metrics = list(dict.fromkeys([*names, _THROUGHPUT]))
    parameters = [key_of(parameter["name"]) for parameter in searched][:_MAX_PARAMETERS]
    widths = {f"metrics.`{name}`": _width(name) for name in metrics}
    widths |= {"tags.`outcome`": _width("outcome")}
    widths |= {f"params.`{name}`": _width(name) for name in parameters}
    state: dict[str, object] = {
        "selectedColumns": list(widths),
        "columnOrder": [*_ATTRIBUTE_WIDTHS, *widths],
        "columnWidths": _ATTRIBUTE_WIDTHS | widths,
    }
    if objectives:
        state["orderByKey"] = f"metrics.`{names[0]}`"
        state["orderByAsc"] = objectives[0]["direction"] == "minimize"
    created_at = round(study.created_at * 1000)
    return json.dumps({"name": "Trials, the best first", "createdAt": created_at, "state": json.dumps(state)})


def _width(name: str) -> int:
    """Column width in pixels that fits the name, and a number of six digits below it."""
    return max(100, 45 + 8 * len(name))
