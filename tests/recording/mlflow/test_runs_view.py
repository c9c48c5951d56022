import json
from dataclasses import replace

import pytest

from autotune.recording.mlflow.runs_view import view_tag
from autotune.recording.rows import StudyRow

MAX_TAG = 5000  # MLflow's limit for an experiment's tag


def view_of(study: StudyRow, *, objectives: list[dict[str, str]], parameters: list[str]) -> dict[str, object]:
    spec = json.dumps({"objectives": objectives})
    resolved = json.dumps({"parameters": [{"name": name} for name in parameters]})
    tag = view_tag(replace(study, spec_json=spec, resolved_json=resolved))
    assert len(tag) < MAX_TAG
    state = json.loads(json.loads(tag)["state"])
    assert isinstance(state, dict)
    return state


@pytest.mark.parametrize(("direction", "is_ascending"), [("maximize", False), ("minimize", True)])
def test_the_best_trial_comes_first(study: StudyRow, direction: str, *, is_ascending: bool) -> None:
    objectives = [{"metric": "val_loss", "direction": direction}, {"metric": "seconds", "direction": "minimize"}]
    state = view_of(study, objectives=objectives, parameters=["lr"])
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`val_loss`", is_ascending)


def test_objectives_throughput_and_outcome_come_before_the_parameters(study: StudyRow) -> None:
    objectives = [{"metric": "val_accuracy", "direction": "maximize"}]
    state = view_of(study, objectives=objectives, parameters=["lr", "width"])
    assert state["selectedColumns"] == [
        "metrics.`val_accuracy`",
        "metrics.`steady_samples_per_second`",
        "tags.`outcome`",
        "params.`lr`",
        "params.`width`",
    ]


def test_a_large_search_space_fits_in_a_tag(study: StudyRow) -> None:
    parameters = [f"a_parameter_with_a_long_name_{number}" for number in range(100)]
    assert view_of(study, objectives=[{"metric": "loss", "direction": "minimize"}], parameters=parameters)


def test_throughput_as_an_objective_is_the_trials_own_and_stands_once(study: StudyRow) -> None:
    objectives = [{"metric": "samples_per_second", "direction": "maximize"}]
    state = view_of(study, objectives=objectives, parameters=["lr"])
    assert state["selectedColumns"] == ["metrics.`steady_samples_per_second`", "tags.`outcome`", "params.`lr`"]
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`steady_samples_per_second`", False)


def test_a_metric_is_named_as_mlflow_has_it(study: StudyRow) -> None:
    state = view_of(study, objectives=[{"metric": "recall@5", "direction": "maximize"}], parameters=["lr"])
    assert state["orderByKey"] == "metrics.`recall_5`"
