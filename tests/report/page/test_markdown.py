from autotune.report.page.composing import Report
from autotune.report.page.markdown import as_markdown


def test_markdown_begins_with_the_verdict_and_folds_what_is_long(report: Report) -> None:
    lines = as_markdown(report).splitlines()
    assert lines[0] == "# Study digits"
    assert lines.index("## Verdict") < lines.index("## What changed, and what it is worth")
    assert "<details><summary>What went wrong</summary>" in lines


def test_markdown_leaves_out_sections_that_are_drawings_and_notes_on_them(report: Report) -> None:
    assert "progress" in {section.key for section in report.sections}
    assert "How it went" not in as_markdown(report)


def test_markdown_escapes_what_is_not_its_own(report: Report) -> None:
    text = as_markdown(report)
    assert "<script>" not in text
    assert "<img" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_every_row_of_a_table_has_the_cells_of_its_header(report: Report) -> None:
    lines = as_markdown(report).replace(r"\|", "").splitlines()
    for place, line in enumerate(lines):
        if line.startswith("|---"):
            assert lines[place - 1].count("|") == line.count("|")
            assert lines[place + 1].count("|") == line.count("|")
