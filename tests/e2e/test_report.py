from pathlib import Path

import pytest
from playwright.sync_api import Browser

from autotune.report.page.html import as_html
from tests.report.page_study import make_report, write_study

_WIDER = """() => [...document.querySelectorAll("body *")]
    .filter(one => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest(".wide, pre, svg"))
    .map(one => `${one.tagName}.${one.className}`)"""
_COLOURS = "() => [getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a study whose texts try to break it."""
    folder = tmp_path_factory.mktemp("page")
    path: Path = folder / "report.html"
    path.write_text(as_html(make_report(write_study(f"sqlite:///{folder}/autotune.db"))))
    return path


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_the_report_fits_a_phone_and_a_desk_and_asks_nobody_for_anything(
    width: int, page_file: Path, browser: Browser
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    asked: list[str] = []
    dialogs: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(page_file.as_uri())
    assert page.evaluate(_WIDER) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.get_by_role("heading", name="Verdict").is_visible()
    assert page.locator("figure svg").count() >= 4
    assert (asked, dialogs, complaints) == ([page_file.as_uri()], [], [])
    context.close()


@pytest.mark.slow
@pytest.mark.browser
def test_the_report_follows_the_readers_wish_for_dark_and_prints_dark_on_light(
    page_file: Path, browser: Browser
) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(page_file.as_uri())
    ink, paper = page.evaluate(_COLOURS)
    assert (ink, paper) == ("rgb(230, 233, 238)", "rgb(20, 23, 28)")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(_COLOURS) == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
    context.close()
