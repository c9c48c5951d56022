from html.parser import HTMLParser

from typing_extensions import override

from autotune.report.page.composing import Report
from autotune.report.page.html import as_html
from tests.report.page_study import ATTACK


class _Page(HTMLParser):
    """What a browser would make of a page: its elements, with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    @override
    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_what_users_and_tasks_wrote_is_text_and_never_markup(report: Report) -> None:
    page = _Page(as_html(report))
    names = {name for name, _ in page.elements}
    assert names.isdisjoint({"script", "img", "iframe", "object", "embed", "b"})
    assert not [attribute for _, attributes in page.elements for attribute in attributes if attribute.startswith("on")]
    whole = "".join(page.texts)
    assert f"ValueError: {ATTACK} in trial 14" in whole
    assert "alert(1)" in whole


def test_the_page_loads_nothing(report: Report) -> None:
    text = as_html(report)
    page = _Page(text)
    assert not [tag for tag, attributes in page.elements if {"src", "href"} & set(attributes)]
    assert "url(" not in text
    assert "@import" not in text
    policy = next(attributes["content"] for tag, attributes in page.elements if "http-equiv" in attributes)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_every_section_has_an_anchor_and_drawings_say_what_they_show(report: Report) -> None:
    page = _Page(as_html(report))
    anchors = [attributes["id"] for tag, attributes in page.elements if tag == "section"]
    assert anchors == [section.key for section in report.sections]
    assert all(attributes.get("aria-label") for tag, attributes in page.elements if tag == "figure")
