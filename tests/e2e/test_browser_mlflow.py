import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.browser import first_address, serve, trials_of
from tests.e2e.home import Home

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def printed(studied: Home) -> Iterator[Sequence[str]]:
    """What ``autotune mlflow`` prints while it serves."""
    with serve(studied, "mlflow") as lines:
        yield lines


@pytest.fixture(scope="module")
def shown(studied: Home) -> dict[str, Any]:
    """``study show --json``."""
    study: dict[str, Any] = studied.read("study", "show", "digits")
    return study


def row_of(page: Page, trial: dict[str, Any]) -> Locator:
    """The cells of the trial's run; MLflow splits a row in two, of which the left one has the name."""
    name = page.get_by_role("row").filter(has_text=re.compile(rf"trial {trial['number']} ·"))
    index = name.get_attribute("row-index")
    return page.locator(f'.ag-center-cols-container [role="row"][row-index="{index}"]')


def test_runs_page_lists_all_trials_the_best_first(page: Page, printed: Sequence[str], studied: Home) -> None:
    page.goto(first_address(printed, after="study digits: "))
    names = page.get_by_role("link", name=re.compile(r"^trial \d+ ·"))
    expect(names).to_have_count(10)
    best = studied.read("study", "best", "digits")
    expect(names.first).to_have_text(re.compile(rf"^trial {best['number']} ·"))
    expect(page.get_by_role("link", name=re.compile("^trial 0 · baseline · adam · lr 1e-3 · bs 64"))).to_be_visible()


def test_runs_page_shows_objective_throughput_and_outcome(page: Page, printed: Sequence[str], studied: Home) -> None:
    page.goto(first_address(printed, after="study digits: "))
    for name in ("val_accuracy", "steady_samples_per_second", "outcome"):
        expect(page.get_by_role("columnheader", name=name).first).to_be_visible()
    for trial in (*trials_of(studied, outcome="complete")[:2], *trials_of(studied, outcome="pruned")[:1]):
        cells = row_of(page, trial)
        expect(cells).to_contain_text(str(trial["objectives"]["val_accuracy"])[:8])
        expect(cells).to_contain_text(str(trial["samples_per_second"])[:8])
        expect(cells).to_contain_text(trial["outcome"])


def test_view_of_the_runs_is_among_the_saved_ones(page: Page, printed: Sequence[str]) -> None:
    page.goto(first_address(printed, after="study digits: ").partition("&")[0])
    page.get_by_role("button", name="Views").click()
    page.get_by_text("Trials, the best first").click()
    expect(page.get_by_role("link", name=re.compile(r"^trial \d+ ·"))).to_have_count(10)


def test_compare_page_opens_the_best_trials_and_the_baseline(
    page: Page, printed: Sequence[str], shown: dict[str, Any]
) -> None:
    base = first_address(printed, after="http://")
    page.goto(shown["addresses"]["mlflow_compare"].replace("http://127.0.0.1:5000", base))
    expect(page.get_by_role("heading", name="Comparing 4 Runs from 1 Experiment")).to_be_visible()
    for trial in (shown["best"], shown["baseline"]):
        expect(page.get_by_text(re.compile(rf"^\s*trial {trial['number']} ·"))).to_be_visible()
        value = trial["objectives"]["val_accuracy"]
        expect(page.get_by_text(re.compile(rf"^{value:.3g}0*$")).first).to_be_visible()
    for name in ("samples_per_second", "steady_samples_per_second"):
        expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
    plot = page.locator(".js-plotly-plot").first
    expect(plot.get_by_text("val_accuracy")).to_be_visible()


def test_person_compares_three_runs(page: Page, printed: Sequence[str]) -> None:
    page.goto(first_address(printed, after="study digits: "))
    rows = page.get_by_role("row").filter(has_text=re.compile(r"trial \d+ ·"))
    for index in range(3):
        rows.nth(index).get_by_label(re.compile("toggle row selection")).check()
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", name="Comparing 3 Runs from 1 Experiment")).to_be_visible()
    expect(page.locator(".js-plotly-plot").first.get_by_text("Objective/val_accuracy", exact=True)).to_be_visible()
    page.get_by_role("tab", name="Scatter Plot").click()
    expect(page.locator(".js-plotly-plot .ytitle")).to_have_text("Objective/val_accuracy")
    expect(page.locator(".js-plotly-plot .xtitle")).to_have_text("batch_size")


def test_person_opens_the_best_trials_model(page: Page, printed: Sequence[str], shown: dict[str, Any]) -> None:
    base = first_address(printed, after="http://")
    page.goto(f"{base}/#/experiments/{shown['mlflow_experiment_id']}/runs/{shown['best']['mlflow_run_id']}")
    link = page.locator('a[href*="/models/m-"]').first
    expect(link).to_have_text("model")
    page.goto(f"{base}/{link.get_attribute('href')}/artifacts")
    page.get_by_text("MLmodel", exact=True).click()
    expect(page.get_by_text("mlflow.pytorch").first).to_be_visible()


def test_run_page_plots_every_metric(page: Page, printed: Sequence[str], shown: dict[str, Any]) -> None:
    base = first_address(printed, after="http://")
    run = shown["best"]["mlflow_run_id"]
    page.goto(f"{base}/#/experiments/{shown['mlflow_experiment_id']}/runs/{run}/model-metrics")
    for name in ("val_accuracy", "val_loss", "train_loss"):
        page.get_by_placeholder("Search metric charts").fill(name)
        expect(page.get_by_title(name, exact=True).or_(page.get_by_text(name, exact=True)).first).to_be_visible()


def test_person_sees_why_a_trial_was_pruned(
    page: Page, printed: Sequence[str], studied: Home, shown: dict[str, Any]
) -> None:
    pruned = trials_of(studied, outcome="pruned")[0]
    base = first_address(printed, after="http://")
    page.goto(f"{base}/#/experiments/{shown['mlflow_experiment_id']}/runs/{pruned['mlflow_run_id']}")
    expect(page.get_by_text(f"pruned: {pruned['reason']}").first).to_be_visible()


def test_person_filters_runs_by_their_outcome(page: Page, printed: Sequence[str], studied: Home) -> None:
    page.goto(first_address(printed, after="study digits: "))
    search = page.get_by_placeholder(re.compile("^metrics"))
    search.fill('tags.outcome = "pruned"')
    search.press("Enter")
    names = page.get_by_role("link", name=re.compile(r"^trial \d+ ·"))
    expect(names).to_have_count(len(trials_of(studied, outcome="pruned")))


def test_person_reads_the_verdict_and_opens_the_report(
    page: Page, printed: Sequence[str], shown: dict[str, Any]
) -> None:
    base = first_address(printed, after="http://")
    run = f"{base}/#/experiments/{shown['mlflow_experiment_id']}/runs/{shown['mlflow_run_id']}"
    page.goto(run)
    expect(page.get_by_role("heading", name="Description")).to_be_visible()
    page.goto(f"{run}/artifacts/report.html")
    expect(page.locator("iframe").content_frame.get_by_role("heading", name="How it went")).to_be_visible()


def test_person_finds_memory_among_the_system_metrics(
    page: Page, printed: Sequence[str], shown: dict[str, Any]
) -> None:
    base = first_address(printed, after="http://")
    run = shown["best"]["mlflow_run_id"]
    page.goto(f"{base}/#/experiments/{shown['mlflow_experiment_id']}/runs/{run}/system-metrics")
    expect(page.get_by_text("peak_memory_megabytes").first).to_be_visible()
