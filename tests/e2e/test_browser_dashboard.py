import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import REBOUND_HOST, first_address, serve, trials_of
from tests.e2e.home import Home

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def dashboard(studied: Home) -> Iterator[str]:
    """The address of ``autotune dashboard``."""
    with serve(studied, "dashboard") as lines:
        yield first_address(lines)


@pytest.fixture(scope="module")
def study_page(studied: Home, dashboard: str) -> str:
    """The study's own page, at the path that ``study show`` prints."""
    printed: str = studied.read("study", "show", "digits")["addresses"]["dashboard"]
    return dashboard + printed.removeprefix("http://127.0.0.1:8080")


def test_dashboard_lists_the_study(page: Page, dashboard: str) -> None:
    page.goto(dashboard)
    expect(page.get_by_text("1. digits")).to_be_visible()


def test_dashboard_plots_the_history_of_all_trials(page: Page, study_page: str, studied: Home) -> None:
    page.goto(study_page)
    expect(page.get_by_role("heading", name="History")).to_be_visible()
    history = page.locator("#plot-history")
    expect(history.get_by_text("val_accuracy")).to_be_visible()
    num_told = sum(len(trials_of(studied, outcome=outcome)) for outcome in ("complete", "pruned"))
    expect(history.locator(".scatterlayer .points path")).to_have_count(num_told)
    best = studied.read("study", "best", "digits")
    expect(page.get_by_text(f"Best Trial (number={best['number']})")).to_be_visible()
    expect(page.get_by_text(str(best["value"]), exact=True)).to_be_visible()


def test_dashboard_plots_the_importance_of_each_parameter(page: Page, study_page: str) -> None:
    page.goto(study_page)
    expect(page.get_by_role("heading", name="Hyperparameter Importance")).to_be_visible()
    importance = page.locator("#graph-hyperparameter-importances")
    expect(importance.locator(".barlayer .point")).not_to_have_count(0)
    for name in ("lr", "momentum", "batch_size", "width", "depth", "dropout", "optimizer"):
        expect(importance.get_by_text(name, exact=True)).to_be_visible()


def test_dashboard_plots_throughput_as_it_does_the_objective(page: Page, study_page: str) -> None:
    page.goto(study_page)
    page.get_by_role("combobox").filter(has_text="val_accuracy").click()
    page.get_by_role("option", name="samples_per_second").click()
    history = page.locator("#plot-history")
    expect(history.get_by_text("samples_per_second")).to_be_visible()


def test_dashboard_shows_pruned_trials_with_the_reason(page: Page, study_page: str, studied: Home) -> None:
    pruned = trials_of(studied, outcome="pruned")
    page.goto(f"{study_page}/trials")
    expect(page.get_by_role("button", name=re.compile(r"^Trial \d+ Pruned$"))).to_have_count(len(pruned))
    page.get_by_role("button", name=f"Trial {pruned[0]['number']} Pruned").click()
    expect(page.get_by_text("outcome pruned")).to_be_visible()
    expect(page.get_by_text(f"reason {pruned[0]['reason']}")).to_be_visible()


def test_dashboard_names_the_baseline(page: Page, study_page: str) -> None:
    page.goto(f"{study_page}/trials")
    page.get_by_role("button", name="Trial 0 Complete").click()
    expect(page.get_by_text("is_baseline True")).to_be_visible()


@pytest.mark.parametrize("path", ["/dashboard", "/api/studies"])
def test_page_of_another_name_for_this_machine_is_refused(page: Page, dashboard: str, path: str) -> None:
    port = dashboard.rpartition(":")[2]
    answer = page.goto(f"http://{REBOUND_HOST}:{port}{path}")
    assert answer is not None
    assert answer.status == 403
    expect(page.get_by_text("This server answers under 127.0.0.1:")).to_be_visible()


def test_study_is_not_deleted_from_another_name_for_this_machine(page: Page, dashboard: str) -> None:
    port = dashboard.rpartition(":")[2]
    page.goto(f"http://{REBOUND_HOST}:{port}/dashboard")
    status = page.evaluate("fetch('/api/studies/1', {method: 'DELETE'}).then(answer => answer.status)")
    assert status == 403
    page.goto(dashboard)
    expect(page.get_by_text("1. digits")).to_be_visible()


def test_person_finds_the_best_trial_and_its_run_in_mlflow(page: Page, study_page: str, studied: Home) -> None:
    best = studied.read("study", "best", "digits")
    page.goto(f"{study_page}/trials")
    page.get_by_role("button", name=f"Trial {best['number']} Complete").click()
    link = page.get_by_role("link", name="Its run in MLflow")
    expect(link).to_be_visible()
    assert best["best"]["mlflow_run_id"] in (link.get_attribute("href") or "")


def test_person_sees_why_a_trial_was_pruned(page: Page, study_page: str, studied: Home) -> None:
    pruned = trials_of(studied, outcome="pruned")[0]
    page.goto(f"{study_page}/trials")
    page.get_by_role("button", name=f"Trial {pruned['number']} Pruned").click()
    expect(page.get_by_text("Reason: " + pruned["reason"]).first).to_be_visible()


def test_person_sees_how_a_trial_learned(page: Page, study_page: str, studied: Home) -> None:
    best = studied.read("study", "best", "digits")
    page.goto(f"{study_page}/trials")
    page.get_by_role("button", name=f"Trial {best['number']} Complete").click()
    expect_picture(page, "Learning curve")
    expect(page.get_by_text("learning-curve.svg").first).to_be_visible()


def test_person_reads_the_verdict_and_finds_the_report_and_the_curves(page: Page, study_page: str) -> None:
    page.goto(f"{study_page}/note")
    expect(page.get_by_text("Written by autotune").first).to_be_visible()
    expect_picture(page, "Learning curves")
    with page.expect_response("**/artifacts/**") as response:
        page.get_by_role("link", name="The whole report").click()
    assert response.value.ok
    page.goto(study_page)
    for name in ("report.html", "learning-curves.svg"):
        expect(page.get_by_text(name).first).to_be_visible()


def expect_picture(page: Page, words: str) -> None:
    """It is there, and has been drawn."""
    picture = page.get_by_role("img", name=words, exact=True)
    expect(picture).to_be_visible()
    expect(picture).to_have_js_property("complete", value=True)
    assert picture.evaluate("picture => picture.naturalWidth") > 0
